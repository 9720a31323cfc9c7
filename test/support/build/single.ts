import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { constants, copyFileSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { PLUGIN_NAMES } from '../../../plugins/index.ts';
import { scratchFolder } from '../namespaces/namespace.ts';
import type { Env } from '../plugins/call.ts';

const BUILT = join(import.meta.dirname, '../../../dist/bin');

export const EXECUTABLES = ['waymark', ...PLUGIN_NAMES];

export const noSingle: string | false = existsSync(join(BUILT, 'waymark')) ? false : 'needs scripts/build.sh';

/**
 * The single-file executables in a folder of the test's own, as on a node, so that they do not unpack anything into dist/.
 * They are hard links if possible, so nobody must write into them.
 */
export function installed(t: Test, folder = scratchFolder(t)): string {
  mkdirSync(folder, { recursive: true });
  linkOrCopy(join(BUILT, 'waymark'), join(folder, 'waymark'));
  for (const name of EXECUTABLES.slice(1)) linkSync(join(folder, 'waymark'), join(folder, name));
  return folder;
}

/** The variables that ask a plugin for its versions. */
export const ASK_VERSION = { CNI_COMMAND: 'VERSION' };

/** The config of a plugin with a data folder and keys of its own. */
export function configOf(name: string, dataDir: string, keys: object = {}): object {
  return { cniVersion: '1.1.0', name: 'net', type: name, dataDir, ...keys };
}

/** The unpacked addon, by the folder of the executables: its path, if there is one and only one. */
export function unpackedIn(folder: string): string {
  const names = readdirSync(join(folder, '.waymark'), { recursive: true, encoding: 'utf8' });
  const [build = '', file = '', ...more] = names.sort();
  if (!/^[0-9a-f]{16}$/.test(build) || file !== join(build, 'socket.node') || more.length > 0) {
    throw new Error(`unpacked is ${names.join(', ')}`);
  }
  return join(folder, '.waymark', file);
}

/** The addon that the build has put into the executables. */
export const ADDON = join(import.meta.dirname, '../../../native/build/socket.node');

/** Is the file the addon, byte for byte? */
export function isWhole(path: string): boolean {
  return readFileSync(path).equals(readFileSync(ADDON));
}

/** How a program ended. */
export type Ended = { code: number | null; signal: string | null; stdout: string; stderr: string };

export type Options = { cwd?: string; argv0?: string };

/** Runs a program with these variables and no others. Values for stdin other than text and bytes are sent as JSON. */
export function start(file: string, env: Env, stdin: unknown = '', args: string[] = [], options: Options = {}): Ended {
  return endedOf(
    spawnSync(file, args, {
      env: env as NodeJS.ProcessEnv,
      input: bytesOf(stdin),
      encoding: 'utf8',
      ...options,
    }),
  );
}

/** The same, for many processes at once. */
export function startInParallel(file: string, env: Env, stdin: unknown, args: string[] = []): Promise<Ended> {
  const child = spawn(file, args, { env: env as NodeJS.ProcessEnv });
  return new Promise((resolve, reject) => {
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.stdin.on('error', () => {});
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
    child.stdin.end(bytesOf(stdin));
  });
}

/** Runs a shell command line with `$0` and `$@`, for redirections. */
export function shell(line: string, env: Env, file: string, args: string[] = [], stdin: unknown = ''): Ended {
  return start('/bin/sh', env, stdin, ['-c', line, file, ...args]);
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    copyFileSync(from, to, constants.COPYFILE_FICLONE);
  }
}

function endedOf({ status, signal, stdout, stderr, error }: SpawnSyncReturns<string>): Ended {
  // A program may end before it has read all of its stdin.
  if (error && (error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  return { code: status, signal, stdout, stderr };
}

function bytesOf(stdin: unknown): Uint8Array {
  if (stdin instanceof Uint8Array) return stdin;
  return Buffer.from(typeof stdin === 'string' ? stdin : JSON.stringify(stdin));
}
