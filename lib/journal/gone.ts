import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { FileError, namesIn, readFileIfThere, removeFile } from '../files/files.ts';
import { tryLock } from '../files/lock.ts';
import { fileName, type Head, isNewer, lockPath, parse, parseHead } from './format.ts';
import type { IsKnown } from './journal.ts';

/** A journal, and the namespace that it is of. */
export type Located = {
  readonly folder: string;
  readonly path: string;
  readonly namespace: string;
  /** Who wrote it, as in writer.ts. */
  readonly writer: unknown;
  /** What changes whenever the journal is written. */
  readonly stamp: string;
};

/** The journal with this name, if it is one of ours and says which namespace it is of. Throws FileError. */
export function locate(folder: string, name: string): Located | undefined {
  const path = join(folder, name);
  const stamp = stampOf(path);
  const head = headOf(path, readFileIfThere(path) ?? '');
  if (head === undefined || head.namespace === '') return undefined;
  return { folder, path, namespace: head.namespace, writer: head.writer, stamp };
}

/** The names of the files in a plugin's folder that can be journals; none if there is no folder. Throws FileError. */
export function journalNames(folder: string): string[] {
  return namesIn(folder).filter((name) => name.endsWith('.json'));
}

/**
 * Forgets a journal whose namespace is gone, unless somebody has its attachment locked or has written it since it was
 * located, or it has a change that this build does not know. Is it forgotten? Throws FileError and AddonError.
 */
export function forgetGone({ folder, path, namespace, stamp }: Located, isKnown: IsKnown): boolean {
  const head = headOf(path, readFileIfThere(path) ?? '');
  const lock = head && tryLock(lockPath(folder, head));
  if (lock === undefined) return false;
  try {
    const text = readFileIfThere(path) ?? '';
    if (headOf(path, text)?.namespace !== namespace || stampOf(path) !== stamp) return false;
    if (!parse(text).entries.every(({ change }) => change === undefined || isKnown(change))) return false;
    removeFile(path);
    return true;
  } finally {
    lock.release();
  }
}

// A copy that somebody made is not the journal of the attachment that it names.
function headOf(path: string, text: string): Head | undefined {
  const head = parseHead(text);
  return head !== undefined && !isNewer(text) && path.endsWith(`/${fileName(head)}`) ? head : undefined;
}

function stampOf(path: string): string {
  try {
    const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    return `${stat?.ino} ${stat?.mtimeNs}`;
  } catch (error) {
    throw new FileError(path, 'cannot be inspected', error);
  }
}
