import { closeSync, constants, openSync, readlinkSync, statfsSync } from 'node:fs';
import type { Place } from '../lib/cni/place.ts';
import { isSameNamespace, namespaceOfProcess, openNamespace } from '../lib/netns/netns.ts';

/** Where the process that calls is, for as long as its call lasts. */
export type Caller = Place & { close(): void };

/**
 * How the files and the network of a process are reached from here. One with the same files needs no detour. Of another,
 * in a mount namespace or root of its own, the root is held open, as the network is of all: the process may end, and its
 * number be another's, while its call goes on.
 *
 * Throws an Error if there is no such process any more, or if we may not look at it (CAP_SYS_PTRACE).
 */
export function callerOf(pid: number): Caller {
  const network = openNamespace(namespaceOfProcess(pid));
  try {
    const files = filesOf(pid);
    const ownNamespace = `/proc/self/fd/${network.fd}`;
    const close = () => {
      files.close();
      network.close();
    };
    return { ...files, ownNamespace, isOwn: (namespace) => isSameNamespace(namespace, network), close };
  } catch (error) {
    network.close();
    throw error;
  }
}

function filesOf(pid: number): Pick<Caller, 'pathOf' | 'asCallerSees' | 'close'> {
  if (mountsOf(pid) === ownMounts()) {
    const pathOf = (path: string) => (MAY_NAME_SELF.test(path) ? pathWithin('', path, pid) : path);
    return { pathOf, asCallerSees: (text) => text, close: () => undefined };
  }
  // A mount namespace that nobody holds loses all that is mounted below its root.
  const mounts = openSync(`/proc/${pid}/ns/mnt`, constants.O_RDONLY);
  try {
    const fd = openSync(`/proc/${pid}/root`, constants.O_RDONLY | constants.O_DIRECTORY);
    const root = `/proc/self/fd/${fd}`;
    const asCallerSees = (text: string) => text.replaceAll(`${root}/`, '/');
    const close = () => {
      closeSync(fd);
      closeSync(mounts);
    };
    return { pathOf: (path) => pathWithin(root, path, pid), asCallerSees, close };
  } catch (error) {
    closeSync(mounts);
    throw error;
  }
}

let known: string | undefined;

// They stay as they are for as long as this process lives.
function ownMounts(): string {
  known ??= mountsOf('self');
  return known;
}

// The mount namespace and the root in it, as `mnt:[4026531841] /`.
function mountsOf(process: number | 'self'): string {
  return `${readlinkSync(`/proc/${process}/ns/mnt`)} ${readlinkSync(`/proc/${process}/root`)}`;
}

/** The paths that mean another file to every process: relative ones, /proc/self, /dev/stderr. */
const MAY_NAME_SELF = /^(?!\/)|^\/+(proc|dev)\//;

/** The kernel's own limit (path_resolution(7)). */
const MAX_LINKS = 40;

/** `f_type` of procfs (linux/magic.h, PROC_SUPER_MAGIC). */
const PROC_MAGIC = 0x9fa0;

/**
 * The path by which we reach what a process with this root calls by `path`. Symbolic links are followed here, since the
 * kernel would take the absolute ones from our own root (chroot(2); openat2(2), RESOLVE_IN_ROOT, stops at magic links).
 *
 * Throws an Error with the code ELOOP if there are more links than the kernel would follow.
 */
export function pathWithin(root: string, path: string, pid: number): string {
  const left = path.split('/').reverse();
  // What the kernel finds by itself, and what was found below it.
  let base = path.startsWith('/') ? root : `/proc/${pid}/cwd`;
  let found: string[] = [];
  const startAt = (place: string) => {
    base = place;
    found = [];
  };
  let links = 0;
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      const isBelow = found.length > 0 && found.at(-1) !== '..';
      if (isBelow) found.pop();
      else if (base !== root) found.push(name);
      continue;
    }
    const link = linkAt([base, ...found], name);
    if (link !== undefined && ++links > MAX_LINKS) {
      throw Object.assign(new Error(`${path}: too many symbolic links`), { code: 'ELOOP' });
    }
    if (link === undefined) found.push(name);
    else if (link === 'process') startAt(`/proc/${pid}`);
    else if (link === 'magic') startAt([base, ...found, name].join('/'));
    else {
      if (link.target.startsWith('/')) startAt(root);
      left.push(...link.target.split('/').reverse());
    }
  }
  return [base, ...found].join('/') || '/';
}

/**
 * A link by its text; or one of procfs that leads to whoever looks at it; or one that the kernel follows by itself, as in
 * /proc/1/root or /proc/1/ns/mnt: what such a one shows is not a path, or not one for us.
 */
type Link = { target: string } | 'process' | 'magic';

function linkAt(folder: readonly string[], name: string): Link | undefined {
  let target: string;
  try {
    target = readlinkSync([...folder, name].join('/'));
  } catch {
    // No link; or not there, which whoever opens it will tell.
    return undefined;
  }
  if (statfsSync(`${folder.join('/')}/`).type !== PROC_MAGIC) return { target };
  if (name === 'self' || name === 'thread-self') return 'process';
  return target.startsWith('self/') ? { target } : 'magic';
}
