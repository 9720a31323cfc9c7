import type { Family } from '../address/address.ts';
import { lowestDefaults } from '../netlink/default-routes.ts';
import type { Link } from '../netlink/link.ts';
import { hasSameKey, isSameRoute, type Route, RT_TABLE_MAIN } from '../netlink/route.ts';
import { isSameRule, type Rule } from '../netlink/rule.ts';
import { Observation } from '../observation/observation.ts';
import { type Change, describe, effectOf } from './change.ts';

/** The namespace as it will be once these changes are made: for those who plan on, and change nothing. */
export function afterChanges(observed: Observation, changes: readonly Change[]): Observation {
  if (changes.length === 0) return observed;
  const effects = changes.map(effectOf);
  const deleted = byDestination(effects.flatMap(({ deletes }) => deletes ?? []));
  const added = effects.flatMap(({ adds }) => adds ?? []);
  // A plan deletes a route to make room for another, never one that it has added.
  const stays = (route: Route) => !deleted.get(route.dst)?.some((gone) => isTheSame(route, gone));
  const routes: ConstructorParameters<typeof Observation>[0]['routes'] = (family, table) => [
    ...observed.routesIn(family, table).filter(stays),
    ...added.filter((route) => route.family === family && route.table === table),
  ];
  // With many changes, the table is shorter than the way around it.
  const routesLike = changes.length > FEW ? {} : { routesLike: likeIn(observed, added, stays) };
  const deletedRules = effects.flatMap(({ deletesRule }) => deletesRule ?? []);
  const addedRules = effects.flatMap(({ addsRule }) => addsRule ?? []);
  const rules = (family: Family): readonly Rule[] | undefined => {
    if (!observed.hasRules(family)) return undefined;
    const present = observed.rulesIn(family).filter((rule) => !deletedRules.some((gone) => isTheSameRule(rule, gone)));
    const added = addedRules.filter((rule) => rule.family === family);
    return [...present, ...added].toSorted((a, b) => a.priority - b.priority);
  };
  return new Observation({
    rules,
    links: () => observed.links().map((link) => changes.reduce(linkAfter, link)),
    addresses: (link) => observed.addresses(link),
    routes,
    ...routesLike,
    defaultRoutes: (family) => lowestDefaults(routes(family, RT_TABLE_MAIN)),
  });
}

const FEW = 100;

// The same without reading a table of thousands of routes again, for a few that differ.
function likeIn(observed: Observation, added: readonly Route[], stays: (route: Route) => boolean) {
  const near = byDestination(added);
  return (route: Route): readonly Route[] => {
    const present = observed.routesLike(route);
    const more = near.get(route.dst)?.filter((other) => hasSameKey(other, route)) ?? [];
    return present.every(stays) && more.length === 0 ? present : [...present.filter(stays), ...more];
  };
}

function byDestination(routes: readonly Route[]): ReadonlyMap<string, readonly Route[]> {
  return Map.groupBy(routes, ({ dst }) => dst);
}

/** The changes as lines, each in the names that links have once those before it are made. */
export function describeInOrder(changes: readonly Change[], observed: Observation): string[] {
  const changed = new Map<number, Link>();
  const linkName = (index: number) => changed.get(index)?.name ?? observed.linkName(index);
  return changes.map((change) => {
    const line = describe(change, { linkName });
    const index = effectOf(change).link?.index;
    const link = index === undefined ? undefined : (changed.get(index) ?? observed.linkAt(index));
    if (link !== undefined) changed.set(link.index, linkAfter(link, change));
    return line;
  });
}

function linkAfter(link: Link, change: Change): Link {
  const effect = effectOf(change).link;
  return effect?.index === link.index ? effect.after(link) : link;
}

function isTheSameRule(present: Rule, deleted: Rule): boolean {
  return present.protocol === deleted.protocol && isSameRule(present, deleted);
}

function isTheSame(present: Route, deleted: Route): boolean {
  return present.protocol === deleted.protocol && isSameRoute(present, deleted);
}
