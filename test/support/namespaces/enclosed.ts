import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { until } from '../until.ts';
import { noNamespaces, scratchFolder, works } from './namespace.ts';

// Processes that see other files than the test, in a mount namespace and a root of their own.

export const noMounts: string | false =
  noNamespaces || (works('unshare', ['-m', 'true']) && works('nsenter', ['-V']) ? false : 'needs unshare and nsenter');

/** A place with a root of its own, and a process in it. */
export type Enclosed = {
  readonly pid: number;
  /** Runs a program there with nsenter(1), with only this `input` and `env`. */
  run(
    command: string[],
    input?: string,
    env?: object,
  ): Promise<{ code: number | null; stdout: string; stderr: string }>;
  /** The contents of a file there. Throws if it does not exist. */
  read(path: string): string;
};

/**
 * The machine's own files, with an empty /run and an empty /var whose `run` is an absolute link to /run, changed by a script
 * that runs in there. `network` is the path of the network namespace to enter.
 */
export async function enclosed(t: Test, script: string, network?: string): Promise<Enclosed> {
  const root = join(scratchFolder(t), 'root');
  mkdirSync(root);
  const setUp = [
    'set -e',
    `mount --rbind / ${root}`,
    `mount -t tmpfs -o mode=755 tmpfs ${root}/run`,
    `mount -t tmpfs -o mode=755 tmpfs ${root}/var`,
    `ln -s /run ${root}/var/run`,
    `root=${root}`,
    script,
    'echo ready',
    `exec chroot ${root} sleep infinity`,
  ].join('\n');
  const holder = spawn('unshare', ['-m', '--propagation', 'private', 'sh', '-c', setUp], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => holder.once('exit', resolve));
  t.teardown(async () => {
    holder.kill('SIGKILL');
    await ended;
  });
  await firstWord(holder);
  const pid = holder.pid ?? -1;
  const enter = ['-t', String(pid), '-m', '-r', ...(network === undefined ? [] : [`-n${network}`])];
  return {
    pid,
    run: (command, input = '', env = {}) =>
      ran(spawn('nsenter', [...enter, ...command], { env: { PATH: process.env.PATH, ...env } }), input),
    read: (path) => {
      const { status, stdout, stderr } = spawnSync('nsenter', [...enter, 'cat', path], { encoding: 'utf8' });
      if (status !== 0) throw new Error(stderr);
      return stdout;
    },
  };
}

async function firstWord(child: ChildProcess): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the script in the enclosure failed: ${code}`)));
  });
  // The chroot happens after this word is printed.
  await until(
    () => readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').startsWith('sleep'),
    'the enclosure is not ready',
  );
}

/** The output and exit code of a process that runs to its end. */
export function ran(child: ChildProcess, input = ''): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    let [stdout, stderr] = ['', ''];
    child.stdout?.on('data', (text) => {
      stdout += text;
    });
    child.stderr?.on('data', (text) => {
      stderr += text;
    });
    child.stdin?.on('error', () => {});
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin?.end(input);
  });
}

/** Why programs cannot run here in a root that contains only the test's own files, or false. */
export const noStaticBusybox: string | false =
  noMounts || (staticBusybox() === undefined ? 'needs busybox-static' : false);

function staticBusybox(): Buffer | undefined {
  try {
    const binary = readFileSync('/bin/busybox');
    // A static executable names no interpreter (PT_INTERP, elf(5)).
    return binary.includes('/ld-linux') || binary.includes('/ld-musl') ? undefined : binary;
  } catch {
    return undefined;
  }
}

/** Installs a shell and the usual commands into a root. */
export function furnish(root: string): void {
  writeFileSync(join(root, 'busybox'), staticBusybox() ?? '', { mode: 0o755 });
}
