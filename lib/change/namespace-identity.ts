import { readFileSync } from 'node:fs';
import type { RouteSocket } from '../netlink/socket.ts';
import type { Namespace } from '../netns/netns.ts';

/**
 * A text that no other namespace has, not even one at the same path later: the boot, and the namespace's cookie, which
 * the kernel counts up. Before Linux 5.14 the inode must do, which can be used again.
 */
export function identityOf(namespace: Namespace, socket: RouteSocket): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const { namespaceCookie: cookie } = socket;
  return cookie === 0n ? `${boot}/inode/${namespace.device}:${namespace.inode}` : `${boot}/cookie/${cookie}`;
}
