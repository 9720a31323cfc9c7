import { readFileSync } from 'node:fs';
import { isBuildingSnapshot } from '../native/snapshot.ts';
import type { RouteSocket } from '../netlink/socket.ts';
import type { Namespace } from '../netns/netns.ts';

/**
 * A text that no other namespace has, not even one at the same path later: the boot, and the namespace's cookie, which
 * the kernel counts up. Before Linux 5.14 the inode must do, which can be used again.
 */
export function identityOf(namespace: Namespace, socket: RouteSocket): string {
  return `${bootId()}/${marksOf(namespace, socket)[0]}`;
}

/** What tells a namespace from all others that exist now, the best first; an identity ends with one of them. */
export function marksOf({ device, inode }: Namespace, { namespaceCookie: cookie }: RouteSocket): string[] {
  return [...(cookie === 0n ? [] : [`cookie/${cookie}`]), `inode/${device}:${inode}`];
}

/** The mark in an identity; undefined if it is not one of ours. */
export function markIn(identity: string): string | undefined {
  return /^[\da-f-]{36}\/(cookie\/\d+|inode\/\d+:\d+)$/.exec(identity)?.[1];
}

let known: string | undefined;

// Read once in a process; but a start-up snapshot must not have the one of the machine that it is taken on.
function bootId(): string {
  const boot = known ?? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  if (!isBuildingSnapshot()) known = boot;
  return boot;
}
