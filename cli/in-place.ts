import { existsSync, realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { isSea } from 'node:sea';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../lib/cni/log.ts';
import { summarize } from '../lib/cni/summary.ts';
import { removeFile } from '../lib/files/files.ts';
import { FRONT_LIST } from '../lib/install/cluster-list.ts';
import { InstallError } from '../lib/install/errors.ts';
import { Hashes } from '../lib/install/hashes.ts';
import { type Installation, install } from '../lib/install/install.ts';
import { keepInstalled, type Readiness } from '../lib/install/keep.ts';
import { type InstallMode, planExecutables, planLists } from '../lib/install/plan.ts';
import { readSources, type WantedList } from '../lib/install/wanted.ts';
import { PLUGIN_NAMES } from '../plugins/index.ts';
import { listProblems } from './explain.ts';
import { frontList, frontListChange, type NetDir } from './install-front.ts';

// What is to be in place on a node, and how it gets and stays there: for `waymark install` and for the agent.

/** Folders as this process reaches them; `nodeNetDir` is `netDir` as the node calls it. */
export type InPlaceOptions = {
  readonly from?: string | undefined;
  readonly binDir: string;
  readonly mode: InstallMode;
  readonly netList: readonly string[];
  readonly netDir: string;
  readonly nodeNetDir?: string | undefined;
  /** Leave when everything is in place, instead of keeping it there. */
  readonly once?: boolean | undefined;
};

/** Who is told: `readiness` says what is not in place, `say` gets a line for each file, and the log gets repairs. */
export type Around = {
  readonly readiness: Readiness;
  say(line: string): void;
  readonly log: Log;
  readonly hashes?: Hashes;
};

/** What is not in place before anything is. */
export const NOTHING_YET = 'nothing is installed yet';

/** Somebody who interferes once need not do it again. */
const RETRY_MS = 1000;

/** Puts everything in place and keeps it there until `signal` ends it. Throws InstallError, FileError or RuntimeError. */
export async function bringInPlace(options: InPlaceOptions, signal: AbortSignal, around: Around): Promise<void> {
  const installation = await planOf(options, signal, around.hashes ?? new Hashes());
  if (options.mode === 'multi-network') await keepInFront(installation, options, around);
  else await installOrKeep(installation, options, around);
}

async function installOrKeep(installation: Installation, { once }: InPlaceOptions, around: Around): Promise<void> {
  const { readiness, log, say } = around;
  await installNow(installation, around);
  if (once) return;
  readiness.problem = undefined;
  say(`watching ${installation.binDir}`);
  await keepInstalled(installation, readiness, log);
}

/**
 * Our list is written once the cluster has one of its own, after the executables that it needs; it follows that, and is
 * taken away when the cluster's is. A runtime that looks at any moment finds a list that works.
 */
async function keepInFront(installation: Installation, options: InPlaceOptions, around: Around): Promise<void> {
  const { signal } = installation;
  const path = resolve(options.netDir);
  const dir = { path, onNode: options.nodeNetDir ?? path };
  for (let round = 0; !signal.aborted; round++) {
    const front = frontList(dir);
    try {
      if (front === undefined) await waitForList(installation, dir, options, around);
      else await standInFront(installation, dir, front, options, around);
      if (options.once) return;
    } catch (error) {
      // At first it is the operator's to know; later somebody has interfered, and it is tried again.
      if (round === 0 || options.once || signal.aborted) throw error;
      around.log.error((error as Error).message);
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

async function waitForList(installation: Installation, dir: NetDir, { once }: InPlaceOptions, around: Around) {
  const { path } = dir;
  if (once) throw new InstallError(`${path} has no network list of the cluster's to stand in front of`);
  removeFile(join(path, FRONT_LIST));
  await installNow(installation, around);
  around.readiness.problem = `${path} has no network list of the cluster's yet`;
  around.say(`waiting for a network list in ${path}`);
  await frontListChange(dir, undefined, installation.signal, around.log);
}

// Until the cluster's list is another one.
async function standInFront(
  installation: Installation,
  dir: NetDir,
  front: WantedList,
  options: InPlaceOptions,
  around: Around,
): Promise<void> {
  const { wanted, signal } = installation;
  const changed = new AbortController();
  const either = AbortSignal.any([signal, changed.signal]);
  const lists = [...wanted.lists.filter(({ path }) => path !== front.path), front];
  const kept = installOrKeep({ ...installation, wanted: { ...wanted, lists }, signal: either }, options, around);
  try {
    await Promise.race([kept, ...(options.once ? [] : [frontListChange(dir, front, either, around.log)])]);
  } finally {
    changed.abort();
  }
  // What the change has interrupted is done for the next list.
  await kept.catch(() => undefined);
}

async function planOf(options: InPlaceOptions, signal: AbortSignal, hashes: Hashes): Promise<Installation> {
  const from = options.from === undefined ? ownFolderOrError() : resolve(options.from);
  const binDir = resolve(options.binDir);
  if (isSameFolder(from, binDir)) throw new InstallError(`${binDir} is where it would be installed from, and to`);
  const executables = planExecutables(PLUGIN_NAMES, from, binDir, options.mode);
  const lists = planLists(options.netList, resolve(options.netDir));
  for (const { source } of lists) await assertList(source);
  return { binDir, wanted: await readSources(executables, lists, hashes), hashes, signal };
}

// A list that `waymark explain` refuses would fail every pod. What is wrong with the file itself is found by `readSources`.
async function assertList(source: string): Promise<void> {
  if (!existsSync(source)) return;
  const problems = await listProblems(source);
  if (problems.length === 0) return;
  const { message } = summarize(`${source} would fail: `, problems);
  throw new InstallError(`${message} (see waymark explain)`);
}

async function installNow(installation: Installation, { say }: Around): Promise<void> {
  const { version, replaced } = await install(installation);
  const { executables, lists } = installation.wanted;
  const done = (path: string) => `${replaced.includes(path) ? 'installed' : 'unchanged'} ${path}`;
  for (const { path } of executables) say(`${done(path)} ${version}`);
  for (const { path } of lists) say(done(path));
}

// The single-file executable lies among those that it installs.
function ownFolderOrError(): string {
  if (isSea()) return dirname(realpathSync(process.execPath));
  throw new InstallError('this is not the single-file executable: name the folder to install from by --from');
}

function isSameFolder(a: string, b: string): boolean {
  try {
    return realpathSync(a) === realpathSync(b);
  } catch {
    return false;
  }
}
