import { type Family, familyOf, unspecified } from '../../lib/address/address.ts';
import { contains, parsePrefix } from '../../lib/address/prefix.ts';
import { holds } from '../../lib/change/change.ts';
import { namedGateway, type Result } from '../../lib/cni/result.ts';
import type { Link } from '../../lib/netlink/link.ts';
import { type Route, RT_SCOPE_LINK, routeKey } from '../../lib/netlink/route.ts';
import type { Observation } from '../../lib/observation/observation.ts';
import type { WantedRoute } from '../../lib/plugin/reconcile.ts';
import type { StaticRouteConfig } from './config.ts';

// route-override's `flushroutes`, `flushgateway` and `delroutes`: what is deleted before our own routes are added. They
// mean what they mean there; docs/route-override.md has both plugins side by side.

type Removal = Pick<StaticRouteConfig, 'flushroutes' | 'flushgateway' | 'delroutes'>;

const LINK_LOCAL = [parsePrefix('169.254.0.0/16'), parsePrefix('fe80::/10')];

/**
 * Which routes out of these links, of the main table or that of their VRF, does the config delete? Never one that the config
 * wants itself, so that a repeated ADD finds nothing to do.
 */
export function removedRoutes(
  config: Removal,
  links: readonly Link[],
  observed: Observation,
  wanted: readonly WantedRoute[],
): WantedRoute[] {
  if (!removesAny(config)) return [];
  const families: Family[] = [4, 6];
  const indices = new Set(links.map(({ index }) => index));
  const tables = [...new Set(links.map((link) => observed.tableOf(link)))];
  const present = families.flatMap((family) => tables.flatMap((table) => observed.routesIn(family, table)));
  const candidates = present.filter(({ hops }) => hops.some(({ oif }) => indices.has(oif)));
  const there = wanted.filter(({ route }) => holds({ op: 'add-route', route }, observed));
  const kept = new Set(there.map(({ route }) => routeKey(route)));
  return candidates.flatMap((route) => {
    const source = removedBy(config, route);
    return source === undefined || kept.has(routeKey(route)) ? [] : [{ route, source }];
  });
}

/**
 * The result without the routes that the config deletes, whether or not the kernel had them. After `flushgateway` the
 * addresses have no gateway either: it is the unspecified address, as in route-override.
 */
export function withoutRemoved(config: Removal, result: Result): Result {
  if (!removesAny(config)) return result;
  const { flushroutes, flushgateway, delroutes } = config;
  const routes = (result.routes ?? []).filter(({ dst, gw = namedGateway(result.ips ?? [], familyOf(dst)) }) => {
    if (flushroutes || (flushgateway && isDefault(dst))) return false;
    return !delroutes.some((wanted) => wanted.dst === dst && (wanted.gw === undefined || wanted.gw === gw));
  });
  if (!flushgateway || result.ips === undefined) return { ...result, routes };
  return { ...result, ips: result.ips.map((ip) => ({ ...ip, gateway: unspecified(familyOf(ip.address)) })), routes };
}

function removesAny({ flushroutes, flushgateway, delroutes }: Removal): boolean {
  return flushroutes || flushgateway || delroutes.length > 0;
}

// The place in the config because of which the route is deleted.
function removedBy({ flushroutes, flushgateway, delroutes }: Removal, route: Route): string | undefined {
  const index = delroutes.findIndex(({ dst, gw }) => {
    return dst === route.dst && (gw === undefined || route.hops.some((hop) => hop.gw === gw));
  });
  if (index >= 0) return `delroutes[${index}]`;
  if (flushgateway && isDefault(route.dst)) return 'flushgateway';
  return flushroutes && !survivesFlush(route) ? 'flushroutes' : undefined;
}

// Routes on the link survive, the connected ones among them, and link-local ones.
function survivesFlush({ dst, scope, hops }: Route): boolean {
  if (scope === RT_SCOPE_LINK) return true;
  if (isDefault(dst)) return false;
  const { address } = parsePrefix(dst);
  return hops.every(({ gw }) => gw === undefined) || LINK_LOCAL.some((subnet) => contains(subnet, address));
}

function isDefault(dst: string): boolean {
  return dst.endsWith('/0');
}
