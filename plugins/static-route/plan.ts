import type { Family } from '../../lib/address/address.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import { namedGateway, withRoutes } from '../../lib/cni/result.ts';
import type { Link } from '../../lib/netlink/link.ts';
import { defaultPriority, defaultScope, type NextHop, type Route } from '../../lib/netlink/route.ts';
import { attachmentLink, linkOrError, resultIpsOf, resultLinks } from '../../lib/plugin/attachment.ts';
import type { Plan, PlanInput } from '../../lib/plugin/plan.ts';
import { reconcileRoutes, reconcileRules, type WantedRoute, type WantedRule } from '../../lib/plugin/reconcile.ts';
import { resultRoute } from '../../lib/plugin/result-route.ts';
import { unchainedResult } from '../../lib/plugin/unchained.ts';
import type { StaticRouteConfig } from './config.ts';
import { computedGateway, isGlobal } from './gateway.ts';
import { mappedRoutes, mapSource } from './mapped-routes.ts';
import { removedRoutes, withoutRemoved } from './override.ts';
import type { RouteConfig } from './route-config.ts';
import { sourceRouting } from './source-routing.ts';
import { mergedRoutes, withoutListed } from './sources.ts';

/**
 * Which routes should the attachment have, and what is the result? Throws CniError 7 for two different routes in one
 * place, 100, 101 or 102.
 */
export function planStaticRoutes(input: PlanInput<StaticRouteConfig>): Plan {
  const { request, config, previous, observed } = input;
  const link = attachmentLink(request, config.interface, previous, observed);
  const context = { ...input, link };
  const routes = listedRoutes(context, 'routes');
  const added = listedRoutes(context, 'addroutes');
  // Within one list, the config has said that no two routes are in each other's way.
  const wanted = added.length === 0 ? routes : mergedRoutes([...routes, ...added], observed.linkName);
  const mapped = withoutListed(mappedRoutes(context), wanted);

  // route-override works on every interface of the result.
  const links = config.interface === undefined ? [link, ...resultLinks(request, previous, observed)] : [link];
  const removed = removedRoutes(config, links, observed, [...wanted, ...mapped]);
  const gone = new Set(removed.map(({ route }) => route));
  const listed = reconcileRoutes(wanted, observed, config.onConflict, gone);
  // A route of the map gives way to one that is there, whoever added it.
  const derived = reconcileRoutes(mapped, observed, 'keep', gone);
  const deletions = removed.map(({ route, source }) => ({ change: { op: 'delete-route', route } as const, source }));
  const sourced = sourceRouting(context, () => [...wanted.filter(namesNoTable(config)), ...mapped], gone);
  const routed = reconcileRoutes(withoutListed(sourced.routes, wanted), observed, 'fail', gone);
  const rules = reconcileRules(listedRules(context), observed, config.onConflict);
  const sourceRules = reconcileRules(sourced.rules, observed, 'fail');
  const parts = [listed, derived, routed, rules, sourceRules];
  const base = withoutRemoved(config, previous ?? unchainedResult(link, request.netns, observed));
  const made = [...listed.routes, ...derived.routes].flatMap(resultRoute);
  return {
    changes: [...deletions, ...parts.flatMap(({ changes }) => changes)],
    conflicts: parts.flatMap(({ conflicts }) => conflicts),
    kept: parts.flatMap(({ kept }) => kept),
    ...(config.topology !== undefined && { completeFor: mapSource(config) }),
    result: withRoutes(base, made),
  };
}

type Context = PlanInput<StaticRouteConfig> & { link: Link };

function listedRoutes(context: Context, key: 'routes' | 'addroutes'): WantedRoute[] {
  return context.config[key]
    .map((route, index) => ({ route, source: `${key}[${index}]` }))
    .filter(({ route, source }) => isFamilyPresent(context, route, source))
    .map(({ route, source }) => ({ route: routeOf(context, route, source), source }));
}

// A route with `table` is in that table, the main one too, and in no other.
function namesNoTable({ routes, addroutes }: StaticRouteConfig): (wanted: WantedRoute) => boolean {
  const lists = Object.entries({ routes, addroutes });
  const named = new Set(
    lists.flatMap(([key, list]) => list.flatMap(({ table }, i) => (table === undefined ? [] : `${key}[${i}]`))),
  );
  return ({ source }) => !named.has(source);
}

// Where no address says which family a rule is of, the kernel may have no rules of one of them.
function listedRules({ config, observed }: Context): WantedRule[] {
  return config.rules.flatMap(({ rules, isOfEither }, index) => {
    const source = `rules[${index}]`;
    return rules
      .filter(({ family }) => !isOfEither || observed.hasRules(family))
      .map(({ iif, oif, ...rule }) => ({
        source,
        rule: {
          ...rule,
          // The kernel knows a link in a rule by its name, and not by an altname once the link is renamed.
          ...(iif !== undefined && { iif: linkOrError(iif, observed, `${source}.iif`).name }),
          ...(oif !== undefined && { oif: linkOrError(oif, observed, `${source}.oif`).name }),
          protocol: config.protocol,
        },
      }));
  });
}

function routeOf(context: Context, route: RouteConfig, source: string): Route {
  const { family, dst, type, src, mtu, advmss } = route;
  const hops = type === 'unicast' ? hopsOf(context, route, source) : [];
  return {
    family,
    dst,
    type,
    table: route.table ?? tableOf(context, hops),
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

// The kernel would take it in any table, but what arrives on a port of a VRF asks the VRF's only.
function tableOf({ link, observed }: Context, [hop]: readonly NextHop[]): number {
  return observed.tableOf((hop && observed.linkAt(hop.oif)) ?? link);
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

// The gateway that `prevResult` names is on the attachment's link, not on another `dev`.
function gatewayOf(context: Context, route: RouteConfig, source: string): string | undefined {
  const { gw, dev, family } = route;
  if (route.isOnLink) return undefined;
  if (gw !== undefined && gw !== 'auto') return gw;
  const link = linkOf(context, dev, source);
  const isAttachments = link.index === context.link.index;
  const named = isAttachments ? namedGateway(resultIpsOf(link, context.previous), family) : undefined;
  return named ?? (gw === 'auto' ? guessedGateway(context, link, family, source) : undefined);
}

function guessedGateway({ observed }: Context, link: Link, family: Family, source: string): string {
  const subnet = observed
    .addresses(link.index)
    .find((address) => address.prefix.family === family && isGlobal(address));
  if (subnet === undefined) throw noAddress(link, family, source);
  return computedGateway(subnet.prefix, source);
}

// A route is of no use if its links have no address of its family. A link-local gateway needs no more than a link-local
// one. A tentative address counts: it will be there in a moment, and the kernel takes the route.
function isFamilyPresent(context: Context, route: RouteConfig, source: string): boolean {
  if (route.type !== 'unicast') return true;
  const { config, observed } = context;
  const hops = route.nexthops?.map((hop, index) => ({ ...hop, from: `${source}.nexthops[${index}]` }));
  for (const { gw, dev, from } of hops ?? [{ gw: route.gw, dev: route.dev, from: source }]) {
    const link = linkOf(context, dev, from);
    const has = observed.addresses(link.index).some((address) => {
      return address.prefix.family === route.family && (isLinkLocal(gw) || isGlobal(address));
    });
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

function isLinkLocal(gw: string | undefined): boolean {
  return gw?.startsWith('fe80:') ?? false;
}
