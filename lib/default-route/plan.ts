import { type Family, familyOf } from '../address/address.ts';
import { withRoutes } from '../cni/result.ts';
import {
  hasHop,
  isDefaultRoute,
  isSameRoute,
  type NextHop,
  type Route,
  RT_TABLE_MAIN,
  routeVia,
} from '../netlink/route.ts';
import type { Observation } from '../observation/observation.ts';
import { attachmentLink } from '../plugin/attachment.ts';
import type { Plan, PlanInput } from '../plugin/plan.ts';
import { resultRoute } from '../plugin/result-route.ts';
import { unchainedResult } from '../plugin/unchained.ts';

/** `gateways`: at most one of each family. */
export type DefaultRouteConfig = { readonly gateways: readonly string[] };

/** `rtm_protocol` of our routes, as those of the plugins. */
const PROTOCOL = 87;

/**
 * Plans a default route through each gateway, on the attachment's interface, in the place of all others of its family in
 * the main table. Families without a gateway are left alone. Throws CniError 100 if there is no such interface.
 */
export function planDefaultRoute(input: PlanInput<DefaultRouteConfig>): Plan {
  const { request, config, previous, observed } = input;
  if (config.gateways.length === 0) return { changes: [], conflicts: [], result: previous ?? {} };
  const link = attachmentLink(request, config.interface, previous, observed);
  const wanted = config.gateways.map((gw) => {
    const family = familyOf(gw);
    return routeVia(gw, { dst: anywhere(family), family, link: link.index, protocol: PROTOCOL });
  });
  const changes = wanted.flatMap((route, index) => {
    const source = `default-route[${index}]`;
    const gone = others(route, observed).map((other) => ({ op: 'delete-route', route: other }) as const);
    return [...gone, { op: 'add-route', route } as const].map((change) => ({ change, source }));
  });
  const base = previous ?? unchainedResult(link, request.netns, observed);
  const families = new Set(wanted.map(({ family }) => family));
  const kept = base.routes?.filter(({ dst }) => !isAnywhere(dst) || !families.has(familyOf(dst.split('/')[0] ?? '')));
  const result = kept === undefined ? base : { ...base, routes: kept };
  return { changes, conflicts: [], result: withRoutes(result, wanted.flatMap(resultRoute)) };
}

// All default routes but the wanted one. To the kernel, each hop of an IPv6 multipath route is a route of its own.
function others(wanted: Route, observed: Observation): Route[] {
  const [own] = wanted.hops as [NextHop];
  return observed
    .routesIn(wanted.family, RT_TABLE_MAIN)
    .filter((route) => isDefaultRoute(route) && !isSameRoute(route, wanted))
    .flatMap((route) => {
      const isShared = route.family === 6 && route.priority === wanted.priority && hasHop(route, own);
      const hops = isShared ? route.hops.filter((hop) => hop.gw !== own.gw || hop.oif !== own.oif) : route.hops;
      return hops.length === 0 ? [] : [{ ...route, hops }];
    });
}

function anywhere(family: Family): string {
  return family === 4 ? '0.0.0.0/0' : '::/0';
}

function isAnywhere(dst: string): boolean {
  return dst === anywhere(4) || dst === anywhere(6);
}
