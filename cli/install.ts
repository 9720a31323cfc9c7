import type { Server } from 'node:http';
import { resolve } from 'node:path';
import { createLog } from '../lib/cni/log.ts';
import { addressOf, parseAddress } from '../lib/http/address.ts';
import { InstallError } from '../lib/install/errors.ts';
import { Hashes } from '../lib/install/hashes.ts';
import { serveHealth } from '../lib/install/health.ts';
import type { Readiness } from '../lib/install/keep.ts';
import { uninstall } from '../lib/install/uninstall.ts';
import { bringInPlace, type InPlaceOptions, NOTHING_YET } from './in-place.ts';

export type InstallOptions = InPlaceOptions & { uninstall?: boolean; listen?: string };

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
  const readiness: Readiness = { problem: NOTHING_YET };
  const server = address && (await serveHealth(address, readiness));
  if (server) output.say(`listening on ${addressOf(server)}`);
  const log = createLog({ level: 'info', file: undefined, stderr: output.log }, { component: 'install' });
  try {
    await bringInPlace(options, signal, { readiness, say: output.say, log });
  } catch (error) {
    if (!signal.aborted) throw error;
    if (options.once) throw new InstallError('interrupted; nothing is half done', error);
  } finally {
    close(server);
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
