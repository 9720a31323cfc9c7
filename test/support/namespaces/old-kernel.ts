import { closeSync, readSync, writeSync } from 'node:fs';
import { nativeSockets } from '../../../lib/native/native.ts';
import { findLink } from '../../../lib/netlink/link.ts';
import { RouteSocket, type Transport } from '../../../lib/netlink/socket.ts';
import type { Namespace } from '../../../lib/netns/netns.ts';
import { acknowledgement, parseRequests, type Sent } from './transport.ts';

// A kernel that refuses to rename a link that is up, as Linux before 6.2 does: sockets lead to the real kernel, but such
// requests are answered here.

export const RTM_SETLINK = 19;
export const RTM_NEWADDR = 20;
export const RTM_NEWROUTE = 24;
export const RTM_NEWNEIGH = 28;
const IFLA_IFNAME = 3;
const IFINFOMSG_BYTES = 16;
const EBUSY = 16;
const EPERM = 1;

export type OldKernel = {
  /** This kernel is one itself: nothing is refused that it would not refuse. */
  isReal?: true;
  /** Requests that this kernel refuses, with EPERM unless it is another number. */
  refuses?: (sent: Sent, linkOf: (index: number) => string | undefined) => boolean;
  errno?: number;
  /** Called before each write. */
  beforeWrite?: (sent: readonly Sent[]) => void;
};

const open = RouteSocket.open;

/** From now on all sockets of this process lead to an old kernel. Returns a function that ends this. */
export function pretendOldKernel(kernel: OldKernel = {}): () => void {
  RouteSocket.open = (namespace) => {
    const watcher = open(namespace);
    const { fd, cookie } = nativeSockets().openSocket(namespace.fd);
    return new RouteSocket(oldTransport(fd, watcher, kernel), cookie);
  };
  return () => {
    RouteSocket.open = open;
  };
}

/** A socket to the real kernel. */
export function realSocket(namespace: Namespace): RouteSocket {
  return open(namespace);
}

function oldTransport(
  fd: number,
  watcher: RouteSocket,
  { isReal, refuses, errno = EPERM, beforeWrite }: OldKernel,
): Transport {
  const answers: Buffer[] = [];
  const linkOf = (index: number) => findLink(watcher, index)?.name;
  const errnoFor = (sent: Sent) => {
    if (!isReal && isRename(sent) && findLink(watcher, sent.payload.readInt32LE(4))?.up) return EBUSY;
    return refuses?.(sent, linkOf) ? errno : 0;
  };
  return {
    send: (bytes) => {
      const requests = parseRequests(Buffer.from(bytes));
      beforeWrite?.(requests);
      const refused = requests.map((sent) => ({ sent, errno: errnoFor(sent) })).filter(({ errno }) => errno !== 0);
      if (refused.length === 0) writeSync(fd, bytes);
      else if (refused.length === requests.length)
        answers.push(...refused.map(({ sent, errno }) => acknowledgement(sent, errno)));
      else throw new Error('one write contains requests to refuse and requests to pass on');
    },
    receive: () => {
      const answer = answers.shift();
      if (answer !== undefined) return answer;
      const datagram = Buffer.alloc(65_536);
      return datagram.subarray(0, readSync(fd, datagram));
    },
    close: () => {
      closeSync(fd);
      watcher.close();
    },
  };
}

// The name is the first attribute of our requests: struct ifinfomsg, then length and type.
function isRename({ type, payload }: Sent): boolean {
  return (
    type === RTM_SETLINK &&
    payload.length > IFINFOMSG_BYTES &&
    payload.readUInt16LE(IFINFOMSG_BYTES + 2) === IFLA_IFNAME
  );
}
