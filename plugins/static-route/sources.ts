import type { Problem } from '../../lib/cni/schema.ts';
import { configError } from '../../lib/cni/schema.ts';
import { describeRoute, isSameRoute, type Route, routeKey } from '../../lib/netlink/route.ts';
import type { WantedRoute } from '../../lib/plugin/reconcile.ts';
import { type RouteConfig, routeConfigKey } from './route-config.ts';

// One config can name a route in several places: `routes`, `addroutes`, a map of subnets.

/**
 * The listed routes, each once. Throws CniError 7 that names both places if two have the same destination, table and
 * priority, and are not the same route: the kernel takes one of them only.
 */
export function mergedRoutes(listed: readonly WantedRoute[], linkName: (link: number) => string): WantedRoute[] {
  const merged = new Map<string, WantedRoute>();
  const problems: Problem[] = [];
  for (const { route, source } of listed) {
    const known = merged.get(routeKey(route));
    if (known === undefined) merged.set(routeKey(route), { route, source });
    else if (!isSameRoute(known.route, route)) {
      const text = (which: Route) => describeRoute(which, linkName);
      const message = clashText(known.source, ` (${text(known.route)}, not ${text(route)})`);
      problems.push({ path: source, message });
    }
  }
  if (problems.length > 0) throw configError('invalid network config', problems);
  return [...merged.values()];
}

/** The routes that follow from a map or the like that no listed route stands for: a listed one with the same destination, table and priority wins. */
export function withoutListed(mapped: readonly WantedRoute[], listed: readonly WantedRoute[]): WantedRoute[] {
  // Of 10,000 routes, the keys take a while.
  if (mapped.length === 0) return [];
  const keys = new Set(listed.map(({ route }) => routeKey(route)));
  return mapped.filter(({ route }) => !keys.has(routeKey(route)));
}

/**
 * What `mergedRoutes` would refuse for any pod: two routes whose next hops are written out, and differ. So
 * `waymark explain` reports it without a pod.
 */
export function clashes({ routes, addroutes }: { routes: RouteConfig[]; addroutes: RouteConfig[] }): Problem[] {
  if (addroutes.length === 0) return [];
  const known = new Map(routes.map((route, index) => [routeConfigKey(route), { route, index }]));
  return addroutes.flatMap((route, index) => {
    const other = known.get(routeConfigKey(route));
    const [own, others] = [writtenHops(route), other && writtenHops(other.route)];
    if (other === undefined || own === undefined || others === undefined || own === others) return [];
    return { path: `addroutes[${index}]`, message: clashText(`routes[${other.index}]`, '') };
  });
}

function clashText(place: string, details: string): string {
  return `has the destination, table and priority of ${place}, but is another route${details}`;
}

// undefined if a gateway is only known once there is a pod.
function writtenHops({ type, gw, nexthops, isOnLink }: RouteConfig): string | undefined {
  if (type !== 'unicast') return type;
  if (nexthops === undefined && (gw === undefined || gw === 'auto') && !isOnLink) return undefined;
  const hops = nexthops ?? [{ gw }];
  return hops
    .map((hop) => hop.gw ?? 'on the link')
    .sort()
    .join();
}
