import type { Pacing } from '../cni/runner.ts';
import { FileError } from '../files/files.ts';
import { NetlinkError } from '../netlink/errors.ts';
import type { ChangeOptions, RouteSocket } from '../netlink/socket.ts';
import { Observation } from '../observation/observation.ts';
import { type Change, describe, effectOf, holds, inverseOf, isAlreadyUndone, kindOf, messageOf } from './change.ts';
import type { Detours } from './rename.ts';

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
  /** Called when a link must go down to be renamed: whoever keeps the journal writes down what the link loses by that. */
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
  throw new ChangeRefused(
    first.index,
    first.error,
    failed.map(({ change }) => change),
  );
}

/** What came of undoing: how many changes were taken back, and which could not be, with the kernel's reason. */
export type Undone = { readonly count: number; readonly failed: readonly NotMade[] };

/** A change that the kernel refused, and why. `isLost`: it may have been made, since the kernel's answer was lost. */
export type NotMade = { readonly change: Change; readonly error: NetlinkError; readonly isLost?: true };

/** Takes changes back, the last first. What is undone already, by whomever, is left as it is. Throws NetlinkError. */
export async function undo(
  socket: RouteSocket,
  changes: readonly Change[],
  options: TransactionOptions = {},
): Promise<Undone> {
  const observed = lookBack(socket, changes);
  const pending = changes.toReversed().filter((change) => !isUndone(inverseOf(change), observed));
  const inverses = new Map(pending.map((change) => [inverseOf(change), change]));
  const refused = (await makeWhatGoes(socket, [...inverses.keys()], observed, options)).flatMap(
    ({ change: inverse, ...why }): NotMade[] => {
      const change = inverses.get(inverse);
      return change === undefined ? [] : [{ change, ...why }];
    },
  );
  const stayed = new Set(refused.map(({ change }) => change));
  const undone = pending.filter((change) => !stayed.has(change));
  options.counted?.('undone', undone);
  const failed = refused.filter(({ change, error }) => !isAlreadyUndone(inverseOf(change), error));
  return { count: undone.length, failed };
}

/** Makes those of the changes that the kernel takes. Returns the others, with its reasons. Throws NetlinkError. */
export async function putBack(
  socket: RouteSocket,
  changes: readonly Change[],
  observed: Observation,
  options: TransactionOptions = {},
): Promise<readonly NotMade[]> {
  const refused = await makeWhatGoes(socket, changes, observed, options);
  const stayed = new Set(refused.map(({ change }) => change));
  options.counted?.(
    'applied',
    changes.filter((change) => !stayed.has(change)),
  );
  return refused;
}

// A route can come back only after the one that leads to its gateway, which may be behind it: so what was refused is tried
// again, as long as that helps. What was lost is not: a rename may have got halfway.
async function makeWhatGoes(
  socket: RouteSocket,
  changes: readonly Change[],
  observed: Observation,
  options: TransactionOptions,
): Promise<readonly NotMade[]> {
  const lost: NotMade[] = [];
  for (let left = changes; ; ) {
    const made = await make(socket, left, observed, { ...options, keepGoing: true });
    const tried = left;
    const notMade = made.refused.flatMap(({ index, ...why }): NotMade[] => {
      const change = tried[index];
      return change === undefined ? [] : [{ change, ...why }];
    });
    lost.push(...notMade.filter(({ isLost }) => isLost));
    const refused = notMade.filter(({ isLost }) => !isLost);
    if (refused.length === 0 || refused.length === left.length) return [...refused, ...lost];
    left = refused.map(({ change }) => change);
  }
}

// The kernel compares for itself, but where it could take a message for another: only then is anything read, and of the
// routes only those of the protocols that are to go. A pod's routing table may be huge.
function isUndone(inverse: Change, observed: Observation): boolean {
  return kindOf(inverse).needsLook(inverse) && holds(inverse, observed);
}

function lookBack(socket: RouteSocket, changes: readonly Change[]): Observation {
  const added = changes.flatMap((change) => effectOf(change).adds ?? []);
  return Observation.of(socket, new Set(added.map(({ protocol }) => protocol)));
}

type Refused = { index: number; error: NetlinkError; isLost?: true };

/**
 * The first `tried` changes were given to the kernel; those that are not among the refused ones are made. Where the
 * answer was lost, nobody knows which: `lost` says why.
 */
type Made = { tried: number; refused: Refused[]; lost?: NetlinkError };

// As many changes as possible go in one write; one that may take more than one message is made by itself.
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
    const { lost } = outcome;
    if (lost !== undefined) {
      if (!options.keepGoing) return { tried, refused, lost };
      refused.push(...part.map((_, index) => ({ index: start + index, error: lost, isLost: true as const })));
    }
    if (outcome.tried < part.length) break;
  }
  return { tried, refused };
}

function partAt(changes: readonly Change[], start: number): readonly Change[] {
  const next = changes.findIndex((change, index) => index >= start && kindOf(change).make !== undefined);
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
    const alone = first && kindOf(first).make;
    if (first !== undefined && alone !== undefined) {
      const refusal = await alone(socket, first, describe(first, observed), options.detours);
      return { tried: 1, refused: refusal === undefined ? [] : [{ index: 0, error: refusal }] };
    }
    const lines = (index: number) => lineAt(part, index, observed);
    const { sent, refusals } = await socket.change(part.map(messageOf), lines, options);
    return { tried: sent, refused: refusals };
  } catch (error) {
    if (error instanceof FileError && first !== undefined) return notWritten(error, describe(first, observed));
    if (!(error instanceof NetlinkError)) throw error;
    return { tried: part.length, refused: [], lost: error };
  }
}

// What is about to be lost cannot be written down, so it was not begun: as good as a refusal.
function notWritten(error: FileError, text: string): Made {
  return { tried: 1, refused: [{ index: 0, error: new NetlinkError(text, EIO, error.message, error) }] };
}

const EIO = 5;

function lineAt(changes: readonly Change[], index: number, observed: Observation): string {
  const change = changes[index];
  return change === undefined ? 'change' : describe(change, observed);
}
