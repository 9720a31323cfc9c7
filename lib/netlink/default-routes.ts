import type { Family } from '../address/address.ts';
import { isUsable, listAddressesOf } from './address.ts';
import { NetlinkError } from './errors.ts';
import { isDefaultRoute, type Route, RT_TABLE_MAIN } from './route.ts';
import { decodeRoute, lookUpRouteRequest } from './route-message.ts';
import { listRoutes } from './routes.ts';
import type { RouteSocket } from './socket.ts';

/**
 * Addresses that nobody routes more specifically than by default: reserved or unallocated ones. There are several, so
 * that the default route is also found where another route covers one of them.
 */
const UNROUTED: { readonly [F in Family]: readonly string[] } = {
  4: ['240.0.0.1', '248.0.0.1', '192.0.0.9'],
  6: ['4000::1', '8000::1', 'e000::1'],
};

/**
 * The answers of a look-up that finds no route, or one of a type that sends packets nowhere: `unreachable`, `prohibit`,
 * `blackhole` (EINVAL without a message; with one, the request was wrong) and `throw`.
 */
const NO_ROUTE = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL', 'EAGAIN']);

/**
 * The default routes of a family that the kernel chooses from: those with the lowest metric, in the table that its rules
 * lead to, by order of neither metric nor time. Empty if there are none. Throws NetlinkError.
 *
 * The kernel is asked where it would send a packet that only a default route can match (RTM_F_FIB_MATCH), which takes as
 * long with 100,000 routes as with one. Of several routes with one metric it names one, by a hash or by the state of its
 * neighbours, so it is asked again for each link that has a usable address. Two routes out of one link count as one. The
 * table is only read if more specific routes hide the default route.
 */
export function findDefaultRoutes(socket: RouteSocket, family: Family): Route[] {
  let isHidden = false;
  for (const address of UNROUTED[family]) {
    const route = lookUp(socket, family, address);
    if (route !== undefined && isDefaultRoute(route)) return [route, ...rivals(socket, route, address)];
    // A route of type `unreachable` and the like may be a filter for this address only: ask for the next one.
    isHidden ||= route !== undefined;
  }
  return isHidden ? lowestDefaults(listRoutes(socket, family, { table: RT_TABLE_MAIN })) : [];
}

/** The default routes with the lowest metric among these routes of one family and table, in their order. */
export function lowestDefaults(routes: readonly Route[]): Route[] {
  const defaults = routes.filter(isDefaultRoute);
  const lowest = Math.min(...defaults.map(({ priority }) => priority));
  return defaults.filter(({ priority }) => priority === lowest);
}

// Links without a usable address are left out: their number grows with the node's pods, and nobody asks for them.
function rivals(socket: RouteSocket, found: Route, address: string): Route[] {
  const { family, table, priority } = found;
  const links = new Set(listAddressesOf(socket, family).flatMap((own) => (isUsable(own) ? own.link : [])));
  const rivals: Route[] = [];
  for (const link of links) {
    if ([found, ...rivals].some((known) => isOut(known, link))) continue;
    const route = lookUp(socket, family, address, link);
    // IPv6 names another link's route where this one has none.
    if (route === undefined || !isDefaultRoute(route) || !isOut(route, link)) continue;
    if (route.table === table && route.priority === priority) rivals.push(route);
  }
  return rivals;
}

function isOut({ hops }: Route, link: number): boolean {
  return hops.some(({ oif }) => oif === link);
}

function lookUp(socket: RouteSocket, family: Family, address: string, link?: number): Route | undefined {
  try {
    const request = lookUpRouteRequest(family, address, link);
    return decodeRoute(socket.get(`look up the route to ${address}`, request));
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    const isNoRoute = NO_ROUTE.has(error.code) && error.kernelMessage === undefined;
    // The link was deleted meanwhile, or taken down.
    const isNoLink = link !== undefined && (error.code === 'ENODEV' || error.code === 'ENETDOWN');
    if (isNoRoute || isNoLink) return undefined;
    throw error;
  }
}
