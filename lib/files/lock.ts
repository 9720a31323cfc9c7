import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { AddonError } from '../native/errors.ts';
import { nativeSockets } from '../native/native.ts';
import { FileError, namesIn } from './files.ts';
import { reasonOf } from './reason.ts';

/** A lock that is held. The kernel gives it back when the process dies. */
export type Lock = { release(): void };

/**
 * Takes the advisory lock that the file at this path stands for, without waiting; undefined if somebody else has it. The
 * file is there only while the lock is held, or after a process was killed that held it.
 *
 * Throws FileError if the file cannot be made; its folder must be there.
 */
export function tryLock(path: string): Lock | undefined {
  for (;;) {
    const fd = openLock(path);
    const held = stateOf(path, fd);
    if (held === 'ours') return { release: () => release(path, fd) };
    closeSync(fd);
    if (held === 'another’s') return undefined;
  }
}

// Whoever had the lock before may have removed the file: then another may be locked at this path by now.
function stateOf(path: string, fd: number): 'ours' | 'another’s' | 'removed' {
  try {
    if (!nativeSockets().lockFile(fd)) return 'another’s';
    return fstatSync(fd).nlink > 0 ? 'ours' : 'removed';
  } catch (error) {
    closeSync(fd);
    if (error instanceof AddonError) throw error;
    throw new FileError(path, `cannot be locked (${reasonOf(error)})`, error);
  }
}

/**
 * Removes the files of locks in a folder that nobody holds: what is left of processes that were killed. Returns the
 * failures, after which it goes on.
 */
export function removeOrphans(folder: string, suffix: string): FileError[] {
  const names = namesIn(folder, { hidden: true }).filter((name) => name.endsWith(suffix));
  return names.flatMap((name) => {
    try {
      tryLock(join(folder, name))?.release();
      return [];
    } catch (error) {
      if (error instanceof FileError) return error;
      throw error;
    }
  });
}

/** Does somebody hold the lock now? By the kernel's table, without taking it. */
export function isHeld(path: string): boolean {
  return entryOf(path) !== undefined;
}

/** Who holds the lock, for people to read: `process 4711 (static-route)`. By the kernel's table (proc_locks(5)). */
export function holderOf(path: string): string {
  const pid = entryOf(path)?.trim().split(/\s+/)[4];
  return pid === undefined || Number(pid) <= 0 ? 'another process' : `process ${pid}${nameOf(pid)}`;
}

function entryOf(path: string): string | undefined {
  const inode = lstatSync(path, { throwIfNoEntry: false })?.ino;
  // The table is the whole machine's.
  if (inode === undefined) return undefined;
  return heldLocks().find((line) => / FLOCK /.test(line) && !/->/.test(line) && line.includes(`:${inode} `));
}

function heldLocks(): string[] {
  try {
    return readFileSync('/proc/locks', 'utf8').split('\n');
  } catch {
    return [];
  }
}

function nameOf(pid: string): string {
  try {
    return ` (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`;
  } catch {
    return '';
  }
}

function openLock(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600);
  } catch (error) {
    throw new FileError(path, `cannot be locked (${reasonOf(error)})`, error);
  }
}

// Removed while it is held, so that it is nobody else's.
function release(path: string, fd: number): void {
  try {
    unlinkSync(path);
  } catch {
    // It stays, which disturbs nobody: the lock is the kernel's.
  }
  closeSync(fd);
}
