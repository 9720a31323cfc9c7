import { createHash } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../lib/cni/log.ts';
import { clusterListIn, FRONT_LIST, frontListText } from '../lib/install/cluster-list.ts';
import type { WantedList } from '../lib/install/wanted.ts';

// `waymark install --mode multi-network`: our list in front of the cluster's, for as long as there is one.

/** Where a folder of lists is, as we reach it and as the node calls it. */
export type NetDir = { readonly path: string; readonly onNode: string };

/** The kernel tells of changes; this is for the case that it does not. */
const LOOK_EVERY_MS = 1000;

/** Our list as it has to be now; undefined while the cluster has none of its own. */
export function frontList({ path, onNode }: NetDir): WantedList | undefined {
  const found = clusterListIn(path);
  if (found === undefined) return undefined;
  const content = Buffer.from(frontListText(found, onNode));
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { name: FRONT_LIST, source: FRONT_LIST, path: join(path, FRONT_LIST), content, sha256, mode: 0o600 };
}

/** Resolves when another list is needed than this one (undefined: none), or when `signal` ends the wait. */
export async function frontListChange(
  dir: NetDir,
  now: WantedList | undefined,
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  while (!signal.aborted) {
    const seen = new AbortController();
    // Watched before it is looked at, so no change is missed.
    const watcher = watched(dir.path, () => seen.abort(), log);
    try {
      if (frontList(dir)?.sha256 !== now?.sha256) return;
      await sleep(LOOK_EVERY_MS, undefined, { signal: AbortSignal.any([signal, seen.signal]) }).catch(() => undefined);
    } finally {
      watcher?.close();
    }
  }
}

function watched(folder: string, changed: () => void, log: Log): FSWatcher | undefined {
  try {
    const watcher = watch(folder, changed);
    watcher.on('error', changed);
    return watcher;
  } catch (error) {
    log.debug(`${folder} cannot be watched: ${(error as Error).message}`);
    return undefined;
  }
}
