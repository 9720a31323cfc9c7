import { lowestDefaults } from '../netlink/default-routes.ts';
import type { Link } from '../netlink/link.ts';
import { isSameRoute, type Route, RT_TABLE_MAIN, routeKey } from '../netlink/route.ts';
import { Observation } from '../observation/observation.ts';
import { type Change, describe } from './change.ts';

/** The namespace as it will be once these changes are made: for those who plan on, and change nothing. */
export function afterChanges(observed: Observation, changes: readonly Change[]): Observation {
  if (changes.length === 0) return observed;
  const deleted = Map.groupBy(
    changes.flatMap((change) => (change.op === 'delete-route' ? [change.route] : [])),
    routeKey,
  );
  const added = changes.flatMap((change) => (change.op === 'add-route' ? [change.route] : []));
  // A plan deletes a route to make room for another, never one that it has added.
  const stays = (route: Route) => !deleted.get(routeKey(route))?.some((gone) => isTheSame(route, gone));
  const routes: ConstructorParameters<typeof Observation>[0]['routes'] = (family, table) => [
    ...observed.routesIn(family, table).filter(stays),
    ...added.filter((route) => route.family === family && route.table === table),
  ];
  return new Observation({
    links: () => observed.links().map((link) => changes.reduce(linkAfter, link)),
    addresses: (link) => observed.addresses(link),
    routes,
    defaultRoutes: (family) => lowestDefaults(routes(family, RT_TABLE_MAIN)),
  });
}

/** The changes as lines, each in the names that links have once those before it are made. */
export function describeInOrder(changes: readonly Change[], observed: Observation): string[] {
  const renamed = new Map<number, string>();
  const linkName = (index: number) => renamed.get(index) ?? observed.linkName(index);
  return changes.map((change) => {
    const line = describe(change, { linkName });
    if (change.op === 'rename-link') renamed.set(change.link, change.to);
    return line;
  });
}

function linkAfter(link: Link, change: Change): Link {
  if (change.op === 'add-route' || change.op === 'delete-route' || change.link !== link.index) return link;
  if (change.op === 'rename-link') return { ...link, name: change.to };
  const others = link.altnames.filter((name) => name !== change.name);
  return { ...link, altnames: change.op === 'add-altname' ? [...others, change.name] : others };
}

function isTheSame(present: Route, deleted: Route): boolean {
  return present.protocol === deleted.protocol && isSameRoute(present, deleted);
}
