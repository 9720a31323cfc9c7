import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Test } from 'tap';
import { run, type Scratch, scratchFolder } from './namespace.ts';

// What keeps a network namespace in existence.

const SOURCE = join(import.meta.dirname, '../../native/namespace-holder.c');

/** What holds a namespace, how to have it do so, and whether it takes a C compiler. */
export const HOLDERS: readonly {
  title: string;
  hold: (t: Test, pod: Scratch, over?: string) => Promise<Holder>;
  compiles?: true;
}[] = [
  { title: 'a process', hold: (t, { name }) => held(t, 'ip', ['netns', 'exec', name, 'sh', '-c', WAIT]) },
  {
    title: 'a thread of a process whose first thread has ended',
    hold: (t, { path }) => held(t, compiled(t), ['thread', path]),
    compiles: true,
  },
  { title: 'an open file', hold: (t, { path }) => held(t, compiled(t), ['open', path]), compiles: true },
  {
    title: 'a mount in a mount namespace of its own, with a space in its path',
    // With `over`, that file is mounted on it.
    hold: (t, { path }, over) => held(t, 'unshare', ['--mount', 'sh', '-c', mounted(scratchFolder(t), path, over)]),
  },
];

/** Something that holds a namespace until it is ended. */
export type Holder = { end(): Promise<void> };

const WAIT = 'echo held; exec sleep infinity';

function mounted(folder: string, path: string, over?: string): string {
  const point = `'${folder}/a pod'`;
  const sources = [path, ...(over === undefined ? [] : [over])];
  const mounts = sources.map((source) => `mount --bind ${source} ${point}`);
  return ['mount --make-rprivate /', `touch ${point}`, ...mounts, WAIT].join(' && ');
}

async function held(t: Test, program: string, args: string[]): Promise<Holder> {
  const child: ChildProcess = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const end = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  t.teardown(end);
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`${program} has ended: ${code}`)));
  });
  return { end };
}

function compiled(t: Test): string {
  const program = join(scratchFolder(t), 'namespace-holder');
  run('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-pthread', SOURCE, '-o', program]);
  return program;
}
