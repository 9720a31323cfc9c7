import * as z from 'zod/mini';
import { type Family, familyOf, unspecified } from '../../lib/address/address.ts';
import { formatPrefix, networkOf } from '../../lib/address/prefix.ts';
import { type ParsedConfig, parseConfig } from '../../lib/cni/config.ts';
import { HERE, type PathOf } from '../../lib/cni/place.ts';
import type { JsonObject } from '../../lib/cni/request.ts';
import {
  absolutePath,
  address,
  addressOr,
  configError,
  hostBitsProblem,
  integer,
  interfaceName,
  prefixOr,
} from '../../lib/cni/schema.ts';
import { defaultPriority, RT_TABLE_MAIN } from '../../lib/netlink/route.ts';
import { routePolicyKeys } from '../../lib/plugin/route-policy.ts';
import { readTopologyFile, topologyKey } from './topology.ts';

const UINT32_MAX = 0xffff_ffff;

/**
 * The kernel takes more for a route, silently makes these of it (net/ipv4/metrics.c, ip_metrics_convert), and the route
 * is then not the one that was asked for.
 */
const MAX_MTU = 65_535 - 15;
const MAX_ADVMSS = 65_535 - 40;

const destination = prefixOr('default');

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
    const dst = keys.dst === 'default' ? defaultOf(family) : formatPrefix(keys.dst);
    return { ...keys, ...(keys.nexthops && { nexthops: withoutIdleWeight(keys.nexthops) }), family, dst };
  }),
);

const routeList = z._default(
  z.array(route).check((context) => {
    checkDuplicates(context.value, (path, message) => {
      context.issues.push({ code: 'custom', message, input: context.value, path });
    });
  }),
  [],
);

// route-override takes a whole route here, and looks at these two keys.
const removed = z.pipe(
  z.looseObject({ dst: destination, gw: z.optional(address) }),
  z.transform(({ dst, gw }) => ({ dst: destinationText(dst, gw), gw })),
);

/** The plugin's own keys. */
export const staticRouteKeys = {
  routes: routeList,
  addroutes: routeList,
  delroutes: z._default(z.array(removed), []),
  flushroutes: z._default(z.boolean(), false),
  flushgateway: z._default(z.boolean(), false),
  missingFamily: z._default(z.enum(['fail', 'skip']), 'fail'),
  topology: z.optional(topologyKey),
  topologyFile: z.optional(absolutePath),
  ...routePolicyKeys,
};

/** Those of them that `args.cni` cannot set: they name files of the node. */
export const staticRouteNodeKeys = ['topologyFile'];

/** One route of the config: checked, its destination canonical, with the family that follows from it. */
export type RouteConfig = z.output<typeof route>;

export type StaticRouteConfig = z.output<z.ZodMiniObject<typeof staticRouteKeys>>;

/** Reads the plugin's config. Throws CniError 7 that lists every problem with its path. */
export function parseStaticRouteConfig(document: JsonObject): ParsedConfig<StaticRouteConfig> {
  const parsed = parseConfig(staticRouteKeys, document, staticRouteNodeKeys);
  const { topology, topologyFile } = parsed.config;
  if (topology === undefined || topologyFile === undefined) return parsed;
  const message = 'goes without "topology"; one map is enough';
  throw configError('invalid network config', [{ path: 'topologyFile', message }]);
}

/**
 * The same, with the map of `topologyFile` read into `topology`, anew at each call; `pathOf` says where the caller's files
 * are. Throws CniError 7.
 */
export async function readStaticRouteConfig(
  document: JsonObject,
  pathOf: PathOf = HERE.pathOf,
): Promise<ParsedConfig<StaticRouteConfig>> {
  const { config, warnings } = parseStaticRouteConfig(document);
  if (config.topologyFile === undefined) return { config, warnings };
  return { config: { ...config, topology: await readTopologyFile(config.topologyFile, pathOf) }, warnings };
}

// `default` says nothing about the family, so the addresses beside it decide; without any, it is IPv4's, as for `ip`.
function familyOfRoute({ dst, gw, nexthops, src }: RouteKeys): Family {
  if (dst !== 'default') return dst.family;
  const written = [gw, ...(nexthops ?? []).map((hop) => hop.gw), src];
  const hint = written.find((text) => text !== undefined && text !== 'auto');
  return hint === undefined ? 4 : familyOf(hint);
}

function destinationText(dst: RouteKeys['dst'], gw: string | undefined): string {
  return dst === 'default' ? defaultOf(gw === undefined ? 4 : familyOf(gw)) : formatPrefix(networkOf(dst));
}

function defaultOf(family: Family): string {
  return family === 4 ? '0.0.0.0/0' : '::/0';
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
    // To the kernel it is as if the attribute was not there.
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

// Two routes with the same destination, table and priority cannot both be in the kernel.
function checkDuplicates(routes: RouteConfig[], wrong: Wrong): void {
  const seen = new Map<string, number>();
  routes.forEach(({ family, dst, table = RT_TABLE_MAIN, priority }, index) => {
    const key = `${dst} ${table} ${priority || defaultPriority(family)}`;
    const first = seen.get(key);
    if (first === undefined) seen.set(key, index);
    else
      wrong(
        [index],
        `has the destination, table and priority of routes[${first}]; use "nexthops" for several gateways`,
      );
  });
}
