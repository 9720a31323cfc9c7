import { addonPath } from './addon-path.ts';
import { AddonError } from './errors.ts';

/** What the addon exports. */
export type NativeSockets = {
  /**
   * Opens an rtnetlink socket in the namespace of an open descriptor. `cookie` is the namespace's, unique until the
   * next boot, 0 where the kernel has none (before 5.14); `receiveBytes` is the size of its receive buffer, which is
   * small without CAP_NET_ADMIN in the first user namespace (SO_RCVBUFFORCE). Throws an Error with `errno` and `syscall`.
   */
  openSocket(namespaceFd: number): { fd: number; cookie: bigint; receiveBytes: number };
  /**
   * Who connected to a Unix socket: the process id as we see it (0 if we do not), the user id, and whether it has gone.
   * Throws an Error with `errno` and `syscall`.
   */
  peerOf(socketFd: number): Peer;
  /**
   * Sends a datagram to a Unix socket, by its path or, after `@`, its abstract name. Throws an Error with `errno` and
   * `syscall`.
   */
  notify(address: string, message: string): void;
  /** Takes the exclusive lock of an open file without waiting (flock(2)): is it ours now? Throws as the others do. */
  lockFile(fd: number): boolean;
  /**
   * Starts a program, in a process group of its own; the descriptors of our ends of its standard streams are the caller's.
   * `onEnd` gets the exit code, or the number of the signal that ended it. `mounts` is -1, or the descriptor of a mount
   * namespace that it enters; then it is killed when we end. Throws as the others do.
   */
  startProcess(
    argv: readonly string[],
    environment: readonly string[],
    onEnd: (code: number | null, signal: number | null) => void,
    mounts: number,
  ): { pid: number; stdin: number; stdout: number; stderr: number };
  /** Opens a socket in a namespace that is told of its changes, and never blocks. Throws as `openSocket` does. */
  openNotifications(namespaceFd: number): number;
  /** Reads a datagram of it: how many bytes; 0 if there is none, -1 if some were lost. Throws as the others do. */
  readNotification(fd: number, buffer: Buffer): number;
  /** Whom the event loop calls with the descriptors that `wakeOnce` was asked for; to be called once. */
  onReadable(callback: (descriptors: readonly number[]) => void): void;
  /** Calls back once when something can be read from this descriptor, unless it is closed before. */
  wakeOnce(fd: number): void;
  /**
   * Lets go of the pages that are mapped of the runtime's executable: its code, its constants, and the snapshot. What is used
   * again comes back from the page cache.
   */
  unmapCode(): void;
};

export type Peer = { pid: number; uid: number; gone: boolean };

/** Loads the addon, once per process. Throws AddonError, and what the search for it throws. */
export function nativeSockets(): NativeSockets {
  loaded ??= load();
  return loaded;
}

let loaded: NativeSockets | undefined;

/** Does some work with another in the place of the addon, which is not loaded for it. */
export async function withAddon(another: NativeSockets, work: () => Promise<void>): Promise<void> {
  const before = loaded;
  loaded = another;
  try {
    await work();
  } finally {
    loaded = before;
  }
}

function load(): NativeSockets {
  const addon = { exports: {} as NativeSockets };
  const path = addonPath();
  try {
    process.dlopen(addon, path);
  } catch (error) {
    throw new AddonError(error as Error);
  }
  return addon.exports;
}
