import type { NetlinkError } from '../netlink/errors.ts';
import type { Request } from '../netlink/message.ts';
import { describeRoute, hasHop, isSameRoute, type Route } from '../netlink/route.ts';
import { addRouteRequest, deleteRouteRequest } from '../netlink/route-message.ts';
import type { Observation } from './observation.ts';

/**
 * One change to a namespace, as data: it goes into a plan, into the journal, and to the kernel. To undo it is to make
 * its inverse, which is a change too.
 */
export type Change =
  | { readonly op: 'add-route'; readonly route: Route }
  | { readonly op: 'delete-route'; readonly route: Route };

/** The change that takes this one back. */
export function inverseOf(change: Change): Change {
  return { ...change, op: change.op === 'add-route' ? 'delete-route' : 'add-route' };
}

/**
 * Is it so already, so that nothing has to be done?
 *
 * A route that somebody else added counts as there, and then it is not ours: with another protocol than ours it is
 * never deleted.
 */
export function holds(change: Change, observed: Observation): boolean {
  const { route } = change;
  const present = observed.routeLike(route);
  if (change.op === 'add-route') return present !== undefined && covers(present, route);
  return present === undefined || present.protocol !== route.protocol || !covers(present, route);
}

/** The change as one line, in the words of `ip`. */
export function describe(change: Change, observed: Pick<Observation, 'linkName'>): string {
  const verb = change.op === 'add-route' ? 'add' : 'delete';
  return `${verb} route ${describeRoute(change.route, observed.linkName)}`;
}

/** What is wrong while the change does not hold, as one line. */
export function describeDifference({ op, route }: Change, observed: Pick<Observation, 'linkName'>): string {
  return `route ${describeRoute(route, observed.linkName)} is ${op === 'add-route' ? 'missing' : 'still there'}`;
}

/** What to ask of the kernel. */
export function requestOf(change: Change): Request {
  return change.op === 'add-route' ? addRouteRequest(change.route) : deleteRouteRequest(change.route);
}

/**
 * Is this refusal, when a change is undone, a sign that there is nothing to undo any more? Anything else is raised.
 *
 * "Plugins should generally complete a DEL action without error even if some resources are missing."
 */
export function isAlreadyUndone(inverse: Change, error: NetlinkError): boolean {
  const conditions = inverse.op === 'delete-route' ? GONE : CANNOT_RETURN;
  return conditions.has(error.code);
}

/** The route is gone, or with it its link or its table. */
const GONE = new Set(['ESRCH', 'ENODEV', 'ENOENT']);

/** The route's link or next hop is gone or down, so that it would be gone too; or there is another in its place. */
const CANNOT_RETURN = new Set(['ENODEV', 'ENETUNREACH', 'EHOSTUNREACH', 'ENETDOWN', 'EEXIST']);

/** Reads a change that came from a journal; undefined if it is none. */
export function parseChange(value: object): Change | undefined {
  const { op, route } = value as Partial<Change>;
  if (op !== 'add-route' && op !== 'delete-route') return undefined;
  return typeof route?.dst === 'string' && Array.isArray(route.hops) ? (value as Change) : undefined;
}

// Somebody may have appended hops to an IPv6 route of ours: it still goes where ours goes.
function covers(present: Route, wanted: Route): boolean {
  if (isSameRoute(present, wanted)) return true;
  return (
    wanted.family === 6 &&
    wanted.hops.length > 0 &&
    wanted.hops.every((hop) => hasHop(present, hop)) &&
    isSameRoute({ ...present, hops: wanted.hops }, wanted)
  );
}
