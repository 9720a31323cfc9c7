import { type Family, unspecified } from '../../lib/address/address.ts';
import { bitsOf, type Prefix } from '../../lib/address/prefix.ts';
import { type Change, effectOf } from '../../lib/change/change.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import { namedGateway } from '../../lib/cni/result.ts';
import type { Link } from '../../lib/netlink/link.ts';
import {
  IP6_RT_PRIO_ADDRCONF,
  isDefaultRoute,
  type Route,
  RT_TABLE_MAIN,
  routeKey,
  routeVia,
} from '../../lib/netlink/route.ts';
import { resultIpsOf } from '../../lib/plugin/attachment.ts';
import type { PlanInput } from '../../lib/plugin/plan.ts';
import type { WantedRoute, WantedRule } from '../../lib/plugin/reconcile.ts';
import type { StaticRouteConfig } from './config.ts';
import { computedGateway, isGlobal } from './gateway.ts';

/**
 * Where tables that nobody asked for by number begin: the index of the link is added, so that attachments of one pod that
 * are made at the same time do not choose the same one.
 */
const FIRST_TABLE = 87_000;
const NEXT_TABLE = 100_000;

type Input = PlanInput<StaticRouteConfig> & { readonly link: Link };

/** Addresses of one family that leave by the same gateway; `place` counts the gateways of the family. */
type Path = {
  readonly family: Family;
  readonly place: number;
  readonly gw: string | undefined;
  readonly own: string[];
};

/**
 * Routes and rules that send by the link what is sent from one of its addresses: a rule for each address, and a table with
 * what the main table has out of the link, the listed routes, and the gateway. `listed` are the routes of the config that
 * name no table, `gone` those that will have been deleted. What an earlier ADD has recorded stays as it is.
 *
 * Throws CniError 101 if the link has no address, and 102 if a gateway is needed that is neither named nor computable.
 */
export function sourceRouting(
  input: Input,
  listed: () => readonly WantedRoute[],
  gone: ReadonlySet<Route>,
): { routes: WantedRoute[]; rules: WantedRule[] } {
  const { config, link } = input;
  if (config.sourceRouting === undefined) return { routes: [], rules: [] };
  const { priority } = config.sourceRouting;
  const source = sourceOf(config);
  const recorded = input.journal?.changesFrom(source) ?? [];
  const own = listed().filter(({ route }) => route.hops.every(({ oif }) => oif === link.index));
  const paths = pathsOf(input, own, recorded);
  const tableOf = tablesOf(input, paths, recorded);
  const routes = paths.flatMap((path) => {
    const place = { family: path.family, table: tableOf(path) };
    const copies = own.filter(({ route }) => route.family === path.family);
    return [
      ...connected(input, place, copies, gone).map((route) => ({ route, source: `${source}: connected` })),
      ...copies.map((copy) => ({ route: { ...copy.route, table: place.table }, source: `${source}: ${copy.source}` })),
      ...defaultRoute(input, path).map((route) => ({ route: { ...route, table: place.table }, source })),
    ];
  });
  const rules = paths.flatMap((path) =>
    path.own.map((from) => ({ rule: ruleOf(config, from, path.family, tableOf(path), priority), source })),
  );
  return { routes, rules };
}

/** What the journal calls it: another entry of the list can do the same for another interface, in the same journal. */
function sourceOf({ interface: on }: { interface?: string | undefined }): string {
  return on === undefined ? 'sourceRouting' : `sourceRouting, interface ${on}`;
}

function ruleOf({ protocol }: StaticRouteConfig, from: string, family: Family, table: number, priority: number) {
  return { family, priority, action: 'lookup', table, protocol, from } as const;
}

function pathsOf(input: Input, own: readonly WantedRoute[], recorded: readonly Change[]): Path[] {
  const { link, observed } = input;
  // A temporary IPv6 address, which is secondary, is another tomorrow.
  const addresses = observed
    .addresses(link.index)
    .filter((address) => isGlobal(address) && !(address.prefix.family === 6 && address.secondary));
  if (addresses.length === 0) {
    throw new CniError(CniCode.noAddress, `sourceRouting: interface "${link.name}" has no address`);
  }
  const families: Family[] = [4, 6];
  return families.flatMap((family) => {
    const prefixes = addresses.map(({ prefix }) => prefix).filter((prefix) => prefix.family === family);
    const hasDefault = own.some(({ route }) => route.family === family && isDefaultRoute(route));
    const byGateway = Map.groupBy(prefixes, (prefix) => (hasDefault ? undefined : gatewayFor(input, prefix, recorded)));
    return [...byGateway].map(([gw, group], place) => ({ family, place, gw, own: group.map(hostText) }));
  });
}

function hostText({ family, address }: Prefix): string {
  return `${address}/${bitsOf(family)}`;
}

// The gateway that the previous result names for this very address, else for its family; else what an earlier ADD has
// found, since the result and the main table may have lost it since; else that of the link's table; else computed.
function gatewayFor({ previous, link, observed }: Input, prefix: Prefix, recorded: readonly Change[]): string {
  const { family } = prefix;
  const ips = resultIpsOf(link, previous);
  const itself = ips.find(({ address }) => address.split('/')[0] === prefix.address)?.gateway;
  const table = tableIn(recorded, [hostText(prefix)]);
  const gatewayOf = (routes: readonly Route[]) =>
    routes
      .filter((route) => route.family === family && isDefaultRoute(route))
      .flatMap(({ hops }) => hops.flatMap(({ oif, gw }) => (oif === link.index && gw !== undefined ? gw : [])))[0];
  return (
    (itself === unspecified(family) ? undefined : itself) ??
    namedGateway(ips, family) ??
    gatewayOf(addedRoutes(recorded).filter((route) => route.table === table)) ??
    gatewayOf(observed.routesIn(family, observed.tableOf(link))) ??
    computedGateway(prefix, 'sourceRouting', 'list a default route')
  );
}

function tablesOf(input: Input, paths: readonly Path[], recorded: readonly Change[]): (path: Path) => number {
  const { config, observed } = input;
  const asked = config.sourceRouting?.table;
  if (asked !== undefined) return ({ place }) => asked + place;
  const isOurs = ({ protocol, priority }: { protocol?: number; priority: number }) =>
    protocol === config.protocol && priority === config.sourceRouting?.priority;
  const present = observed.rulesIn(4).concat(observed.rulesIn(6)).filter(isOurs);
  const known = (path: Path) =>
    tableIn(recorded, path.own) ?? present.find(({ from = '' }) => path.own.includes(from))?.table;
  const chosen = new Map<number, number>();
  // Both families have one table, but for further gateways.
  for (const path of paths) {
    const table = chosen.get(path.place) ?? known(path);
    if (table !== undefined) chosen.set(path.place, table);
  }
  const isTaken = takenTables(input);
  return (path) => {
    const own = known(path) ?? chosen.get(path.place);
    if (own !== undefined) return own;
    let table = FIRST_TABLE + input.link.index;
    while (isTaken(table) || [...chosen.values()].includes(table)) table += NEXT_TABLE;
    chosen.set(path.place, table);
    return table;
  };
}

// Has a table routes, or a rule that leads to it, or did somebody say that it is theirs?
function takenTables({ config, observed, journal }: Input): (table: number) => boolean {
  const claimed = (journal?.claimsOfOthers() ?? []).map(effectOf).flatMap(({ adds, addsRule }) => [adds, addsRule]);
  const asked = [...config.routes, ...config.addroutes, ...config.rules.flatMap(({ rules }) => rules)];
  const numbers = new Set([...claimed, ...asked].flatMap((each) => each?.table ?? []));
  const families: Family[] = [4, 6];
  return (table) =>
    numbers.has(table) ||
    families.some((family) => {
      const isLookedUp = observed.rulesIn(family).some((rule) => rule.table === table);
      return isLookedUp || observed.routesIn(family, table).length > 0;
    });
}

function tableIn(recorded: readonly Change[], own: readonly string[]): number | undefined {
  const rules = recorded.flatMap((change) => effectOf(change).addsRule ?? []);
  return rules.find(({ from = '' }) => own.includes(from))?.table;
}

function addedRoutes(changes: readonly Change[]): Route[] {
  return changes.flatMap((change) => effectOf(change).adds ?? []);
}

type Place = { readonly family: Family; readonly table: number };

// What leads out of the link in its own table, but for the default route, and for what a router may take back. Without it
// what is next door would go to the gateway. It is looked at once: what others add later is not ours to follow.
function connected(input: Input, { family, table }: Place, copies: readonly WantedRoute[], gone: ReadonlySet<Route>) {
  const { config, link, observed, journal } = input;
  const here = (route: Route): Route => ({ ...route, table, protocol: config.protocol });
  const keys = new Set(copies.map(({ route }) => routeKey(here(route))));
  const recorded = addedRoutes(journal?.changesFrom(`${sourceOf(config)}: connected`) ?? []).filter(
    (route) => route.family === family && route.table === table,
  );
  if (recorded.length > 0 && !journal?.looksAgain) return recorded.filter((route) => !keys.has(routeKey(route)));
  const present = observed.routesIn(family, observed.tableOf(link)).filter((route) => {
    const isOut = route.type === 'unicast' && route.hops.length > 0 && route.nexthopId === undefined;
    const isOfLink = isOut && route.hops.every(({ oif }) => oif === link.index);
    const isLasting = !ROUTERS_PROTOCOLS.has(route.protocol) && !gone.has(route);
    return isOfLink && isLasting && !route.dst.endsWith('/0') && !keys.has(routeKey(here(route)));
  });
  const routes = new Map([...present, ...linkLocal(family, link)].map((route) => [routeKey(route), route]));
  const own = [...routes.values()].map(({ expires: _, ...route }) => here(route));
  // A gateway must be on the link before the routes that lead through it.
  return own.toSorted((a, b) => Number(hasGateway(a)) - Number(hasGateway(b)));
}

/** RTPROT_REDIRECT and RTPROT_RA of linux/rtnetlink.h. */
const ROUTERS_PROTOCOLS: ReadonlySet<number> = new Set([1, 9]);

function hasGateway({ hops }: Route): boolean {
  return hops.some(({ gw }) => gw !== undefined);
}

// The kernel makes it some time after the link is up, maybe after us.
function linkLocal(family: Family, { index }: Link): Route[] {
  if (family === 4) return [];
  const priority = IP6_RT_PRIO_ADDRCONF;
  const hops = [{ oif: index }];
  return [{ family, dst: 'fe80::/64', type: 'unicast', table: RT_TABLE_MAIN, priority, protocol: 0, scope: 0, hops }];
}

// Without one if a listed route is the default.
function defaultRoute({ config, link }: Input, { family, gw }: Path): Route[] {
  if (gw === undefined) return [];
  const dst = `${unspecified(family)}/0`;
  return [routeVia(gw, { dst, family, link: link.index, protocol: config.protocol })];
}

/** What `explain` says of it without a pod. */
export function outlineSourceRouting({ sourceRouting }: Pick<StaticRouteConfig, 'sourceRouting'>): string[] {
  if (sourceRouting === undefined) return [];
  const { table, priority } = sourceRouting;
  const which = table === undefined ? 'a table of its own' : `table ${table}`;
  return [
    `add to ${which} what leads out of the interface, and its gateway`,
    `add for each of its addresses a rule priority ${priority} that looks up ${which}`,
  ];
}
