import type { ResultRoute } from '../cni/result.ts';
import { defaultPriority, defaultScope, type Route, RT_TABLE_MAIN } from '../netlink/route.ts';

/**
 * The route in the terms of a result, if they can say it.
 *
 * Routes that send packets nowhere are left out: without a word for it they would read as routes through the interface.
 * Of several next hops none is named: the CHECK of the reference plugins looks for a route with just the gateway that
 * the result names.
 */
export function resultRoute(route: Route): ResultRoute | [] {
  const { dst, mtu, advmss, priority, table, scope, family, hops } = route;
  if (hops.length === 0) return [];
  const gw = hops.length === 1 ? hops[0]?.gw : undefined;
  return {
    dst,
    ...(gw !== undefined && { gw }),
    ...(mtu !== undefined && { mtu }),
    ...(advmss !== undefined && { advmss }),
    ...(priority !== defaultPriority(family) && { priority }),
    ...(table !== RT_TABLE_MAIN && { table }),
    ...(scope !== defaultScope(route) && { scope }),
  };
}
