import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { noNamespaces, scratchFolder, works } from './namespace.ts';

// Processes that see other files than we do: in a mount namespace and a root of their own.

export const noMounts: string | false =
  noNamespaces || (works('unshare', ['-m', 'true']) && works('nsenter', ['-V']) ? false : 'needs unshare and nsenter');

/** A place with a root of its own, and a process that is in it. */
export type Enclosed = {
  readonly pid: number;
  /** Runs a program there, by nsenter(1); what `input` and `env` say is all that it gets. */
  run(
    command: string[],
    input?: string,
    env?: object,
  ): Promise<{ code: number | null; stdout: string; stderr: string }>;
  /** What a file there holds. Throws if it is not there. */
  read(path: string): string;
};

/**
 * The machine's own files, with an empty /run and an empty /var of which `run` is an absolute link to /run, and then
 * what a script does in there. `network` is the path of the network namespace to be in.
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
    `exec chroot ${root} sleep 1000`,
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
  // The chroot follows the word.
  for (let i = 0; i < 500; i++) {
    if (readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').startsWith('sleep')) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('the enclosure does not come to rest');
}

/** What a process says until it ends. */
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

/** Why there is no root with nothing but files of a test's own, in which programs run all the same; or false. */
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

/** Puts a shell and the usual commands into a root. */
export function furnish(root: string): void {
  writeFileSync(join(root, 'busybox'), staticBusybox() ?? '', { mode: 0o755 });
}
