import { NetlinkError } from '../netlink/errors.ts';
import type { ChangeOptions, RouteSocket } from '../netlink/socket.ts';
import { type Change, describe, holds, inverseOf, isAlreadyUndone, requestOf } from './change.ts';
import { Observation } from './observation.ts';

/** A change that the kernel refused, and what could not be taken back of those that it had made before. */
export class ChangeRefused extends Error {
  readonly index: number;
  readonly reason: NetlinkError;
  readonly notUndone: Change[];

  /** `index` is the change's place in the list that was to be applied. */
  constructor(index: number, reason: NetlinkError, notUndone: Change[]) {
    super(reason.message, { cause: reason });
    this.name = 'ChangeRefused';
    this.index = index;
    this.reason = reason;
    this.notUndone = notUndone;
  }
}

/**
 * Makes all the changes, in their order, or none: if one is refused, those that were made are undone in reverse, and
 * ChangeRefused names the first that was refused. Whoever calls has journalled the changes.
 */
export async function apply(
  socket: RouteSocket,
  changes: readonly Change[],
  observed: Observation,
  options: ChangeOptions = {},
): Promise<void> {
  const text = (index: number) => lineAt(changes, index, observed);
  let made = changes;
  let failure: { index: number; error: NetlinkError } | undefined;
  try {
    const outcome = await socket.change(changes.map(requestOf), text, options);
    const refused = new Set(outcome.refusals.map(({ index }) => index));
    made = changes.slice(0, outcome.sent).filter((_, index) => !refused.has(index));
    failure = outcome.refusals[0];
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    // The answer is lost, so all of them may have been made.
    failure = { index: 0, error };
  }
  if (failure === undefined) return;
  const { failed } = await undo(socket, made, options);
  throw new ChangeRefused(failure.index, failure.error, failed);
}

/** What came of undoing: how many changes were taken back, and which could not be, with the first reason. */
export type Undone = { count: number; failed: Change[]; reason: NetlinkError | undefined };

/** Takes changes back, the last first. What is undone already, by whomever, is left as it is. */
export async function undo(
  socket: RouteSocket,
  changes: readonly Change[],
  options: ChangeOptions = {},
): Promise<Undone> {
  const observed = Observation.of(socket);
  const pending = changes.toReversed().filter((change) => !holds(inverseOf(change), observed));
  const inverses = pending.map(inverseOf);
  const text = (index: number) => lineAt(inverses, index, observed);
  const { refusals } = await socket.change(inverses.map(requestOf), text, { ...options, keepGoing: true });
  const failures = refusals.filter(({ index, error }) => {
    const inverse = inverses[index];
    return inverse !== undefined && !isAlreadyUndone(inverse, error);
  });
  return {
    count: pending.length - refusals.length,
    failed: failures.flatMap(({ index }) => pending[index] ?? []),
    reason: failures[0]?.error,
  };
}

function lineAt(changes: readonly Change[], index: number, observed: Observation): string {
  const change = changes[index];
  return change === undefined ? 'change' : describe(change, observed);
}
