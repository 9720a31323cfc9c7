import {
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  type Stats,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** The folder or a file of the data folder cannot be used: which, and why. */
export class FileError extends Error {
  readonly path: string;

  constructor(path: string, reason: string, cause?: unknown) {
    super(`${path}: ${reason}`, { cause });
    this.name = 'FileError';
    this.path = path;
  }
}

/** Writes are by the owner only, and nobody else can look. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const WRITABLE_BY_OTHERS = 0o022;

/**
 * Makes the folder (0700), with those above it, and makes sure that nobody else could have put files or links there:
 * it is no symbolic link, is the caller's own or root's, and is writable by nobody else. Throws FileError.
 */
export function ensureFolder(path: string): void {
  // Without a slash at the end, which would make lstat(2) follow a link.
  const folder = resolve(path);
  let stat: Stats;
  try {
    // Mostly it is there, and making what is there is an error, which costs more than a look.
    stat = lstatSync(folder, { throwIfNoEntry: false }) ?? makeFolder(folder);
  } catch (error) {
    throw new FileError(path, `cannot be made (${codeOf(error)})`, error);
  }
  if (!stat.isDirectory()) throw new FileError(path, 'is not a folder (symbolic links are refused)');
  if (stat.uid !== 0 && stat.uid !== process.geteuid?.())
    throw new FileError(path, `belongs to another user (${stat.uid})`);
  if ((stat.mode & WRITABLE_BY_OTHERS) !== 0) throw new FileError(path, 'is writable by other users');
}

/**
 * Replaces a file as a whole: the content goes to a temporary file beside it, which then takes its name. Only a `durable`
 * one is there after a power cut for sure; a journal need not be, since what it describes lives in the kernel's memory
 * and does not survive a power cut either. Throws FileError; then the file is as before.
 */
export function replaceFile(path: string, content: string | Uint8Array, { durable = false } = {}): void {
  try {
    writeAndRename(temporaryOf(path), path, Buffer.from(content), durable);
    if (durable) sync(dirname(path));
  } catch (error) {
    throw new FileError(path, `cannot be written (${codeOf(error)})`, error);
  }
}

/** Makes sure that a file's content, or the names in a folder, are there after a power cut. Throws what fsync(2) does. */
export function sync(path: string): void {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The content of a file as text; undefined if there is none. Never through a symbolic link. Throws FileError. */
export function readFileIfThere(path: string): string | undefined {
  return readBytesIfThere(path)?.toString();
}

/** The same, as it is. */
export function readBytesIfThere(path: string): Buffer | undefined {
  let fd: number;
  try {
    // An error costs more than a look.
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new FileError(path, `cannot be read (${codeOf(error)})`, error);
  }
  try {
    return readFileSync(fd);
  } catch (error) {
    throw new FileError(path, `cannot be read (${codeOf(error)})`, error);
  } finally {
    closeSync(fd);
  }
}

/** Removes a file, and what a killed process may have left of its replacement. Fine if it is gone already. */
export function removeFile(path: string): void {
  try {
    removeIfThere(temporaryOf(path));
    removeIfThere(path);
  } catch (error) {
    throw new FileError(path, `cannot be removed (${codeOf(error)})`, error);
  }
}

/**
 * The names in a folder, but for `hidden` ones, which are temporary files and locks; none if there is no folder. Throws
 * FileError.
 */
export function namesIn(folder: string, { hidden = false } = {}): string[] {
  try {
    return readdirSync(folder).filter((name) => name.startsWith('.') === hidden);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw new FileError(folder, `cannot be read (${codeOf(error)})`, error);
  }
}

// Not by mkdir's own `recursive`, which goes round for ever where a folder cannot be made, as in /proc. Others may be making
// the same folders at this moment, so nothing is concluded from what was there a moment ago.
function makeFolder(path: string): Stats {
  try {
    makeOneFolder(path);
  } catch (error) {
    // It ends at the root, which is always there.
    if (codeOf(error) !== 'ENOENT') throw error;
    makeFolder(dirname(path));
    makeOneFolder(path);
  }
  return lstatSync(path);
}

function makeOneFolder(path: string): void {
  try {
    mkdirSync(path, { mode: FOLDER_MODE });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

// One name for each file, not a random one: what a killed process leaves is found, and only one attachment uses it.
function temporaryOf(path: string): string {
  return join(dirname(path), `.${path.slice(dirname(path).length + 1)}.tmp`);
}

function writeAndRename(temporary: string, path: string, content: Buffer, durable: boolean): void {
  try {
    const fd = openNew(temporary);
    try {
      writeAll(fd, content);
      if (durable) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    removeIfThere(temporary);
    throw error;
  }
}

// A file that nobody else had before. What a killed process left in its place is removed, once it is in the way.
function openNew(path: string): number {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
  try {
    return openSync(path, flags, FILE_MODE);
  } catch {
    // Whatever else was wrong is so again.
    removeIfThere(path);
    return openSync(path, flags, FILE_MODE);
  }
}

// A look first: an error costs more, and a read-only file system refuses before it has looked whether there is a file.
function removeIfThere(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return;
  try {
    unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(fd, bytes, offset);
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
}
