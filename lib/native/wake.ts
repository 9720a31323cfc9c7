import { nativeSockets } from './native.ts';

const waiting = new Map<number, () => void>();
let isStarted = false;

/**
 * Calls back, once, when something can be read from a descriptor: of one that is neither a stream nor a file, which Node.js
 * cannot wait for. Waiting does not keep the process running. Whoever closes the descriptor calls `forget` before.
 *
 * Throws an Error with `errno` and `syscall`.
 */
export function wakeOnce(fd: number, callback: () => void): void {
  const native = nativeSockets();
  if (!isStarted) native.onReadable(wake);
  isStarted = true;
  waiting.set(fd, callback);
  native.wakeOnce(fd);
}

/** Nobody waits for this descriptor any more. */
export function forget(fd: number): void {
  waiting.delete(fd);
}

function wake(descriptors: readonly number[]): void {
  for (const fd of descriptors) {
    const callback = waiting.get(fd);
    waiting.delete(fd);
    callback?.();
  }
}
