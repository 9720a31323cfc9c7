import type { Plugin } from '../../../lib/cni/runner.ts';
import { consistentIfname } from '../../../plugins/consistent-ifname/main.ts';
import { seamlessGateway } from '../../../plugins/seamless-gateway/main.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';

/** What the conformance suite needs to know of a plugin: configs by what it does with the pod of `scratchPod`. */
export type PluginUnderTest = {
  readonly name: string;
  readonly plugin: Plugin;
  /** The fewest keys of its own that make a valid config. */
  readonly config: object;
  /** Keys with which it has nothing to do, so that it passes `prevResult` through. */
  readonly idle: object;
  /** Keys with which it adds routes, and those routes as a result of 0.3.0 and later shows them. */
  readonly adds?: { readonly config: object; readonly routes: readonly { dst: string; gw?: string }[] };
};

/** Every plugin of the family. */
export const PLUGINS: readonly PluginUnderTest[] = [
  {
    name: 'static-route',
    plugin: staticRoute,
    config: {},
    idle: { routes: [] },
    adds: {
      config: {
        routes: [
          { dst: '10.9.0.0/16', gw: '10.244.1.1' },
          { dst: 'fd00:9::/48', gw: 'fd00:244:1::1' },
        ],
      },
      routes: [
        { dst: '10.9.0.0/16', gw: '10.244.1.1' },
        { dst: 'fd00:9::/48', gw: 'fd00:244:1::1' },
      ],
    },
  },
  {
    // The host's addresses are always written, for within the tests' process the host is the machine.
    name: 'seamless-gateway',
    plugin: seamlessGateway,
    config: { hostAddresses: ['10.0.32.2'] },
    idle: { hostAddresses: ['10.0.32.2'], families: ['ipv6'] },
    adds: {
      config: { hostAddresses: ['10.0.32.2', 'fd00:32::2'] },
      routes: [
        { dst: '10.0.32.2/32', gw: '10.244.1.1' },
        { dst: 'fd00:32::2/128', gw: 'fd00:244:1::1' },
      ],
    },
  },
  {
    name: 'consistent-ifname',
    plugin: consistentIfname,
    config: {},
    idle: { ifname: 'eth0' },
  },
];
