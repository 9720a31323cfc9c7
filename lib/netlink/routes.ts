import type { Family } from '../address/address.ts';
import { NetlinkError } from './errors.ts';
import type { Route } from './route.ts';
import { decodeRoute, dumpRoutesRequest, type RouteFilter } from './route-message.ts';
import type { RouteSocket } from './socket.ts';

/**
 * The routes of a family, in the kernel's order: all of them, or those of a filter. Throws NetlinkError.
 *
 * If somebody else changes the table meanwhile, a route of a longer list can be missing in it, or be there twice: the
 * kernel goes on from where it was, and says nothing (inet_dump_fib, inet6_dump_fib). Nothing is done by the list alone,
 * so it is not read again and again: a route is added only if the kernel has none with its key (NLM_F_EXCL), deleted by
 * what it is, and routes with one key are looked at together.
 */
export function listRoutes(socket: RouteSocket, family: Family, filter: RouteFilter = {}): Route[] {
  try {
    return socket
      .dump('list routes', dumpRoutesRequest(family, filter))
      .flatMap((message) => decodeRoute(message) ?? [])
      .filter((route) => filter.table === undefined || route.table === filter.table);
  } catch (error) {
    // "ipv4: FIB table does not exist": a table without routes, as for `ip route show table 4711`.
    if (error instanceof NetlinkError && error.code === 'ENOENT' && filter.table !== undefined) return [];
    throw error;
  }
}
