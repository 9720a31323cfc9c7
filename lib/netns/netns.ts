import { closeSync, constants, fstatSync, openSync, statfsSync } from 'node:fs';

/** The calling thread's own network namespace, as a path. */
export const OWN_NAMESPACE = '/proc/thread-self/ns/net';

/** The network namespace of a process, as a path. */
export function namespaceOfProcess(pid: number): string {
  return `/proc/${pid}/ns/net`;
}

/** `f_type` of nsfs, the file system of namespace files (linux/magic.h, NSFS_MAGIC). */
const NSFS_MAGIC = 0x6e736673;

/** Why a path could not be opened as a network namespace. */
export type NamespaceProblem = 'does not exist' | 'is not a namespace' | 'cannot be opened';

/** A path that does not lead to a network namespace: which path, and what is wrong with it. */
export class NamespaceError extends Error {
  readonly path: string;
  readonly problem: NamespaceProblem;

  constructor(path: string, problem: NamespaceProblem, cause?: unknown) {
    super(`${path} ${problem}`, { cause });
    this.name = 'NamespaceError';
    this.path = path;
    this.problem = problem;
  }
}

/**
 * An open network namespace. `fd` keeps it alive until `close`. `device` and `inode` tell it from every other
 * namespace that exists at the same time (namespaces(7)); both can be used again once it is gone.
 */
export type Namespace = {
  readonly path: string;
  readonly fd: number;
  readonly device: bigint;
  readonly inode: bigint;
  close(): void;
};

/**
 * Opens the namespace at a path (`/run/netns/x`, `/proc/1/ns/net`).
 *
 * Throws NamespaceError. A file of nsfs that is a namespace of another kind is told apart only when a socket is
 * opened in it: the kernel answers EINVAL there (setns(2)).
 */
export function openNamespace(path: string): Namespace {
  const fd = openFile(path);
  try {
    if (!isNamespaceFile(fd)) throw new NamespaceError(path, 'is not a namespace');
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return { path, fd, device: dev, inode: ino, close: () => closeSync(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Are these two the same namespace, whatever their paths? By device and inode. */
export function isSameNamespace(a: Namespace, b: Namespace): boolean {
  return a.device === b.device && a.inode === b.inode;
}

/** Does the path lead to a namespace? */
export function isNamespace(path: string): boolean {
  try {
    openNamespace(path).close();
    return true;
  } catch (error) {
    if (error instanceof NamespaceError) return false;
    throw error;
  }
}

/** Does the path lead to this namespace? Throws NamespaceError. */
export function isNamespaceAt(path: string, namespace: Namespace): boolean {
  const other = openNamespace(path);
  try {
    return isSameNamespace(namespace, other);
  } finally {
    other.close();
  }
}

/**
 * What `read` finds out by a process's files in /proc. The kernel refuses that (EACCES) not only to those who have no right
 * to know, but also where the process ends at that moment: a second look tells.
 */
export function ofProcess<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    return read();
  }
}

function openFile(path: string): number {
  try {
    // Not blocking, so that a FIFO in place of a namespace is reported instead of waited for.
    return ofProcess(() => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  } catch (error) {
    throw new NamespaceError(path, isMissing(error) ? 'does not exist' : 'cannot be opened', error);
  }
}

// Asked of the open file, not of the path, which may lead elsewhere by now.
function isNamespaceFile(fd: number): boolean {
  return statfsSync(`/proc/self/fd/${fd}`).type === NSFS_MAGIC;
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
