import * as z from 'zod/mini';
import { type Family, familyOf, unspecified } from '../../lib/address/address.ts';
import { defaultDestination, formatPrefix } from '../../lib/address/prefix.ts';
import { address, addressOr, hostBitsProblem, integer, interfaceName, prefixOr } from '../../lib/cni/schema.ts';
import { defaultPriority, RT_SCOPE_UNIVERSE, RT_TABLE_MAIN } from '../../lib/netlink/route.ts';

// The schema of one route, and of lists of them.

const UINT32_MAX = 0xffff_ffff;

/**
 * The kernel takes more for a route, silently makes these of it (net/ipv4/metrics.c, ip_metrics_convert), and the route
 * is then not the one that was asked for.
 */
const MAX_MTU = 65_535 - 15;
const MAX_ADVMSS = 65_535 - 40;

/** A destination: a prefix, or `default`. */
export const destination = prefixOr('default');

const nextHop = z.strictObject({
  gw: z.optional(address),
  dev: z.optional(interfaceName),
  weight: z.optional(integer(1, 256)),
});

const routeKeys = z.strictObject({
  dst: destination,
  gw: z.optional(addressOr('auto')),
  dev: z.optional(interfaceName),
  nexthops: z.optional(z.array(nextHop).check(z.minLength(1, 'must not be empty'))),
  src: z.optional(address),
  priority: z.optional(integer(0, UINT32_MAX)),
  table: z.optional(integer(1, UINT32_MAX)),
  scope: z.optional(integer(0, 255)),
  mtu: z.optional(integer(1, MAX_MTU)),
  advmss: z.optional(integer(1, MAX_ADVMSS)),
  onlink: z.optional(z.boolean()),
  type: z._default(z.enum(['unicast', 'blackhole', 'unreachable', 'prohibit', 'throw']), 'unicast'),
});

type HopKeys = z.output<typeof nextHop>;
type RouteKeys = z.output<typeof routeKeys>;
type Wrong = (path: PropertyKey[], message: string) => void;

const route = z.pipe(
  routeKeys.check((context) => {
    checkRoute(context.value, (path, message) => {
      context.issues.push({ code: 'custom', message, input: context.value, path });
    });
  }),
  z.transform((keys) => {
    const family = familyOfRoute(keys);
    const dst = keys.dst === 'default' ? defaultDestination(family) : formatPrefix(keys.dst);
    return { ...keys, ...(keys.nexthops && { nexthops: withoutIdleWeight(keys.nexthops) }), family, dst };
  }),
);

/** One route of the config: checked, its destination canonical, with its family. */
export type RouteConfig = z.output<typeof route> & OnLink;

/** What the kernel tells routes of one family apart by, as far as a config can say it. See `routeKey`. */
export function routeConfigKey({ dst, table = RT_TABLE_MAIN, priority, family }: RouteConfig): string {
  return `${dst} ${table} ${priority || defaultPriority(family)}`;
}

/** The schema of a list of routes under this key. */
export function listOfRoutes(key: 'routes' | 'addroutes') {
  return z.array(route).check((context) => {
    checkDuplicates(key, context.value, (path, message) => {
      context.issues.push({ code: 'custom', message, input: context.value, path });
    });
  });
}

/** A route of `addroutes` that route-override would put on the link. */
type OnLink = { isOnLink?: true };

/**
 * The schema of `addroutes`, in which a route without `gw` means what it means in route-override: it is on the link, with
 * the scope of a route through a gateway.
 */
export const addedRoutes = z.pipe(
  listOfRoutes('addroutes'),
  z.transform((list) =>
    list.map((added): typeof added & OnLink => {
      const { type, gw, nexthops, family, scope = family === 4 ? RT_SCOPE_UNIVERSE : undefined } = added;
      if (type !== 'unicast' || gw !== undefined || nexthops !== undefined) return added;
      return { ...added, scope, isOnLink: true };
    }),
  ),
);

// The family of `default` follows from the addresses beside it; without any, it is IPv4's, as for `ip`.
function familyOfRoute({ dst, gw, nexthops, src }: RouteKeys): Family {
  if (dst !== 'default') return dst.family;
  const written = [gw, ...(nexthops ?? []).map((hop) => hop.gw), src];
  const hint = written.find((text) => text !== undefined && text !== 'auto');
  return hint === undefined ? 4 : familyOf(hint);
}

// The kernel forgets the weight of a next hop that is the only one.
function withoutIdleWeight(hops: HopKeys[]): HopKeys[] {
  return hops.length > 1 ? hops : hops.map(({ weight: _, ...hop }) => hop);
}

function checkRoute(keys: RouteKeys, wrong: Wrong): void {
  const family = familyOfRoute(keys);
  checkHostBits(keys.dst, wrong);
  checkFamilies(keys, family, wrong);
  checkHops(keys, wrong);
  if (family === 6 && keys.scope !== undefined && keys.scope !== 0) {
    wrong(['scope'], 'IPv6 routes have no scope; leave it out');
  }
}

function checkHostBits(dst: RouteKeys['dst'], wrong: Wrong): void {
  const problem = dst === 'default' ? undefined : hostBitsProblem(dst);
  if (dst !== 'default' && problem !== undefined) wrong(['dst'], `${formatPrefix(dst)} ${problem}`);
}

function checkFamilies({ gw, nexthops = [], src }: RouteKeys, family: Family, wrong: Wrong): void {
  const check = (text: string | undefined, path: PropertyKey[]) => {
    if (text === undefined || text === 'auto') return;
    const own = familyOf(text);
    if (own !== family) wrong(path, `${text} is an IPv${own} address, but the destination is IPv${family}`);
    // The kernel takes it as if the attribute was not there.
    else if (text === unspecified(family)) wrong(path, `${text} stands for no address; leave it out`);
  };
  check(gw, ['gw']);
  check(src, ['src']);
  nexthops.forEach((hop, i) => {
    check(hop.gw, ['nexthops', i, 'gw']);
  });
}

function checkHops({ gw, dev, nexthops, onlink, type }: RouteKeys, wrong: Wrong): void {
  if (type !== 'unicast') {
    const given = { gw, dev, nexthops, onlink };
    for (const [key, value] of Object.entries(given)) {
      if (value !== undefined) wrong([key], `a route of type "${type}" has no next hop`);
    }
    return;
  }
  if (nexthops !== undefined && gw !== undefined) wrong(['gw'], 'goes into "nexthops", or without them');
  if (nexthops !== undefined && dev !== undefined) wrong(['dev'], 'goes into "nexthops", or without them');
  const hasGateway = gw !== undefined || nexthops?.every((hop) => hop.gw !== undefined);
  if (onlink && !hasGateway) wrong(['onlink'], 'needs a "gw"');
}

// The kernel cannot have two routes with the same destination, table and priority.
function checkDuplicates(list: string, routes: RouteConfig[], wrong: Wrong): void {
  const seen = new Map<string, number>();
  routes.forEach((each, index) => {
    const key = routeConfigKey(each);
    const first = seen.get(key);
    const text = `has the destination, table and priority of ${list}[${first}]; use "nexthops" for several gateways`;
    if (first === undefined) seen.set(key, index);
    else wrong([index], text);
  });
}
