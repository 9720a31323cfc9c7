import type { Family } from '../address/address.ts';

/** An attribute that is carried along without being understood: its type, and its bytes in hex. */
export type RawAttribute = readonly [type: number, hex: string];

/** One way to the destination: through a gateway, or straight onto a link. */
export type NextHop = {
  /** The gateway's address; left out if the destination is on the link. */
  readonly gw?: string;
  /** The index of the link. */
  readonly oif: number;
  /** 1 to 256; left out for 1. */
  readonly weight?: number;
  /** The gateway is on the link, whatever the link's subnets are (RTNH_F_ONLINK). */
  readonly onlink?: true;
  readonly other?: readonly RawAttribute[];
};

/** What `rtm_type` says is done with a packet, in the words of `ip route`. */
export type RouteType =
  | 'unspec'
  | 'unicast'
  | 'local'
  | 'broadcast'
  | 'anycast'
  | 'multicast'
  | 'blackhole'
  | 'unreachable'
  | 'prohibit'
  | 'throw'
  | 'nat';

/**
 * A route as the kernel has it: everything that `ip -d route` shows, and what it does not show in `other`, so that
 * adding a route that was read makes the same route again. Plain data that survives JSON.
 */
export type Route = {
  readonly family: Family;
  /** The destination in CIDR notation, canonical, without host bits. */
  readonly dst: string;
  readonly type: RouteType;
  /** 1 to 4294967295; 254 is the main table. */
  readonly table: number;
  /** The metric, as it is in the kernel: 0 is a value for IPv4; IPv6 has 1024 in its place. */
  readonly priority: number;
  /** `rtm_protocol`: who added it. */
  readonly protocol: number;
  /** RT_SCOPE_*; always 0 for IPv6. */
  readonly scope: number;
  /** One is the rule, several make a multipath route, none is for types that send packets nowhere. */
  readonly hops: readonly NextHop[];
  readonly tos?: number;
  /** The source prefix of an IPv6 source-specific route. */
  readonly from?: string;
  /** The preferred source address. */
  readonly src?: string;
  readonly mtu?: number;
  readonly advmss?: number;
  /** The id of a nexthop object, which then stands for the hops. */
  readonly nexthopId?: number;
  /** Seconds until the kernel removes it (IPv6 router advertisements). */
  readonly expires?: number;
  /** RTAX_* beside mtu and advmss. */
  readonly metrics?: readonly RawAttribute[];
  /** RTA_* that have no field of their own. */
  readonly other?: readonly RawAttribute[];
};

export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_LINK = 253;
/** The metric that the kernel gives to the connected routes of IPv6 addresses (IP6_RT_PRIO_ADDRCONF). */
export const IP6_RT_PRIO_ADDRCONF = 256;
/** The metric that the kernel gives to IPv6 routes that have none (IP6_RT_PRIO_USER). */
export const IP6_RT_PRIO_USER = 1024;

/** `rtm_protocol` of routes that the kernel adds with an address: the connected ones (linux/rtnetlink.h). */
export const RTPROT_KERNEL = 2;

/** `rtm_protocol` of routes that somebody added who did not say who it is (linux/rtnetlink.h). */
export const RTPROT_BOOT = 3;

/** Is it a default route for every packet? One for some packets only (`from`, `tos`) is not. */
export function isDefaultRoute({ dst, type, from, tos }: Route): boolean {
  return type === 'unicast' && dst.endsWith('/0') && from === undefined && tos === undefined;
}

/** An ordinary route through a gateway on a link; of the main table unless one is given. */
export function routeVia(
  gw: string,
  route: { dst: string; family: Family; link: number; protocol: number; table?: number },
): Route {
  const { dst, family, link, protocol, table = RT_TABLE_MAIN } = route;
  return {
    family,
    dst,
    type: 'unicast',
    table,
    priority: defaultPriority(family),
    protocol,
    scope: RT_SCOPE_UNIVERSE,
    hops: [{ gw, oif: link }],
  };
}

const TYPES_WITHOUT_HOPS: ReadonlySet<RouteType> = new Set(['blackhole', 'unreachable', 'prohibit', 'throw']);

/** Does a route of this type answer for its packets itself, without a next hop? */
export function needsNoHop(type: RouteType): boolean {
  return TYPES_WITHOUT_HOPS.has(type);
}

/**
 * What the kernel tells routes of one table apart by: family, destination, source prefix, type of service, table and
 * priority. Adding a second route with the same key is refused with EEXIST.
 */
export function routeKey(route: Route): string {
  return `${route.dst} ${route.from ?? ''} ${route.tos ?? 0} ${route.table} ${route.priority}`;
}

/**
 * Do both do the same with the same packets? Who added them (`protocol`) and when they expire is left out; next hops
 * are a set, since the kernel returns those of IPv6 in another order.
 */
export function isSameRoute(a: Route, b: Route): boolean {
  return hasSameKey(a, b) && isSameBehaviour(a, b);
}

/** Is their `routeKey` the same? Without making a text for each: a map has 10,000 routes, compared again and again. */
export function hasSameKey(a: Route, b: Route): boolean {
  return (
    a.dst === b.dst &&
    a.table === b.table &&
    a.priority === b.priority &&
    (a.tos ?? 0) === (b.tos ?? 0) &&
    (a.from ?? '') === (b.from ?? '')
  );
}

/** Is this hop, its weight and flags included, one of the route's? */
export function hasHop(route: Route, hop: NextHop): boolean {
  const wanted = canonicalHop(hop);
  return route.hops.some((other) => canonicalHop(other) === wanted);
}

/** The route in the words of `ip route`. `nameOf` gives a link's name by its index. */
export function describeRoute(route: Route, nameOf: (link: number) => string): string {
  const words = [route.type === 'unicast' ? '' : `${route.type} `, route.dst];
  if (route.from !== undefined) words.push(` from ${route.from}`);
  if (route.hops.length === 1) words.push(...route.hops.map((hop) => describeHop(hop, nameOf)));
  else words.push(...route.hops.map((hop) => ` nexthop${describeHop(hop, nameOf)} weight ${hop.weight ?? 1}`));
  if (route.nexthopId !== undefined) words.push(` nhid ${route.nexthopId}`);
  if (route.table !== RT_TABLE_MAIN) words.push(` table ${route.table}`);
  if (route.scope !== defaultScope(route)) words.push(` scope ${route.scope}`);
  if (route.src !== undefined) words.push(` src ${route.src}`);
  if (route.priority !== defaultPriority(route.family)) words.push(` metric ${route.priority}`);
  if (route.mtu !== undefined) words.push(` mtu ${route.mtu}`);
  if (route.advmss !== undefined) words.push(` advmss ${route.advmss}`);
  return words.join('');
}

/** The priority that the kernel gives a route for which none is asked. */
export function defaultPriority(family: Family): number {
  return family === 4 ? 0 : IP6_RT_PRIO_USER;
}

/** The scope that `ip route add` gives: link for what is reached without a gateway, else universe (RFC 1812). */
export function defaultScope(route: Pick<Route, 'family' | 'type' | 'hops'>): number {
  const onLink = route.type === 'unicast' && route.hops.every((hop) => hop.gw === undefined);
  return route.family === 4 && onLink ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
}

function describeHop(hop: NextHop, nameOf: (link: number) => string): string {
  return `${hop.gw === undefined ? '' : ` via ${hop.gw}`} dev ${nameOf(hop.oif)}${hop.onlink ? ' onlink' : ''}`;
}

function isSameBehaviour(a: Route, b: Route): boolean {
  return (
    a.type === b.type &&
    a.scope === b.scope &&
    a.src === b.src &&
    a.mtu === b.mtu &&
    a.advmss === b.advmss &&
    a.nexthopId === b.nexthopId &&
    isSameRaw(a.metrics, b.metrics) &&
    isSameRaw(a.other, b.other) &&
    a.hops.length === b.hops.length &&
    isSameHops(a.hops, b.hops)
  );
}

function isSameRaw(a: readonly RawAttribute[] | undefined, b: readonly RawAttribute[] | undefined): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

function isSameHops(a: readonly NextHop[], b: readonly NextHop[]): boolean {
  const [one, other] = [a[0], b[0]];
  // As most routes have it.
  const isPlain = a.length === 1 && one !== undefined && other !== undefined && isPlainHop(one) && isPlainHop(other);
  return isPlain ? one.gw === other.gw && one.oif === other.oif : canonicalHops(a) === canonicalHops(b);
}

function isPlainHop({ weight, onlink, other }: NextHop): boolean {
  return weight === undefined && onlink === undefined && other === undefined;
}

function canonicalHops(hops: readonly NextHop[]): string {
  return hops.map(canonicalHop).sort().join();
}

function canonicalHop({ gw, oif, weight, onlink, other }: NextHop): string {
  return `${gw} ${oif} ${weight ?? 1} ${onlink} ${JSON.stringify(other)}`;
}
