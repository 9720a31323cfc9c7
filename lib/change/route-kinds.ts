import { CniCode } from '../cni/errors.ts';
import { describeRoute, hasHop, hasSameKey, isSameRoute, type Route } from '../netlink/route.ts';
import { addRouteRequest, deleteRouteRequest } from '../netlink/route-message.ts';
import type { Kind } from './kind.ts';

export type AddRoute = { readonly op: 'add-route'; readonly route: Route };
export type DeleteRoute = { readonly op: 'delete-route'; readonly route: Route };

export const addRoute: Kind<AddRoute, DeleteRoute> = {
  inverse: ({ route }) => ({ op: 'delete-route', route }),
  // A route that somebody else added counts as there, and is not ours then.
  holds: ({ route }, observed) => observed.routesLike(route).some((present) => covers(present, route)),
  describe: ({ route }, { linkName }) => `add route ${describeRoute(route, linkName)}`,
  difference: ({ route }, { linkName }) => `route ${describeRoute(route, linkName)} is missing`,
  request: ({ route }) => addRouteRequest(route),
  // Nothing was in the way when ADD looked.
  refusals: { EEXIST: { code: CniCode.conflict, text: 'a different route was added meanwhile' } },
  // The link or the next hop is gone or down, and the route would be gone with it; or another is in its place.
  undoneBy: new Set(['ENODEV', 'ENETUNREACH', 'EHOSTUNREACH', 'ENETDOWN', 'EEXIST']),
  undoGivesBack: false,
  needsLook: () => false,
  isChecked: true,
  isKnownByConfig: () => true,
  effect: ({ route }) => ({ adds: route }),
  isValid: hasRoute,
};

export const deleteRoute: Kind<DeleteRoute, AddRoute> = {
  inverse: ({ route }) => ({ op: 'add-route', route }),
  holds: ({ route }, observed) => !observed.routesLike(route).some((present) => isThatOf(present, route)),
  describe: ({ route }, { linkName }) => `delete route ${describeRoute(route, linkName)}`,
  difference: ({ route }, { linkName }) => `route ${describeRoute(route, linkName)} is still there`,
  request: ({ route }) => deleteRouteRequest(route),
  refusals: {},
  // The route is gone, or with it its link or its table.
  undoneBy: new Set(['ESRCH', 'ENODEV', 'ENOENT']),
  undoGivesBack: true,
  // To the kernel, a priority of 0 means any.
  needsLook: ({ route }) => route.priority === 0,
  // A route that was deleted, and that somebody has put there again, is no business of ours any more.
  isChecked: false,
  isKnownByConfig: () => false,
  effect: ({ route }) => ({ deletes: route }),
  isValid: hasRoute,
};

function hasRoute({ route }: { route?: Route }): boolean {
  return typeof route?.dst === 'string' && Array.isArray(route.hops);
}

// Somebody may have appended hops to an IPv6 route of ours: it still goes where ours goes.
function covers(present: Route, wanted: Route): boolean {
  if (isSameRoute(present, wanted)) return true;
  return hasHopsOf(present, wanted) && isSameRoute({ ...present, hops: wanted.hops }, wanted);
}

// All hops of ours, and, but for IPv6, no others.
function hasHopsOf(present: Route, ours: Route): boolean {
  const isComplete = ours.hops.every((hop) => hasHop(present, hop));
  return isComplete && (hasSeparateHops(ours) || present.hops.length === ours.hops.length);
}

// Is it the recorded route, or what is left of it, even if the kernel or somebody has changed its metrics since?
// With another protocol than ours it is somebody else's, and is never deleted.
function isThatOf(present: Route, recorded: Route): boolean {
  const isAlike = present.type === recorded.type && present.protocol === recorded.protocol;
  if (!isAlike || !hasSameKey(present, recorded)) return false;
  return hasSeparateHops(recorded) ? recorded.hops.some((hop) => hasHop(present, hop)) : hasHopsOf(present, recorded);
}

// To the kernel, each hop of an IPv6 multipath route is a route, which comes and goes by itself.
function hasSeparateHops({ family, hops }: Route): boolean {
  return family === 6 && hops.length > 0;
}
