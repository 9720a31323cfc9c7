import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { run, scratchFolder } from '../namespaces/namespace.ts';
import { EXECUTABLES } from './releases.ts';

const MAIN = join(import.meta.dirname, '../../../cli/process.ts');

/** The command line of `waymark install`, from the sources. */
export const INSTALL = [process.execPath, MAIN, 'install'];

/** The contents of a plugin folder, including hidden names, when only our own files are installed there. */
export const INSTALLED = ['.waymark', '.waymark/installed.json', ...EXECUTABLES].sort();

/** Folders to install into, the paths of the executables there, and the options that name the folders. */
export function place(t: Test) {
  const folder = scratchFolder(t);
  const [binDir, netDir] = [join(folder, 'bin'), join(folder, 'net.d')];
  for (const made of [binDir, netDir]) mkdirSync(made);
  const paths = EXECUTABLES.map((name) => join(binDir, name));
  return { binDir, netDir, paths, to: ['--bin-dir', binDir, '--net-dir', netDir] };
}

export type Ended = { status: number | null; stdout: string; stderr: string };

/** Runs `waymark install` to its end; `prefix` is the command that runs it. */
export function runInstaller(args: readonly string[], prefix: readonly string[] = []): Ended {
  const [program = '', ...rest] = [...prefix, ...INSTALL, ...args];
  const { status, stdout, stderr, error } = spawnSync(program, rest, { encoding: 'utf8' });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** Runs `waymark install`, which must succeed; the lines that it printed. */
export function must(args: readonly string[]): string[] {
  const { status, stdout, stderr } = runInstaller(args);
  if (status !== 0) throw new Error(stderr);
  return stdout.trim().split('\n');
}

/** A `waymark install` that keeps running. */
export type Resident = {
  readonly pid: number;
  stdout(): string;
  stderr(): string;
  /** The lines of its log, as JSON. */
  log(): { level: string; msg: string; path?: string }[];
  /** The exit code, once it has ended by itself or by a signal to `pid`. */
  readonly ended: Promise<number | null>;
};

/** Starts `waymark install`, which ends when the test ends, and waits until it has installed everything. */
export async function startInstaller(t: Test, args: readonly string[], prefix: readonly string[] = []) {
  const [program = '', ...rest] = [...prefix, ...INSTALL, ...args];
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  const resident = residentOf(child);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await resident.ended;
  });
  await until(
    () => resident.stdout().includes('\nwatching ') || child.exitCode !== null,
    'it watches',
    resident.stderr,
  );
  return resident;
}

function residentOf(child: ChildProcess): Resident {
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (text) => {
    stdout += text;
  });
  child.stderr?.on('data', (text) => {
    stderr += text;
  });
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    log: () =>
      stderr
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line)),
    ended: new Promise((resolve) => child.on('close', resolve)),
  };
}

/** Waits until a condition holds. Throws if it does not within two minutes. */
export async function until(holds: () => boolean, what: string, more: () => string = () => ''): Promise<void> {
  for (const deadline = Date.now() + 120_000; !holds(); ) {
    if (Date.now() > deadline) throw new Error(`never: ${what}\n${more()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The SHA-256 of files according to sha256sum(1), each only once. */
export function sums(...paths: string[]): string[] {
  return [...new Set(paths.map((path) => run('sha256sum', [path]).slice(0, 64)))];
}

/** The names in a folder, including hidden ones. */
export function everythingIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
}

/** The inode number of a file, which changes when the file is replaced. */
export function inodeOf(path: string): number {
  return lstatSync(path).ino;
}

/** Asks an executable for its VERSION, asynchronously; a stand-in may take a while. */
export function runCall(path: string): Promise<{ code: number | null; stdout: string; error: string }> {
  return new Promise((resolve) => {
    const child = spawn(path, [], {
      env: { CNI_COMMAND: 'VERSION', HOLD_MS: '30' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let [stdout, failure] = ['', ''];
    child.stdout.on('data', (text) => {
      stdout += text;
    });
    child.on('error', ({ message }) => {
      failure = message;
    });
    child.on('close', (code) => resolve({ code, stdout, error: failure }));
  });
}

/** Runs a command to its end, asynchronously. `started` gets its process ID. */
export function runCommand(command: readonly string[], started: (pid: number) => void = () => undefined) {
  const [program = '', ...args] = command;
  return new Promise<{ code: number | null; output: string; error: string }>((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    started(child.pid ?? 0);
    let [output, error] = ['', ''];
    child.stdout.on('data', (text) => {
      output += text;
    });
    child.stderr.on('data', (text) => {
      error += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output, error }));
  });
}

/** Replaces a file with another executable, by rename. */
export function replace(path: string, content: string): void {
  writeFileSync(`${path}.new`, content, { mode: 0o755 });
  renameSync(`${path}.new`, path);
}
