import { closeSync, constants, openSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Place } from '../lib/cni/place.ts';
import { namespaceOfProcess } from '../lib/netns/netns.ts';

/** Where the process that calls is, for as long as its call lasts. */
export type Caller = Place & { close(): void };

/**
 * How the files and the network of a process are reached from here. One with the same files needs no detour. Of another,
 * in a mount namespace or root of its own, the root is held open, so that its paths lead there even after it has ended.
 *
 * Throws an Error if there is no such process any more.
 */
export function callerOf(pid: number): Caller {
  const ownNamespace = namespaceOfProcess(pid);
  if (mountsOf(pid) === mountsOf('self')) return { pathOf: (path) => path, ownNamespace, close: () => undefined };
  const root = openSync(`/proc/${pid}/root`, constants.O_RDONLY | constants.O_DIRECTORY);
  return { pathOf: (path) => pathWithin(`/proc/self/fd/${root}`, path), ownNamespace, close: () => closeSync(root) };
}

// The mount namespace and the root in it, as `mnt:[4026531841] /`.
function mountsOf(process: number | 'self'): string {
  return `${readlinkSync(`/proc/${process}/ns/mnt`)} ${readlinkSync(`/proc/${process}/root`)}`;
}

/** The kernel's own limit (path_resolution(7)). */
const MAX_LINKS = 40;

/** A link that the kernel follows by itself, as those of /proc/1/ns: what it shows is not a path. */
const MAGIC_LINK = /^\w+:\[\d+\]$/;

/**
 * The path by which we reach what a process with this root calls by `path`. Symbolic links are followed here, since the
 * kernel would take the absolute ones from our own root (chroot(2); openat2(2), RESOLVE_IN_ROOT, stops at magic links).
 */
export function pathWithin(root: string, path: string): string {
  const left = path.split('/').reverse();
  const found: string[] = [];
  for (let links = 0; left.length > 0; ) {
    const name = left.pop();
    if (name === undefined || name === '' || name === '.') continue;
    if (name === '..') {
      found.pop();
      continue;
    }
    const target = links < MAX_LINKS ? linkAt(join(root, ...found, name)) : undefined;
    if (target === undefined || MAGIC_LINK.test(target)) {
      found.push(name);
      continue;
    }
    links++;
    if (target.startsWith('/')) found.length = 0;
    left.push(...target.split('/').reverse());
  }
  return join(root, ...found);
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // No link; or not there, which whoever opens it will tell.
    return undefined;
  }
}
