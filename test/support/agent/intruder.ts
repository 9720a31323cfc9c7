import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Test } from 'tap';
import { run, type Scratch, scratchFolder } from '../namespaces/namespace.ts';

// A process in a pod that talks to the sockets of others there: test/native/netlink-intruder.c.

const SOURCE = join(import.meta.dirname, '../../native/netlink-intruder.c');

/** The compiled program. */
export function compileIntruder(t: Test): string {
  const program = join(scratchFolder(t), 'netlink-intruder');
  run('cc', ['-O2', '-Wall', '-Wextra', '-Werror', SOURCE, '-o', program]);
  return program;
}

/** Sends forged answers to every rtnetlink socket of a pod, once. What came of it, a line for each socket. */
export function intrudeOnce(program: string, pod: Scratch): string[] {
  return run('ip', ['netns', 'exec', pod.name, program, 'once']).trimEnd().split('\n');
}

/** Does so for as long as the test lasts, or until the process is killed. Resolves when it has begun. */
export async function flood(t: Test, program: string, pod: Scratch): Promise<ChildProcess> {
  const child = spawn('ip', ['netns', 'exec', pod.name, program, 'flood'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the intruder has ended: ${code}`)));
  });
  return child;
}
