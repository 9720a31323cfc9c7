import { definePlugin } from '../../lib/plugin/define.ts';
import { VERSION } from '../../lib/version.ts';
import { readStaticRouteConfig, staticRouteKeys } from './config.ts';
import { outlineStaticRoutes } from './outline.ts';
import { planStaticRoutes } from './plan.ts';

/** Adds static routes to a pod's interface. See README.md beside this file. */
export const staticRoute = definePlugin({
  name: 'static-route',
  version: VERSION,
  parseConfig: readStaticRouteConfig,
  plan: planStaticRoutes,
  outline: outlineStaticRoutes,
  shapedBy: ['interface', 'onConflict', 'missingFamily'],
  updatedBy: Object.keys(staticRouteKeys),
  fileKeys: ['topologyFile'],
  rehearsal: {
    routes: [
      { dst: '10.9.0.0/16', gw: '10.0.0.1', priority: 100, mtu: 1400 },
      { dst: '10.8.0.0/16' },
      { dst: 'fd00:9::/48', gw: 'auto' },
    ],
  },
});
