import { describeRule } from '../../lib/netlink/rule.ts';
import type { StaticRouteConfig } from './config.ts';
import type { RouteConfig } from './route-config.ts';
import { outlineSourceRouting } from './source-routing.ts';

/** What the config says about every pod: the routes as they are written, and what else they follow from. */
export function outlineStaticRoutes(config: StaticRouteConfig): string[] {
  const { routes, addroutes, delroutes, flushroutes, flushgateway, topology, rules } = config;
  return [
    ...delroutes.map(({ dst, gw }) => `delete route ${dst}${gw === undefined ? '' : ` via ${gw}`}, if it is there`),
    ...(flushgateway ? ['delete the default routes'] : []),
    ...(flushroutes ? ['delete every route but those on the link and link-local ones'] : []),
    ...[...routes, ...addroutes].map((route) => `add route ${routeText(route)}`),
    ...(topology === undefined ? [] : [`add the routes that follow from a map of ${topology.length} subnets`]),
    ...rules.flatMap((each) => each.rules.map((rule) => `add rule ${describeRule(rule)}`)),
    ...outlineSourceRouting(config),
  ];
}

function routeText(route: RouteConfig): string {
  const { type, dst, nexthops, table, src, priority, mtu, advmss, onlink } = route;
  const hops = nexthops?.map((hop) => ` nexthop${hopText(hop)} weight ${hop.weight ?? 1}`).join('');
  return [
    type === 'unicast' ? '' : `${type} `,
    dst,
    type === 'unicast' ? (hops ?? hopText(route)) : '',
    onlink ? ' onlink' : '',
    ...Object.entries({ table, src, metric: priority, mtu, advmss }).map(([word, value]) =>
      value === undefined ? '' : ` ${word} ${value}`,
    ),
  ].join('');
}

type Hop = { gw?: string | undefined; dev?: string | undefined; isOnLink?: true };

function hopText({ gw, dev, isOnLink }: Hop): string {
  const on = dev === undefined ? '' : ` dev ${dev}`;
  if (isOnLink) return `${on} on the link`;
  if (gw !== undefined && gw !== 'auto') return ` via ${gw}${on}`;
  // A gateway that the previous result names is on the attachment's interface.
  if (dev !== undefined && gw === undefined) return on;
  const otherwise = gw === 'auto' ? "else the first address of the pod's subnet" : 'else on the link';
  return ` via the gateway of the previous result, ${otherwise}${on}`;
}
