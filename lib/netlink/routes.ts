import type { Family } from '../address/address.ts';
import { NetlinkError } from './errors.ts';
import { type Route, RT_TABLE_MAIN } from './route.ts';
import { decodeRoute, dumpRoutesRequest, lookUpRouteRequest } from './route-message.ts';
import type { RouteSocket } from './socket.ts';

/**
 * The routes of a family, in the kernel's order: all of them, those of one table, or those out of one link; the kernel
 * does the filtering. Throws NetlinkError.
 */
export function listRoutes(
  socket: RouteSocket,
  family: Family,
  filter: { table?: number; oif?: number } = {},
): Route[] {
  try {
    return socket
      .dump('list routes', dumpRoutesRequest(family, filter))
      .flatMap((message) => decodeRoute(message) ?? [])
      .filter((route) => filter.table === undefined || route.table === filter.table);
  } catch (error) {
    // "ipv4: FIB table does not exist", as `ip route show table 4711` has it: a table without routes.
    if (error instanceof NetlinkError && error.code === 'ENOENT' && filter.table !== undefined) return [];
    throw error;
  }
}

/**
 * Addresses that nobody routes more specifically than by default: reserved or unallocated ones. With several, a host
 * that has a route to one of them still gives its default for another.
 */
const UNROUTED: { readonly [F in Family]: readonly string[] } = {
  4: ['240.0.0.1', '248.0.0.1', '192.0.0.9'],
  6: ['4000::1', '8000::1', 'e000::1'],
};

/**
 * What a look-up answers where no route leads on, or the one that does says so itself: `unreachable`, `prohibit`,
 * `blackhole` (without a word; with one, EINVAL is about the request) and `throw`.
 */
const NO_ROUTE = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL', 'EAGAIN']);

/**
 * The default route of a family: with several, the one that the kernel would take (lowest metric, then its own order);
 * undefined if there is none. Throws NetlinkError.
 *
 * The kernel is asked where it would send a packet that only a default route can match (RTM_F_FIB_MATCH), which takes no
 * longer with 100,000 routes than with one. The table is read only where that does not tell.
 */
export function findDefaultRoute(socket: RouteSocket, family: Family): Route | undefined {
  let isHidden = false;
  for (const address of UNROUTED[family]) {
    const route = lookUp(socket, family, address);
    if (route !== undefined && isDefault(route)) return route;
    // A packet that goes nowhere may be one that somebody filters (`unreachable 240.0.0.0/4`): the next one tells.
    isHidden ||= route !== undefined;
  }
  if (!isHidden) return undefined;
  return bestDefault(listRoutes(socket, family, { table: RT_TABLE_MAIN }));
}

/** Which of these routes of one family and table is the default that the kernel would take? undefined if there is none. */
export function bestDefault(routes: readonly Route[]): Route | undefined {
  return routes.filter(isDefault).toSorted((a, b) => a.priority - b.priority)[0];
}

function lookUp(socket: RouteSocket, family: Family, address: string): Route | undefined {
  try {
    return decodeRoute(socket.get(`look up the route to ${address}`, lookUpRouteRequest(family, address)));
  } catch (error) {
    const isAnswer = error instanceof NetlinkError && NO_ROUTE.has(error.code) && error.kernelMessage === undefined;
    if (isAnswer) return undefined;
    throw error;
  }
}

// One that holds for some packets only (`from`, `tos`) is not what others are sent by.
function isDefault({ dst, type, from, tos }: Route): boolean {
  return type === 'unicast' && dst.endsWith('/0') && from === undefined && tos === undefined;
}
