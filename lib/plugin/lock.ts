import { join } from 'node:path';
import { CniCode, CniError } from '../cni/errors.ts';
import type { Call } from '../cni/runner.ts';
import { ensureFolder, FileError } from '../files/files.ts';
import { holderOf, type Lock, tryLock } from '../files/lock.ts';
import { lockPath } from '../journal/format.ts';
import { AddonError } from '../native/errors.ts';
import { waitingOf } from './waiting.ts';

/** Nothing that is done to a pod takes this long, but for what waits; and whoever waits may be asked again later. */
const DEFAULT_LOCK_SECONDS = 30;

/**
 * Does some work on an attachment while nobody else does: from the observation until the journal is as it should be. The
 * agent, single-file executables and orphans of a runtime that gave up may all be at it. DEL goes on where there is no lock
 * to be had, and its work is told so.
 *
 * Throws CniError 11, which names the holder, if the lock is not free in time, and FileError if it cannot be made.
 */
export async function locked<T>(
  plugin: string,
  dataDir: string,
  call: Call,
  work: (hasLock: boolean) => Promise<T>,
): Promise<T> {
  if (call.noop) return work(false);
  const folder = join(dataDir, plugin);
  // DEL needs neither a folder, nor room, nor a disk that can be written: where there are none, there is no journal either.
  const isNeeded = call.request.verb !== 'DEL';
  if (isNeeded) ensureFolder(folder);
  const lock = await wait(lockPath(folder, call.request), call, isNeeded);
  try {
    return await work(lock !== undefined);
  } finally {
    lock?.release();
  }
}

async function wait(path: string, call: Call, isNeeded: boolean): Promise<Lock | undefined> {
  const { lockSeconds = DEFAULT_LOCK_SECONDS } = call.pacing;
  const began = performance.now();
  for (;;) {
    try {
      const lock = tryLock(path);
      if (lock !== undefined) return lock;
    } catch (error) {
      if (isNeeded || !(error instanceof FileError || error instanceof AddonError)) throw error;
      call.log.debug(error.message);
      return undefined;
    }
    if (performance.now() >= began + lockSeconds * 1000) throw busy(call, path, lockSeconds);
    await waitingOf(call).pause(began);
  }
}

function busy({ request }: Call, path: string, seconds: number): CniError {
  const { containerID, ifname } = request;
  const message = `${holderOf(path)} is at work on ${ifname} of container ${containerID}; waited ${seconds} s for it`;
  return new CniError(CniCode.tryAgainLater, message);
}
