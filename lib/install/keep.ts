import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../cni/log.ts';
import { InstallError } from './errors.ts';
import { type Installation, install } from './install.ts';
import { isAnothers, readRecordIfWhole } from './record.ts';
import { findMissing } from './wanted.ts';

/** Is everything in place as it was installed? `problem` says what is not. */
export type Readiness = { problem: string | undefined };

/** How often to check whether everything is in place, in case the kernel reports no change. */
const CHECK_EVERY_MS = 10_000;

/** Changes that come this close together are handled together. */
const SETTLE_MS = 100;

/** Another installer has put other files in place of ours. They stay: otherwise two installers would replace each other's files forever. */
class Superseded extends InstallError {}

/**
 * Keeps everything in place as it was installed, until the installation's `signal` ends it. What somebody removes or
 * changes is restored within a second if the kernel reports the change, otherwise within `checkEveryMs`; so is what could
 * not be restored at first. Each repair is a line in the log. Files that another installer has replaced are left alone.
 */
export async function keepInstalled(
  installation: Installation,
  readiness: Readiness,
  log: Log,
  checkEveryMs = CHECK_EVERY_MS,
): Promise<void> {
  const { binDir, wanted, signal } = installation;
  const folders = new Set([binDir, ...wanted.lists.map(({ path }) => dirname(path))]);
  while (!signal.aborted) {
    // A new watch each time, set before the check: so no change is missed, not even a folder that was replaced.
    const change = watchFolders([...folders], log);
    try {
      const isRepaired = await check(installation, readiness, log);
      // A repair that failed would fail again at once, and its own writes are changes too.
      await (isRepaired ? change.orAfter(checkEveryMs, signal) : pause(checkEveryMs, signal));
    } finally {
      change.close();
    }
  }
}

async function check(installation: Installation, readiness: Readiness, log: Log): Promise<boolean> {
  const problemBefore = readiness.problem;
  try {
    await repair(installation, readiness, log);
    readiness.problem = undefined;
    return true;
  } catch (error) {
    if (installation.signal.aborted) return false;
    const { message } = error as Error;
    readiness.problem = message;
    // Log it once, not every few seconds.
    if (message !== problemBefore) log[error instanceof Superseded ? 'warn' : 'error'](message);
    return false;
  }
}

async function repair(installation: Installation, readiness: Readiness, log: Log): Promise<void> {
  const { binDir, wanted, hashes } = installation;
  const files = [...wanted.executables, ...wanted.lists];
  const guard = () => {
    const record = readRecordIfWhole(binDir);
    if (isAnothers(record, files)) {
      throw new Superseded(
        `version ${record?.version} was installed in ${binDir} by another installer; this one steps back`,
      );
    }
    return record;
  };
  const record = guard();
  const missing = await findMissing(files, hashes);
  if (missing.length === 0 && record !== undefined) return;
  readiness.problem = `${missing.map(({ path }) => path).join(', ')} is being repaired`;
  const { replaced } = await install(installation, guard);
  if (record === undefined) log.warn('repaired the record');
  for (const path of replaced) log.warn('repaired', { path });
}

type Change = { orAfter(ms: number, signal: AbortSignal): Promise<void>; close(): void };

function watchFolders(folders: readonly string[], log: Log): Change {
  const seen = new AbortController();
  const watchers: FSWatcher[] = [];
  for (const folder of folders) {
    try {
      const watcher = watch(folder, () => seen.abort());
      watcher.on('error', () => seen.abort());
      watchers.push(watcher);
    } catch (error) {
      // Too many watches on this node, or the folder is missing at the moment: the periodic check notices the change too.
      log.debug(`${folder} cannot be watched: ${(error as Error).message}`);
    }
  }
  return {
    orAfter: async (ms, signal) => {
      await pause(ms, AbortSignal.any([signal, seen.signal]));
      await pause(SETTLE_MS, signal);
    },
    close: () => {
      for (const watcher of watchers) watcher.close();
    },
  };
}

// Returns early, without an error, when the signal fires.
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
