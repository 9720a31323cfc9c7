import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonObject } from '../cni/json.ts';
import { HERE, type PathOf } from '../cni/place.ts';
import type { Variables } from '../cni/request.ts';
import type { Verb } from '../cni/verbs.ts';
import { RuntimeError } from './errors.ts';

/**
 * Where a plugin's executable is. `pathOf` says how its node's files are reached from here; the answer is the node's own
 * path. Throws RuntimeError if the type is no plain name, or is in none of the folders.
 */
export function findPlugin(type: string, folders: readonly string[], pathOf: PathOf = HERE.pathOf): string {
  // CVE-2021-20206: a type is a file's name, never a path.
  if (type.includes('/') || type === '.' || type === '..') throw new RuntimeError(`invalid plugin type "${type}"`);
  const paths = folders.map((folder) => join(folder, type));
  const found = paths.find((path) => statSync(pathOf(path), { throwIfNoEntry: false })?.isFile());
  if (found === undefined) throw new RuntimeError(`there is no plugin "${type}" in CNI_PATH (${folders.join(':')})`);
  return found;
}

/**
 * Runs a plugin once, with these variables as its whole environment, and returns what it printed, as JSON; undefined if it printed nothing. Its stderr is ours.
 * Throws RuntimeError with the code and message of the plugin's own error, where it printed one.
 */
export async function executePlugin(
  path: string,
  command: Verb,
  variables: Variables,
  config: JsonObject,
  run: RunPlugin = runHere,
): Promise<object | undefined> {
  const { code, stdout } = await runWhileBusy(
    run,
    path,
    { ...variables, CNI_COMMAND: command },
    JSON.stringify(config),
  );
  const document = stdout.trim() === '' ? undefined : parse(stdout);
  if (code === 0 && document !== 'invalid') return document;
  if (code === 0) throw new RuntimeError('the plugin printed something that is not a JSON object');
  const { code: errorCode, msg, details } = (document === 'invalid' ? {} : (document ?? {})) as ErrorFields;
  if (msg === undefined) throw new RuntimeError(`the plugin ended with ${code} and without an error document`);
  throw new RuntimeError(msg, { ...(errorCode !== undefined && { code: errorCode }), details });
}

/** How a plugin ended: its exit code, or the signal that ended it, and what it printed. */
export type Ended = { readonly code: number | string; readonly stdout: string };

/** Runs an executable with this environment and input. Rejects with what spawn(2) said, ETXTBSY among it, if it cannot. */
export type RunPlugin = (path: string, env: Variables, stdin: string) => Promise<Ended>;

type ErrorFields = { code?: number; msg?: string; details?: string };

const BUSY_ATTEMPTS = 5;
const BUSY_PAUSE_MS = 1000;

// An executable that is just being replaced in place answers ETXTBSY (libcni waits likewise).
async function runWhileBusy(run: RunPlugin, path: string, env: Variables, stdin: string): Promise<Ended> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run(path, env, stdin);
    } catch (error) {
      if (error instanceof RuntimeError) throw error;
      const isBusy = (error as NodeJS.ErrnoException).code === 'ETXTBSY' && attempt < BUSY_ATTEMPTS;
      if (!isBusy) throw new RuntimeError(`${path} cannot be run: ${(error as Error).message}`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, BUSY_PAUSE_MS));
    }
  }
}

function runHere(path: string, env: Variables, stdin: string): Promise<Ended> {
  return new Promise((resolve, reject) => {
    // Without file descriptors left (EMFILE) there are no streams, and the error comes as an event.
    const child: ChildProcess = spawn(path, [], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    const chunks: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({ code: code ?? signal ?? 'unknown', stdout: Buffer.concat(chunks).toString() });
    });
    // A plugin need not read its config: that it has gone is seen by its exit code.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(stdin);
  });
}

function parse(text: string): object | 'invalid' {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : 'invalid';
  } catch {
    return 'invalid';
  }
}
