import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { noNamespaces } from '../namespaces/namespace.ts';

/**
 * A machine of a test's own, made of namespaces for network, mounts and processes. /run, /opt and /var/lib are folders in
 * `folder`, which outlive the machine as a disk would. All processes, mounts and namespaces of pods end with the machine,
 * also if the test is killed.
 */
export type Machine = {
  /** The paths of /run, /opt and /var/lib for the test. */
  readonly folder: string;
  /** For the cgroups of what runs there, which go with the machine. */
  readonly cgroup: string;
  /** Runs a program there and returns its stdout. If it fails, throws with all its output. */
  run(program: string, args: string[], options?: { input?: string; env?: NodeJS.ProcessEnv }): string;
  /** The same, asynchronously. */
  finish(program: string, args: string[]): Promise<void>;
  /** Starts a program there without waiting for its end. */
  start(program: string, args: string[]): ChildProcess;
  /** Runs `ip` there: `ip('link add eth0 type veth peer name eth1')`. */
  ip(command: string): string;
  /** The output of `ip -j` there. */
  ipJson(command: string): { [key: string]: unknown }[];
  /** Ends it as a power failure would. */
  end(): Promise<void>;
};

/** Starts a machine whose files are in `folder`. */
export async function startMachine(folder: string): Promise<Machine> {
  const cgroup = basename(folder);
  const script = join(import.meta.dirname, 'machine.sh');
  const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child'];
  const init = spawn('unshare', [...namespaces, 'sh', script, folder, cgroup, ...COVERED], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const ended = new Promise<void>((resolve) => init.on('close', () => resolve()));
  const pid = await firstLine(init);

  const enter = ['--target', pid, '--mount', '--net', '--pid', '--'];
  const run: Machine['run'] = (program, args, { input = '', env = process.env } = {}) => {
    const { status, signal, stdout, stderr, error } = spawnSync('nsenter', [...enter, program, ...args], {
      encoding: 'utf8',
      input,
      env: { PATH: process.env.PATH, ...env },
      maxBuffer: 1 << 28,
      timeout: 180_000,
    });
    if (error !== undefined) throw error;
    if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${status ?? signal}\n${stdout}\n${stderr}`);
    return stdout;
  };
  const start: Machine['start'] = (program, args) =>
    spawn('nsenter', [...enter, program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  return {
    folder,
    cgroup,
    run,
    start,
    finish: async (program, args) => {
      const child = start(program, args);
      let said = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream?.on('data', (chunk) => {
          said += chunk;
        });
      }
      const [status] = await once(child, 'close');
      if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${status}\n${said}`);
    },
    ip: (command) => run('ip', command.split(' ')),
    ipJson: (command) => JSON.parse(run('ip', ['-j', ...command.split(' ')]) || '[]'),
    end: () => {
      init.stdin.end();
      return ended;
    },
  };
}

const COVERED = ['run', 'opt', 'var/lib'];

/** Why no machine can be created here, or false. */
export const noMachine: string | false =
  noNamespaces ||
  (COVERED.some((folder) => import.meta.dirname.startsWith(`/${folder}/`)) &&
    `needs the working copy outside of /${COVERED.join(', /')}`);

async function firstLine(init: ChildProcess & { stdout: NodeJS.ReadableStream; stderr: NodeJS.ReadableStream }) {
  let said = '';
  init.stderr.on('data', (chunk) => {
    said += chunk;
  });
  for await (const line of createInterface({ input: init.stdout })) return line;
  throw new Error(`no machine can be made of namespaces: ${said}`);
}
