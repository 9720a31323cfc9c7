import { listLinks } from '../netlink/link.ts';
import { RouteSocket } from '../netlink/socket.ts';
import { NamespaceError, openNamespace } from '../netns/netns.ts';

/**
 * Does the namespace at this path have an interface of this name, or one that has it for an altname? Not where there is no
 * such namespace: the plugins say so. Throws NetlinkError or AddonError.
 */
export function hasInterface(netns: string, name: string): boolean {
  try {
    const namespace = openNamespace(netns);
    try {
      const socket = RouteSocket.open(namespace);
      try {
        return listLinks(socket).some((link) => link.name === name || link.altnames.includes(name));
      } finally {
        socket.close();
      }
    } finally {
      namespace.close();
    }
  } catch (error) {
    if (error instanceof NamespaceError) return false;
    throw error;
  }
}
