import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Test } from 'tap';
import { run, scratchFolder } from '../namespaces/namespace.ts';

const SOURCE = join(import.meta.dirname, '../../native/datagrams.c');

/** Receives datagrams at a Unix socket's address (`@` for an abstract one) as long as the test lasts. What has come. */
export async function datagramsAt(t: Test, address: string): Promise<() => string[]> {
  const program = join(scratchFolder(t), 'datagrams');
  run('cc', ['-O2', '-Wall', '-Wextra', '-Werror', SOURCE, '-o', program]);
  const child = spawn(program, [address], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (text) => {
      said += text;
      resolve();
    });
    child.once('exit', () => reject(new Error(`nobody listens at ${address}`)));
  });
  return () => said.split('\n').slice(1, -1);
}
