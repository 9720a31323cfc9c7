import { type Change, describe, meaningOf, type Planned } from '../change/change.ts';
import type { Refusal } from '../change/kind.ts';
import type { ChangeRefused, NotMade } from '../change/transaction.ts';
import { CniCode, CniError } from '../cni/errors.ts';
import { summarize } from '../cni/summary.ts';
import { FileError } from '../files/files.ts';
import { AddonError } from '../native/errors.ts';
import { NetlinkError } from '../netlink/errors.ts';
import { NamespaceError } from '../netns/netns.ts';
import type { Observation } from '../observation/observation.ts';
import type { Conflict } from './plan.ts';

/** Other routes are in the way: 103, with a line for each. */
export function conflictError(conflicts: readonly Conflict[]): CniError {
  const lines = conflicts.map(({ source, wanted, found }) => `${source}: ${wanted} is wanted, but ${found} is there`);
  const { message, details } = summarize('', lines);
  return new CniError(CniCode.conflict, `${message}; see "onConflict"`, { details });
}

/**
 * The kernel refused a change, and ADD was undone: 104; or, where another came in the way meanwhile, 103 for a route and
 * 105 for a name.
 */
export function refusedError(refused: ChangeRefused, pending: readonly Planned[], observed: Observation): CniError {
  const { reason, index, notUndone } = refused;
  const planned = pending[index];
  const source = planned?.source ?? '';
  const details = notUndone.map((change) => `not undone: ${describe(change, observed)}`).join('\n');
  const { code, text } = verdict(reason, planned?.change);
  return new CniError(code, `${source}: ${text}`, { details, cause: refused });
}

function verdict(reason: NetlinkError, change: Change | undefined): Refusal {
  if (reason.cause instanceof FileError) return { code: CniCode.ioFailure, text: reason.message };
  const meaning = change && meaningOf(change, reason);
  if (meaning === undefined) return { code: CniCode.kernelRefused, text: `the kernel refused to ${reason.message}` };
  return { ...meaning, text: `${meaning.text}: ${reason.message}` };
}

/** What was waited for did not appear: 107. */
export function timeoutError(missing: CniError, seconds: number): CniError {
  const { message, details } = missing;
  return new CniError(CniCode.timeout, `${message}; waited ${seconds} s for it`, { details, cause: missing });
}

/** The kernel refused to take away what is ours, or nobody knows whether it did: 104. */
export function notUndoneError(failed: readonly NotMade[]): CniError {
  const [first] = failed;
  const refused = first?.isLost ? '' : 'the kernel refused to ';
  const message = `${failed.length} changes could not be undone: ${refused}${first?.error.message}`;
  const details = failed.map(({ error }) => error.message).join('\n');
  return new CniError(CniCode.kernelRefused, message, { details, cause: first?.error });
}

/** What is wrong with the data folder, under the key that names it. All files of `lib/files` here are in it. */
export function dataDirProblem({ message }: FileError): string {
  return `dataDir: ${message}`;
}

/** The layers below have errors with data; this is the one place that gives them codes. */
export async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FileError) throw new CniError(CniCode.ioFailure, dataDirProblem(error), { cause: error });
    if (error instanceof AddonError) throw new CniError(CniCode.ioFailure, error.message, { cause: error });
    if (error instanceof NetlinkError) throw new CniError(CniCode.kernelRefused, error.message, { cause: error });
    if (error instanceof NamespaceError) {
      throw new CniError(CniCode.invalidEnvironment, `CNI_NETNS: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
