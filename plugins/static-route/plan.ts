import { type Family, familyOf } from '../../lib/address/address.ts';
import { bitsOf, firstHost, formatPrefix, type Prefix } from '../../lib/address/prefix.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import { withRoutes } from '../../lib/cni/result.ts';
import type { Link } from '../../lib/netlink/link.ts';
import { defaultPriority, defaultScope, type NextHop, type Route, RT_TABLE_MAIN } from '../../lib/netlink/route.ts';
import { attachmentLink, linkOrError, resultIpsOf } from '../../lib/plugin/attachment.ts';
import type { Plan, PlanInput } from '../../lib/plugin/plan.ts';
import { reconcileRoutes, type WantedRoute } from '../../lib/plugin/reconcile.ts';
import { resultRoute } from '../../lib/plugin/result-route.ts';
import { unchainedResult } from '../../lib/plugin/unchained.ts';
import type { RouteConfig, StaticRouteConfig } from './config.ts';
import { mappedRoutes } from './mapped-routes.ts';
import { removedRoutes, withoutRemoved } from './override.ts';

/** Which routes should the attachment have, and what becomes of the result? Throws CniError 100, 101 or 102. */
export function planStaticRoutes(input: PlanInput<StaticRouteConfig>): Plan {
  const { request, config, previous, observed } = input;
  const link = attachmentLink(request, config.interface, previous, observed);
  const context = { ...input, link };
  const wanted = [...listedRoutes(context, 'routes'), ...listedRoutes(context, 'addroutes')];
  const mapped = mappedRoutes(context);

  const removed = removedRoutes(config, link, observed, [...wanted, ...mapped]);
  const gone = new Set(removed.map(({ route }) => route));
  const listed = reconcileRoutes(wanted, observed, config.onConflict, gone);
  // Routes of the map give way to those that are there, whoever put them there.
  const derived = reconcileRoutes(mapped, observed, 'keep', gone);
  const deletions = removed.map(({ route, source }) => ({ change: { op: 'delete-route', route } as const, source }));
  const changes = [...deletions, ...listed.changes, ...derived.changes];
  const base = withoutRemoved(config, previous ?? unchainedResult(link, request.netns, observed));
  const added = [...listed.routes, ...derived.routes].flatMap(resultRoute);
  return {
    changes,
    conflicts: listed.conflicts,
    kept: [...listed.kept, ...derived.kept],
    ...(config.topology !== undefined && { completeFor: 'topology' }),
    result: withRoutes(base, added),
  };
}

type Context = PlanInput<StaticRouteConfig> & { link: Link };

function listedRoutes(context: Context, key: 'routes' | 'addroutes'): WantedRoute[] {
  return context.config[key]
    .map((route, index) => ({ route, source: `${key}[${index}]` }))
    .filter(({ route, source }) => isFamilyPresent(context, route, source))
    .map(({ route, source }) => ({ route: routeOf(context, route, source), source }));
}

function routeOf(context: Context, route: RouteConfig, source: string): Route {
  const { family, dst, type, src, mtu, advmss } = route;
  const hops = type === 'unicast' ? hopsOf(context, route, source) : [];
  return {
    family,
    dst,
    type,
    table: route.table ?? RT_TABLE_MAIN,
    // IPv6 has no priority 0: the kernel puts its default in its place.
    priority: route.priority || defaultPriority(family),
    protocol: context.config.protocol,
    scope: route.scope ?? defaultScope({ family, type, hops }),
    hops,
    ...(src !== undefined && { src }),
    ...(mtu !== undefined && { mtu }),
    ...(advmss !== undefined && { advmss }),
  };
}

function hopsOf(context: Context, route: RouteConfig, source: string): NextHop[] {
  const onlink = route.onlink ? { onlink: true as const } : {};
  if (route.nexthops !== undefined) {
    return route.nexthops.map(({ gw, dev, weight }, index) => ({
      ...(gw !== undefined && { gw }),
      oif: linkOf(context, dev, `${source}.nexthops[${index}]`).index,
      ...(weight !== undefined && weight > 1 && { weight }),
      ...onlink,
    }));
  }
  const gw = gatewayOf(context, route, source);
  return [{ ...(gw !== undefined && { gw }), oif: linkOf(context, route.dev, source).index, ...onlink }];
}

// `source` is the place in the config that `dev` stands in.
function linkOf({ link, observed }: Context, dev: string | undefined, source: string): Link {
  return dev === undefined ? link : linkOrError(dev, observed, `${source}.dev`);
}

// With another `dev` than the attachment's, the previous result's gateway is not on that link.
function gatewayOf(context: Context, { gw, dev, family }: RouteConfig, source: string): string | undefined {
  if (gw !== undefined && gw !== 'auto') return gw;
  const link = linkOf(context, dev, source);
  const named = link.index === context.link.index ? namedGateway(context, family) : undefined;
  return named ?? (gw === 'auto' ? guessedGateway(context, link, family, source) : undefined);
}

function namedGateway({ previous, link }: Context, family: Family): string | undefined {
  return resultIpsOf(link, previous)
    .flatMap(({ gateway }) => gateway ?? [])
    .find((gw) => familyOf(gw) === family);
}

function guessedGateway({ observed }: Context, link: Link, family: Family, source: string): string {
  const subnet = observed
    .addresses(link.index)
    .find((address) => address.prefix.family === family && isGlobal(address));
  if (subnet === undefined) throw noAddress(link, family, source);
  const { prefix } = subnet;
  const gateway = firstHost(prefix);
  if (prefix.length >= bitsOf(family) - 1 || gateway === prefix.address) {
    const reason = gateway === prefix.address ? 'it would be the pod itself' : 'the subnet is too small to have one';
    const message = `${source}: no gateway can be computed from ${formatPrefix(prefix)}: ${reason}; name it with "gw"`;
    throw new CniError(CniCode.noGateway, message);
  }
  return gateway;
}

// A route of a family that its links have no address of goes nowhere. A link-local gateway is reached without one.
function isFamilyPresent(context: Context, route: RouteConfig, source: string): boolean {
  if (route.type !== 'unicast') return true;
  const { config, observed } = context;
  const hops = route.nexthops?.map((hop, index) => ({ ...hop, from: `${source}.nexthops[${index}]` }));
  for (const { gw, dev, from } of hops ?? [{ gw: route.gw, dev: route.dev, from: source }]) {
    const link = linkOf(context, dev, from);
    const isEnough = isLinkLocal(gw) ? () => true : isGlobal;
    const has = observed
      .addresses(link.index)
      .some((address) => address.prefix.family === route.family && isEnough(address));
    if (has) continue;
    if (config.missingFamily === 'fail') throw noAddress(link, route.family, source);
    return false;
  }
  return true;
}

function noAddress(link: Link, family: Family, source: string): CniError {
  const message = `${source}: interface "${link.name}" has no IPv${family} address; see "missingFamily"`;
  return new CniError(CniCode.noAddress, message);
}

function isGlobal({ scope, prefix }: { scope: number; prefix: Prefix }): boolean {
  return prefix.family === 4 || scope === 0;
}

function isLinkLocal(gw: string | undefined): boolean {
  return gw?.startsWith('fe80:') ?? false;
}
