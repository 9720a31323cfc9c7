import type { NetlinkError } from '../netlink/errors.ts';
import type { Request } from '../netlink/message.ts';
import type { Observation } from '../observation/observation.ts';
import type { Effect, Kind, Names, Refusal } from './kind.ts';
import { type AddAltname, addAltname, type DeleteAltname, deleteAltname, rename } from './link-kinds.ts';
import type { RenameLink } from './rename.ts';
import { type AddRoute, addRoute, type DeleteRoute, deleteRoute } from './route-kinds.ts';
import { type AddRule, addRule, type DeleteRule, deleteRule } from './rule-kinds.ts';

/**
 * One change to a namespace, as data: it goes into a plan, into the journal, and to the kernel. To undo it is to make
 * its inverse, which is a change too. Links are identified by their index, which a rename does not change.
 */
export type Change = AddRoute | DeleteRoute | AddRule | DeleteRule | AddAltname | DeleteAltname | RenameLink;

/** A change that is wanted, and the place in the config that wants it, as `routes[6]`. */
export type Planned = { readonly change: Change; readonly source: string };

const KINDS: { readonly [C in Change as C['op']]: Kind<C, Change> } = {
  'add-route': addRoute,
  'delete-route': deleteRoute,
  'add-rule': addRule,
  'delete-rule': deleteRule,
  'add-altname': addAltname,
  'delete-altname': deleteAltname,
  'rename-link': rename,
};

/** Everything about the kind of this change. */
export function kindOf(change: Change): Kind<Change, Change> {
  // Each row is given changes of its own kind only, which the type of the table says, and TypeScript cannot follow.
  return KINDS[change.op] as unknown as Kind<Change, Change>;
}

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

/** The message to the kernel. */
export function messageOf(change: Change): Request {
  return kindOf(change).request(change);
}

/** What a namespace looks like once the change is made. */
export function effectOf(change: Change): Effect {
  return kindOf(change).effect(change);
}

/** What this refusal of a planned change means to ADD, if it means more than that the kernel refused. */
export function meaningOf(change: Change, error: NetlinkError): Refusal | undefined {
  const { refusals } = kindOf(change);
  return Object.hasOwn(refusals, error.code) ? refusals[error.code] : undefined;
}

/**
 * Does this refusal of an undo mean that there is nothing left to undo? Any other is a failure.
 *
 * "Plugins should generally complete a DEL action without error even if some resources are missing."
 */
export function isAlreadyUndone(inverse: Change, error: NetlinkError): boolean {
  return kindOf(inverse).undoneBy.has(error.code);
}

/** Reads a change that came from a journal; undefined if this build does not know it. */
export function parseChange(value: object): Change | undefined {
  const { op } = value as Partial<Change>;
  if (op === undefined || !Object.hasOwn(KINDS, op)) return undefined;
  return kindOf(value as Change).isValid(value) ? (value as Change) : undefined;
}
