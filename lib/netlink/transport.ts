import { closeSync, fstatSync, readSync, writeSync } from 'node:fs';
import { nativeSockets } from '../native/native.ts';
import { type Namespace, NamespaceError } from '../netns/netns.ts';
import { NetlinkError } from './errors.ts';

/** Bytes out, datagrams in: what a socket needs of the outside world. */
export type Transport = { send(bytes: Uint8Array): void; receive(): Buffer; close(): void };

/** A socket, its namespace's cookie, and the size of its receive buffer in bytes as the kernel counts them. */
export type OpenTransport = { transport: Transport; cookie: bigint; receiveBytes: number };

/**
 * Opens a socket in a namespace. Throws NetlinkError; NamespaceError if it is not a network
 * namespace; AddonError.
 */
export function openTransport(namespace: Namespace): OpenTransport {
  const { openSocket } = nativeSockets();
  const { fd, cookie, receiveBytes } = inNamespace(namespace, openSocket);
  return { transport: descriptorTransport(fd), cookie, receiveBytes };
}

/** What `open` opens in a namespace, whose descriptor it is given. Throws NetlinkError, NamespaceError and AddonError. */
export function inNamespace<T>(namespace: Namespace, open: (fd: number) => T): T {
  try {
    assertOpen(namespace);
    return open(namespace.fd);
  } catch (error) {
    if (error instanceof NamespaceError) throw error;
    const { errno, syscall } = error as NodeJS.ErrnoException;
    if (syscall === 'setns' && errno === EINVAL) throw new NamespaceError(namespace.path, 'is not a namespace', error);
    throw socketError(`netlink socket in ${namespace.path}: ${syscall}`, error);
  }
}

/** The NetlinkError for what node:fs or the addon threw. */
export function socketError(operation: string, error: unknown): NetlinkError {
  const errno = (error as NodeJS.ErrnoException).errno;
  if (errno === undefined) return new NetlinkError(operation, EBADMSG, (error as Error).message, error);
  // Those of node:fs have the errno negated.
  return new NetlinkError(operation, Math.abs(errno), undefined, error);
}

// A descriptor that was closed is the next file's that is opened: with the addon that is our own namespace.
function assertOpen({ fd, path, device, inode }: Namespace): void {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  if (dev !== device || ino !== inode) throw new NamespaceError(path, 'is not a namespace');
}

function descriptorTransport(fd: number): Transport {
  datagram ??= Buffer.allocUnsafe(DATAGRAM_BYTES);
  const room = datagram;
  return {
    send: (bytes) => {
      writeSync(fd, bytes);
    },
    receive: () => Buffer.from(room.subarray(0, readSync(fd, room))),
    close: () => closeSync(fd),
  };
}

// For all sockets: what was read is copied before anybody else can read. One for each would be most of what a call in
// the agent allocates.
let datagram: Buffer | undefined;

/** Above the 32 KiB that the kernel puts into one datagram of a dump (netlink_recvmsg). */
const DATAGRAM_BYTES = 65_536;

const EINVAL = 22;
const EBADMSG = 74;
