import { identityOf } from '../../../lib/change/namespace-identity.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';

/** By what a journal knows the namespace at a path. */
export function identityAt(path: string): string {
  const namespace = openNamespace(path);
  const socket = RouteSocket.open(namespace);
  try {
    return identityOf(namespace, socket);
  } finally {
    socket.close();
    namespace.close();
  }
}
