import { type Family, familyOf } from '../address/address.ts';
import { defaultDestination } from '../address/prefix.ts';
import type { Planned } from '../change/change.ts';
import { withRoutes } from '../cni/result.ts';
import { isDefaultRoute, isSameRoute, type Route, RT_TABLE_MAIN, routeVia } from '../netlink/route.ts';
import type { Observation } from '../observation/observation.ts';
import { attachmentLink } from '../plugin/attachment.ts';
import type { Plan, PlanInput } from '../plugin/plan.ts';
import { resultRoute } from '../plugin/result-route.ts';
import { unchainedResult } from '../plugin/unchained.ts';

/**
 * `gateways`: those of the attachment that become default routes, at most one of each family. `yields`: the families of which
 * another attachment has the default route, so that this one must not have any.
 */
export type DefaultRouteConfig = { readonly gateways: readonly string[]; readonly yields: readonly Family[] };

/** `rtm_protocol` of our routes, as those of the plugins. */
const PROTOCOL = 87;

/**
 * Their metric. For IPv6 a better one than others have (1024), or the kernel would make one multipath route of both, which
 * says only one protocol.
 */
const PRIORITIES: { readonly [F in Family]: number } = { 4: 0, 6: 512 };

/**
 * Plans a default route through each gateway, on the attachment's interface, in the place of all others of its family in
 * the main table; and takes away those on the interface of the families that it yields. Other families are left alone.
 * Throws CniError 100 if there is no such interface.
 */
export function planDefaultRoute(input: PlanInput<DefaultRouteConfig>): Plan {
  const { request, config, previous, observed } = input;
  const { gateways, yields } = config;
  if (gateways.length + yields.length === 0) return { changes: [], conflicts: [], result: previous ?? {} };
  const link = attachmentLink(request, config.interface, previous, observed);
  const wanted = gateways.map((gw) => {
    const family = familyOf(gw);
    const route = routeVia(gw, { dst: defaultDestination(family), family, link: link.index, protocol: PROTOCOL });
    return { ...route, priority: PRIORITIES[family] };
  });
  const taken = wanted.flatMap((route, index): Planned[] => {
    const source = `default-route[${index}]`;
    const gone = defaultsOf(observed, route.family).filter((other) => !isSameRoute(other, route));
    return [...deletions(gone, source), { change: { op: 'add-route', route }, source }];
  });
  const given = yields.flatMap((family) => {
    const own = defaultsOf(observed, family).filter(({ hops }) => hops.every(({ oif }) => oif === link.index));
    return deletions(own, `yields IPv${family}`);
  });
  const base = previous ?? unchainedResult(link, request.netns, observed);
  const families = new Set([...wanted.map(({ family }) => family), ...yields]);
  const kept = base.routes?.filter(({ dst }) => ![...families].some((family) => dst === defaultDestination(family)));
  const result = kept === undefined ? base : { ...base, routes: kept };
  return { changes: [...taken, ...given], conflicts: [], result: withRoutes(result, wanted.flatMap(resultRoute)) };
}

function defaultsOf(observed: Observation, family: Family): Route[] {
  return observed.routesIn(family, RT_TABLE_MAIN).filter(isDefaultRoute);
}

function deletions(routes: readonly Route[], source: string): Planned[] {
  return routes.map((route) => ({ change: { op: 'delete-route', route }, source }));
}
