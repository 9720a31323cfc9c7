import { existsSync, realpathSync } from 'node:fs';
import type { Server } from 'node:http';
import { dirname, join, resolve } from 'node:path';
import { isSea } from 'node:sea';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog, type Log } from '../lib/cni/log.ts';
import { summarize } from '../lib/cni/summary.ts';
import { removeFile } from '../lib/files/files.ts';
import { addressOf, parseAddress } from '../lib/http/address.ts';
import { FRONT_LIST } from '../lib/install/cluster-list.ts';
import { InstallError } from '../lib/install/errors.ts';
import { Hashes } from '../lib/install/hashes.ts';
import { serveHealth } from '../lib/install/health.ts';
import { type Installation, install } from '../lib/install/install.ts';
import { keepInstalled, type Readiness } from '../lib/install/keep.ts';
import { type InstallMode, planExecutables, planLists } from '../lib/install/plan.ts';
import { uninstall } from '../lib/install/uninstall.ts';
import { readSources, type WantedList } from '../lib/install/wanted.ts';
import { PLUGIN_NAMES } from '../plugins/index.ts';
import { listProblems } from './explain.ts';
import { frontList, frontListChange, type NetDir } from './install-front.ts';

export type InstallOptions = {
  from?: string;
  binDir: string;
  mode: InstallMode;
  netList: string[];
  netDir: string;
  nodeNetDir?: string;
  once?: boolean;
  uninstall?: boolean;
  listen?: string;
};

/** Somebody who interferes once need not do it again. */
const RETRY_MS = 1000;

/** Where lines for people go, and where the log goes. */
export type Output = { say(line: string): void; log(text: string): void };

/**
 * Installs the executables and network lists and keeps them in place; or, with `once`, leaves; or, with `uninstall`, takes
 * them away. Ends early on SIGTERM and SIGINT. Throws InstallError, FileError or RuntimeError.
 */
export async function runInstall(options: InstallOptions, output: Output): Promise<void> {
  if (options.uninstall) await takeAway(resolve(options.binDir), output);
  else await installAndKeep(options, output);
}

async function takeAway(binDir: string, { say }: Output): Promise<void> {
  const done = await uninstall(binDir, new Hashes());
  for (const { path, outcome } of done) {
    say(outcome === 'changed' ? `left ${path}, which was changed since` : `${outcome} ${path}`);
  }
  if (done.length === 0) say(`nothing is installed in ${binDir}`);
}

async function installAndKeep(options: InstallOptions, output: Output): Promise<void> {
  if (options.once && options.listen !== undefined) throw new InstallError('--listen is of no use with --once');
  const address = options.listen === undefined ? undefined : parseAddress(options.listen);
  const signal = untilStopped();
  const readiness: Readiness = { problem: 'nothing is installed yet' };
  const server = address && (await serveHealth(address, readiness));
  if (server) output.say(`listening on ${addressOf(server)}`);
  try {
    const installation = await planOf(options, signal);
    const log = createLog({ level: 'info', file: undefined, stderr: output.log }, { component: 'install' });
    if (options.mode === 'multi-network') await keepInFront(installation, options, { readiness, output, log });
    else await installOrKeep(installation, options, { readiness, output, log });
  } catch (error) {
    if (!signal.aborted) throw error;
    if (options.once) throw new InstallError('interrupted; nothing is half done', error);
  } finally {
    close(server);
  }
}

type Around = { readonly readiness: Readiness; readonly output: Output; readonly log: Log };

async function installOrKeep(
  installation: Installation,
  { once }: InstallOptions,
  { readiness, output, log }: Around,
): Promise<void> {
  await installNow(installation, output);
  if (once) return;
  readiness.problem = undefined;
  output.say(`watching ${installation.binDir}`);
  await keepInstalled(installation, readiness, log);
}

/**
 * Our list is written once the cluster has one of its own, after the executables that it needs; it follows that, and is
 * taken away when the cluster's is. A runtime that looks at any moment finds a list that works.
 */
async function keepInFront(installation: Installation, options: InstallOptions, around: Around): Promise<void> {
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

async function waitForList(installation: Installation, dir: NetDir, { once }: InstallOptions, around: Around) {
  const { path } = dir;
  if (once) throw new InstallError(`${path} has no network list of the cluster's to stand in front of`);
  removeFile(join(path, FRONT_LIST));
  await installNow(installation, around.output);
  around.readiness.problem = `${path} has no network list of the cluster's yet`;
  around.output.say(`waiting for a network list in ${path}`);
  await frontListChange(dir, undefined, installation.signal, around.log);
}

// Until the cluster's list is another one.
async function standInFront(
  installation: Installation,
  dir: NetDir,
  front: WantedList,
  options: InstallOptions,
  around: Around,
): Promise<void> {
  const { wanted, signal } = installation;
  const changed = new AbortController();
  const either = AbortSignal.any([signal, changed.signal]);
  const lists = [...wanted.lists.filter(({ path }) => path !== front.path), front];
  const kept = installOrKeep({ ...installation, wanted: { ...wanted, lists }, signal: either }, options, around);
  await Promise.race([kept, ...(options.once ? [] : [frontListChange(dir, front, either, around.log)])]);
  changed.abort();
  // What the change has interrupted is done for the next list.
  await kept.catch((error: Error) => {
    if (options.once) throw error;
  });
}

async function planOf(options: InstallOptions, signal: AbortSignal): Promise<Installation> {
  const from = options.from === undefined ? ownFolderOrError() : resolve(options.from);
  const binDir = resolve(options.binDir);
  if (isSameFolder(from, binDir)) throw new InstallError(`${binDir} is where it would be installed from, and to`);
  const hashes = new Hashes();
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

async function installNow(installation: Installation, { say }: Output): Promise<void> {
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

// As the first process of a container, it would not end by a signal that it does not handle.
function untilStopped(): AbortSignal {
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => stop.abort());
  return stop.signal;
}

function close(server: Server | undefined): void {
  server?.close();
  server?.closeAllConnections();
}
