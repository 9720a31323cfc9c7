import { type Family, familyOf } from '../../lib/address/address.ts';
import { bitsOf, firstHost, formatPrefix, type Prefix } from '../../lib/address/prefix.ts';
import { attachmentLink, linkOrError, resultIpsOf } from '../../lib/change/attachment.ts';
import type { Plan, PlanInput } from '../../lib/change/plan.ts';
import { reconcileRoutes } from '../../lib/change/reconcile.ts';
import { unchainedResult } from '../../lib/change/unchained.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import { type ResultRoute, withRoutes } from '../../lib/cni/result.ts';
import type { Link } from '../../lib/netlink/link.ts';
import { defaultPriority, defaultScope, type NextHop, type Route, RT_TABLE_MAIN } from '../../lib/netlink/route.ts';
import type { RouteConfig, StaticRouteConfig } from './config.ts';

/** Which routes should the attachment have, and what becomes of the result? Throws CniError 100, 101 or 102. */
export function planStaticRoutes(input: PlanInput<StaticRouteConfig>): Plan {
  const { request, config, previous, observed } = input;
  const link = attachmentLink(request, config.interface, previous, observed);
  const context = { ...input, link };
  const wanted = config.routes
    .map((route, index) => ({ route, source: `routes[${index}]` }))
    .filter(({ route, source }) => isFamilyPresent(context, route, source))
    .map(({ route, source }) => ({ route: routeOf(context, route, source), source }));

  const { changes, conflicts, kept } = reconcileRoutes(wanted, observed, config.onConflict);
  const base = previous ?? unchainedResult(link, request.netns, observed);
  const added = wanted.filter(({ route }) => !kept.has(route)).flatMap(({ route }) => resultRoutes(route));
  return { changes, conflicts, result: withRoutes(base, added) };
}

type Context = PlanInput<StaticRouteConfig> & { link: Link };

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
    return route.nexthops.map(({ gw, dev, weight }) => ({
      ...(gw !== undefined && { gw }),
      oif: linkOf(context, dev).index,
      ...(weight !== undefined && weight > 1 && { weight }),
      ...onlink,
    }));
  }
  const gw = gatewayOf(context, route, source);
  return [{ ...(gw !== undefined && { gw }), oif: linkOf(context, route.dev).index, ...onlink }];
}

function linkOf({ link, observed }: Context, dev: string | undefined): Link {
  return dev === undefined ? link : linkOrError(dev, observed);
}

// With another `dev` than the attachment's, the previous result's gateway is not on that link.
function gatewayOf(context: Context, { gw, dev, family }: RouteConfig, source: string): string | undefined {
  if (gw !== undefined && gw !== 'auto') return gw;
  const link = linkOf(context, dev);
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
  const hops = route.nexthops ?? [{ gw: route.gw, dev: route.dev }];
  for (const { gw, dev } of hops) {
    const link = linkOf(context, dev);
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

/**
 * The route in the terms of a result, if they can say it.
 *
 * Routes that send packets nowhere are left out: without a word for it they would read as routes through the interface.
 * Of several next hops none is named: the CHECK of the reference plugins looks for a route with just the gateway that
 * the result names.
 */
function resultRoutes(route: Route): ResultRoute[] {
  const { dst, mtu, advmss, priority, table, scope, family, hops } = route;
  if (hops.length === 0) return [];
  const gw = hops.length === 1 ? hops[0]?.gw : undefined;
  return [
    {
      dst,
      ...(gw !== undefined && { gw }),
      ...(mtu !== undefined && { mtu }),
      ...(advmss !== undefined && { advmss }),
      ...(priority !== defaultPriority(family) && { priority }),
      ...(table !== RT_TABLE_MAIN && { table }),
      ...(scope !== defaultScope(route) && { scope }),
    },
  ];
}
