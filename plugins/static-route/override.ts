import type { Family } from '../../lib/address/address.ts';
import { contains, parsePrefix } from '../../lib/address/prefix.ts';
import { holds } from '../../lib/change/change.ts';
import type { Result } from '../../lib/cni/result.ts';
import type { Link } from '../../lib/netlink/link.ts';
import { type Route, RT_TABLE_MAIN, RTPROT_KERNEL, routeKey } from '../../lib/netlink/route.ts';
import type { Observation } from '../../lib/observation/observation.ts';
import type { WantedRoute } from '../../lib/plugin/reconcile.ts';
import type { StaticRouteConfig } from './config.ts';

// route-override's `flushroutes`, `flushgateway` and `delroutes`: what goes before our own routes are added.

type Removal = Pick<StaticRouteConfig, 'flushroutes' | 'flushgateway' | 'delroutes'>;

const LINK_LOCAL = [parsePrefix('169.254.0.0/16'), parsePrefix('fe80::/10')];

/**
 * Which routes of the main table, out of this link, does the config take away? A flush leaves connected and link-local
 * routes; nothing takes away what the config wants itself, so that a repeated ADD finds nothing to do.
 */
export function removedRoutes(
  config: Removal,
  link: Link,
  observed: Observation,
  wanted: readonly WantedRoute[],
): WantedRoute[] {
  if (!removesAny(config)) return [];
  const families: Family[] = [4, 6];
  const present = families.flatMap((family) => observed.routesIn(family, RT_TABLE_MAIN));
  const candidates = present.filter(({ hops }) => hops.some(({ oif }) => oif === link.index));
  const there = wanted.filter(({ route }) => holds({ op: 'add-route', route }, observed));
  const kept = new Set(there.map(({ route }) => routeKey(route)));
  return candidates.flatMap((route) => {
    const source = removedBy(config, route);
    return source === undefined || kept.has(routeKey(route)) ? [] : [{ route, source }];
  });
}

/** The result without the routes that the config takes away, whether or not the kernel had them. */
export function withoutRemoved(config: Removal, result: Result): Result {
  if (!removesAny(config)) return result;
  const { flushroutes, flushgateway, delroutes } = config;
  const routes = (result.routes ?? []).filter(({ dst, gw }) => {
    if (flushroutes || (flushgateway && isDefault(dst))) return false;
    return !delroutes.some((wanted) => wanted.dst === dst && (wanted.gw === undefined || wanted.gw === gw));
  });
  return { ...result, routes };
}

function removesAny({ flushroutes, flushgateway, delroutes }: Removal): boolean {
  return flushroutes || flushgateway || delroutes.length > 0;
}

// The place in the config that takes the route away.
function removedBy({ flushroutes, flushgateway, delroutes }: Removal, route: Route): string | undefined {
  const index = delroutes.findIndex(({ dst, gw }) => {
    return dst === route.dst && (gw === undefined || route.hops.some((hop) => hop.gw === gw));
  });
  if (index >= 0) return `delroutes[${index}]`;
  if (flushgateway && isDefault(route.dst)) return 'flushgateway';
  return flushroutes && !survivesFlush(route) ? 'flushroutes' : undefined;
}

function survivesFlush({ dst, protocol }: Route): boolean {
  const { address } = parsePrefix(dst);
  return protocol === RTPROT_KERNEL || LINK_LOCAL.some((subnet) => contains(subnet, address));
}

function isDefault(dst: string): boolean {
  return dst.endsWith('/0');
}
