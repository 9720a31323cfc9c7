import { CniCode, CniError } from '../cni/errors.ts';
import { HERE, type Place } from '../cni/place.ts';
import type { Call, Pacing } from '../cni/runner.ts';
import { RouteSocket } from '../netlink/socket.ts';
import { type Namespace, NamespaceError, openNamespace } from '../netns/netns.ts';
import { Observation } from '../observation/observation.ts';

/** What a verb works on: the pod's namespace, and a look at the node's own. */
export type Pod = { socket: RouteSocket; namespace: Namespace; host: () => Observation };

/** Does some work on the pod, and closes what was opened for it. Throws CniError 3 if there is no namespace. */
export async function withPod<T>(call: Call, work: (pod: Pod) => Promise<T>): Promise<T> {
  const { namespace, place, pacing } = call;
  if (namespace === undefined) throw new CniError(CniCode.unknownContainer, 'there is no network namespace');
  const socket = RouteSocket.open(namespace, { dumpBytes: pacing.dumpBytes });
  const host = lazyHost(place, pacing);
  try {
    return await work({ socket, namespace, host: host.observe });
  } finally {
    host.close();
    socket.close();
  }
}

/**
 * The node's own namespace, for the plugins that look at it: most never do, so its socket is made when it is needed. Each
 * observation is a fresh one: whoever waits for a route to appear must see it.
 */
export function lazyHost(place: Place = HERE, pacing: Pacing = {}): { observe: () => Observation; close: () => void } {
  let socket: RouteSocket | undefined;
  return {
    observe: () => {
      socket ??= openOwn(place, pacing);
      return Observation.of(socket);
    },
    close: () => socket?.close(),
  };
}

/** A socket in the namespace that the caller is in. */
export function openOwn({ ownNamespace }: Place = HERE, { dumpBytes }: Pacing = {}): RouteSocket {
  const own = openNamespace(ownNamespace);
  try {
    return RouteSocket.open(own, { dumpBytes });
  } finally {
    own.close();
  }
}

/** The same for DEL: a namespace of another kind, which shows itself only here, is taken for one that is gone. */
export function openIfNamespace(namespace: Namespace, { dumpBytes }: Pacing = {}): RouteSocket | undefined {
  try {
    return RouteSocket.open(namespace, { dumpBytes });
  } catch (error) {
    if (error instanceof NamespaceError) return undefined;
    throw error;
  }
}
