import type { LinkAddress } from '../netlink/address.ts';
import type { NetlinkError } from '../netlink/errors.ts';
import { addAltnameRequest, deleteAltnameRequest, renameLinkRequest } from '../netlink/link.ts';
import type { Request } from '../netlink/message.ts';
import type { Neighbour } from '../netlink/neighbour.ts';
import { describeRoute, hasHop, isSameRoute, type Route, routeKey } from '../netlink/route.ts';
import { addRouteRequest, deleteRouteRequest } from '../netlink/route-message.ts';
import type { Observation } from '../observation/observation.ts';

export type AddRoute = { readonly op: 'add-route'; readonly route: Route };
export type DeleteRoute = { readonly op: 'delete-route'; readonly route: Route };
export type AddAltname = { readonly op: 'add-altname'; readonly link: number; readonly name: string };
export type DeleteAltname = { readonly op: 'delete-altname'; readonly link: number; readonly name: string };

/** `lost` is there while the link is down for it: what goes with that, and must come back (see rename.ts). */
export type RenameLink = {
  readonly op: 'rename-link';
  readonly link: number;
  readonly from: string;
  readonly to: string;
  readonly lost?: LinkState;
};

/** What a link loses when it is taken down. */
export type LinkState = {
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
  readonly neighbours: readonly Neighbour[];
};

/**
 * One change to a namespace, as data: it goes into a plan, into the journal, and to the kernel. To undo it is to make
 * its inverse, which is a change too. Links are meant by their index, which no change of name touches.
 */
export type Change = AddRoute | DeleteRoute | AddAltname | DeleteAltname | RenameLink;

/** A change that is wanted, and the place in the config that wants it, as `routes[6]`. */
export type Planned = { readonly change: Change; readonly source: string };

/** What is to be known about a kind of change. */
type Kind<C extends Change> = {
  inverse(change: C): Change;
  /** Is it so already, so that nothing has to be done? */
  holds(change: C, observed: Observation): boolean;
  /** The change as one line, in the words of `ip`. */
  describe(change: C, names: Names): string;
  /** What is wrong while the change does not hold, as one line. */
  difference(change: C, names: Names): string;
  request(change: C): Request;
  /** Refusals which say, when the change is made to undo another, that there is nothing to undo any more. */
  readonly undoneBy: ReadonlySet<string>;
  /** Are the fields of a change that came from a journal there? */
  isValid(change: Partial<C>): boolean;
};

type Names = Pick<Observation, 'linkName'>;

const KINDS: { readonly [C in Change as C['op']]: Kind<C> } = {
  'add-route': {
    inverse: ({ route }) => ({ op: 'delete-route', route }),
    // A route that somebody else added counts as there, and is not ours then.
    holds: ({ route }, observed) => observed.routesLike(route).some((present) => covers(present, route)),
    describe: ({ route }, { linkName }) => `add route ${describeRoute(route, linkName)}`,
    difference: ({ route }, { linkName }) => `route ${describeRoute(route, linkName)} is missing`,
    request: ({ route }) => addRouteRequest(route),
    // The link or the next hop is gone or down, and the route would be gone with it; or another is in its place.
    undoneBy: new Set(['ENODEV', 'ENETUNREACH', 'EHOSTUNREACH', 'ENETDOWN', 'EEXIST']),
    isValid: hasRoute,
  },
  'delete-route': {
    inverse: ({ route }) => ({ op: 'add-route', route }),
    holds: ({ route }, observed) => !observed.routesLike(route).some((present) => isThatOf(present, route)),
    describe: ({ route }, { linkName }) => `delete route ${describeRoute(route, linkName)}`,
    difference: ({ route }, { linkName }) => `route ${describeRoute(route, linkName)} is still there`,
    request: ({ route }) => deleteRouteRequest(route),
    // The route is gone, or with it its link or its table.
    undoneBy: new Set(['ESRCH', 'ENODEV', 'ENOENT']),
    isValid: hasRoute,
  },
  'add-altname': {
    inverse: ({ link, name }) => ({ op: 'delete-altname', link, name }),
    holds: ({ link, name }, observed) => observed.linkAt(link)?.altnames.includes(name) === true,
    describe: ({ link, name }, { linkName }) => `add altname ${name} to ${linkName(link)}`,
    difference: ({ link, name }, { linkName }) => `interface ${linkName(link)} has no altname ${name}`,
    request: addAltnameRequest,
    // The link is gone, or the name is another's by now.
    undoneBy: new Set(['ENODEV', 'EEXIST']),
    isValid: hasName,
  },
  'delete-altname': {
    inverse: ({ link, name }) => ({ op: 'add-altname', link, name }),
    holds: ({ link, name }, observed) => observed.linkAt(link)?.altnames.includes(name) !== true,
    describe: ({ link, name }, { linkName }) => `delete altname ${name} of ${linkName(link)}`,
    difference: ({ link, name }, { linkName }) => `interface ${linkName(link)} still has the altname ${name}`,
    request: deleteAltnameRequest,
    // The link is gone, or the altname of it.
    undoneBy: new Set(['ENODEV', 'ENOENT', 'EINVAL']),
    isValid: hasName,
  },
  'rename-link': {
    inverse: ({ from, to, ...rest }) => ({ ...rest, from: to, to: from }),
    holds: ({ link, to, lost }, observed) => observed.linkAt(link)?.name === to && lost === undefined,
    describe: ({ from, to }) => `rename interface ${from} to ${to}`,
    difference: ({ link, to }, { linkName }) => `interface ${linkName(link)} is not named ${to}`,
    request: ({ link, to }) => renameLinkRequest({ link, name: to }),
    // The link is gone.
    undoneBy: new Set(['ENODEV']),
    isValid: ({ link, from, to }) => typeof link === 'number' && typeof from === 'string' && typeof to === 'string',
  },
};

/** The change that takes this one back. */
export function inverseOf(change: Change): Change {
  return kindOf(change).inverse(change);
}

/** Is it so already, so that nothing has to be done? */
export function holds(change: Change, observed: Observation): boolean {
  return kindOf(change).holds(change, observed);
}

/** The change as one line, in the words of `ip`. */
export function describe(change: Change, names: Names): string {
  return kindOf(change).describe(change, names);
}

/** What is wrong while the change does not hold, as one line. */
export function describeDifference(change: Change, names: Names): string {
  return kindOf(change).difference(change, names);
}

/** What to ask of the kernel. */
export function requestOf(change: Change): Request {
  return kindOf(change).request(change);
}

/**
 * Is this refusal, when a change is undone, a sign that there is nothing to undo any more? Anything else is raised.
 *
 * "Plugins should generally complete a DEL action without error even if some resources are missing."
 */
export function isAlreadyUndone(inverse: Change, error: NetlinkError): boolean {
  return kindOf(inverse).undoneBy.has(error.code);
}

/** Reads a change that came from a journal; undefined if it is none. */
export function parseChange(value: object): Change | undefined {
  const { op } = value as Partial<Change>;
  if (op === undefined || !Object.hasOwn(KINDS, op)) return undefined;
  return kindOf(value as Change).isValid(value) ? (value as Change) : undefined;
}

// Each kind is given changes of its own only, which the type of the table says, and TypeScript cannot follow.
function kindOf(change: Change): Kind<Change> {
  return KINDS[change.op] as unknown as Kind<Change>;
}

function hasRoute({ route }: { route?: Route }): boolean {
  return typeof route?.dst === 'string' && Array.isArray(route.hops);
}

function hasName({ link, name }: { link?: number; name?: string }): boolean {
  return typeof link === 'number' && typeof name === 'string';
}

// Somebody may have appended hops to an IPv6 route of ours: it still goes where ours goes.
function covers(present: Route, wanted: Route): boolean {
  if (isSameRoute(present, wanted)) return true;
  return hasHopsOf(present, wanted) && isSameRoute({ ...present, hops: wanted.hops }, wanted);
}

// Is it the route that was recorded, whatever metrics the kernel, or somebody, has given it since? With another
// protocol than ours it is somebody else's, and is never deleted.
function isThatOf(present: Route, recorded: Route): boolean {
  const isAlike = present.type === recorded.type && present.protocol === recorded.protocol;
  return isAlike && routeKey(present) === routeKey(recorded) && hasHopsOf(present, recorded);
}

// All hops of ours, and, but for IPv6, no others.
function hasHopsOf(present: Route, ours: Route): boolean {
  const isComplete = ours.hops.every((hop) => hasHop(present, hop));
  const mayHaveMore = ours.family === 6 && ours.hops.length > 0;
  return isComplete && (mayHaveMore || present.hops.length === ours.hops.length);
}
