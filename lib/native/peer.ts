import { nativeSockets, type Peer } from './native.ts';

export type { Peer } from './native.ts';

/** Who is at the other end of a connected Unix socket, by its descriptor? By the kernel's word (SO_PEERCRED, unix(7)). */
export function peerOf(socketFd: number): Peer {
  return nativeSockets().peerOf(socketFd);
}
