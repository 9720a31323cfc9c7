import type { Pacing } from '../cni/runner.ts';
import { NetlinkError } from '../netlink/errors.ts';
import type { ChangeOptions, RouteSocket } from '../netlink/socket.ts';
import { Observation } from '../observation/observation.ts';
import { type Change, describe, holds, inverseOf, isAlreadyUndone, type RenameLink, requestOf } from './change.ts';
import { type Detours, renameLink } from './rename.ts';

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

export type TransactionOptions = ChangeOptions & {
  /** Told when a link must go down to be renamed; whoever keeps the journal writes down what it loses by that. */
  detours?: Detours | undefined;
  counted?: Pacing['counted'] | undefined;
};

/**
 * Makes all the changes, in their order, or none: if one is refused, those that were made are undone in reverse, and
 * ChangeRefused names the first that was refused. Whoever calls has journalled the changes.
 */
export async function apply(
  socket: RouteSocket,
  changes: readonly Change[],
  observed: Observation,
  options: TransactionOptions = {},
): Promise<void> {
  const { refused, tried, lost } = await make(socket, changes, observed, options);
  const first = lost === undefined ? refused[0] : { index: 0, error: lost };
  if (first === undefined) {
    options.counted?.('applied', changes);
    return;
  }
  const refusedOnes = new Set(refused.map(({ index }) => index));
  const made = changes.slice(0, tried).filter((_, index) => !refusedOnes.has(index));
  options.counted?.('applied', made);
  const { failed } = await undo(socket, made, options);
  throw new ChangeRefused(first.index, first.error, failed);
}

/** What came of undoing: how many changes were taken back, and which could not be, with the first reason. */
export type Undone = { count: number; failed: Change[]; reason: NetlinkError | undefined };

/** Takes changes back, the last first. What is undone already, by whomever, is left as it is. */
export async function undo(
  socket: RouteSocket,
  changes: readonly Change[],
  options: TransactionOptions = {},
): Promise<Undone> {
  const observed = Observation.of(socket);
  const pending = changes.toReversed().filter((change) => !holds(inverseOf(change), observed));
  let left = pending;
  let refused: Refused[] = [];
  // A route can come back only after the one that leads to its gateway, which may have gone before it: so what was
  // refused is tried again, as long as that helps.
  for (;;) {
    const made = await make(socket, left.map(inverseOf), observed, { ...options, keepGoing: true });
    if (made.lost !== undefined) throw made.lost;
    refused = made.refused;
    if (refused.length === 0 || refused.length === left.length) break;
    left = refused.flatMap(({ index }) => left[index] ?? []);
  }
  const failures = refused.flatMap(({ index, error }) => {
    const change = left[index];
    return change === undefined || isAlreadyUndone(inverseOf(change), error) ? [] : { change, error };
  });
  const stayed = new Set(refused.map(({ index }) => left[index]));
  options.counted?.(
    'undone',
    pending.filter((change) => !stayed.has(change)),
  );
  return {
    count: pending.length - refused.length,
    failed: failures.map(({ change }) => change),
    reason: failures[0]?.error,
  };
}

type Refused = { index: number; error: NetlinkError };

/**
 * The first `tried` changes were given to the kernel; those that are not among the refused ones are made. Where the
 * answer was lost, nobody knows which: `lost` says why.
 */
type Made = { tried: number; refused: Refused[]; lost?: NetlinkError };

// As many changes as possible go in one write; the rename of a link has one of its own, for it may take more than that.
async function make(
  socket: RouteSocket,
  changes: readonly Change[],
  observed: Observation,
  options: TransactionOptions,
): Promise<Made> {
  const refused: Refused[] = [];
  let tried = 0;
  while (tried < changes.length && (refused.length === 0 || options.keepGoing)) {
    if (tried > 0) await options.breathe?.();
    const start = tried;
    const part = partAt(changes, start);
    const outcome = await makePart(socket, part, observed, options);
    refused.push(...outcome.refused.map(({ index, error }) => ({ index: start + index, error })));
    tried = start + outcome.tried;
    if (outcome.lost !== undefined) return { tried, refused, lost: outcome.lost };
    if (outcome.tried < part.length) break;
  }
  return { tried, refused };
}

function partAt(changes: readonly Change[], start: number): readonly Change[] {
  const next = changes.findIndex(({ op }, index) => index >= start && op === 'rename-link');
  if (next === start) return changes.slice(start, start + 1);
  return changes.slice(start, next < 0 ? undefined : next);
}

async function makePart(
  socket: RouteSocket,
  part: readonly Change[],
  observed: Observation,
  options: TransactionOptions,
): Promise<Made> {
  const [first] = part;
  try {
    if (first?.op === 'rename-link') return await makeRename(socket, first, observed, options);
    const lines = (index: number) => lineAt(part, index, observed);
    const { sent, refusals } = await socket.change(part.map(requestOf), lines, options);
    return { tried: sent, refused: refusals };
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return { tried: part.length, refused: [], lost: error };
  }
}

async function makeRename(
  socket: RouteSocket,
  rename: RenameLink,
  observed: Observation,
  { detours }: TransactionOptions,
): Promise<Made> {
  const refusal = await renameLink(socket, rename, describe(rename, observed), detours);
  return { tried: 1, refused: refusal === undefined ? [] : [{ index: 0, error: refusal }] };
}

function lineAt(changes: readonly Change[], index: number, observed: Observation): string {
  const change = changes[index];
  return change === undefined ? 'change' : describe(change, observed);
}
