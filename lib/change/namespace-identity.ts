import { readFileSync } from 'node:fs';
import { startupSnapshot } from 'node:v8';
import type { RouteSocket } from '../netlink/socket.ts';
import type { Namespace } from '../netns/netns.ts';

/**
 * A text that no other namespace has, not even one at the same path later: the boot, and the namespace's cookie, which
 * the kernel counts up. Before Linux 5.14 the inode must do, which can be used again.
 */
export function identityOf(namespace: Namespace, socket: RouteSocket): string {
  const boot = bootId();
  const { namespaceCookie: cookie } = socket;
  return cookie === 0n ? `${boot}/inode/${namespace.device}:${namespace.inode}` : `${boot}/cookie/${cookie}`;
}

let known: string | undefined;

// Read once in a process; but a start-up snapshot must not have the one of the machine that it is taken on.
function bootId(): string {
  const boot = known ?? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  if (!startupSnapshot.isBuildingSnapshot()) known = boot;
  return boot;
}
