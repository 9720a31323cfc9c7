import { spawn } from 'node:child_process';
import { existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** How long an agent may take to serve, and to end. */
const PATIENCE_MS = 20_000;

/** An agent of a bench's own, from the single-file executable. Everything here waits by itself, as the benches do. */
export class BenchAgent {
  readonly socket: string;
  readonly #pid: number;

  /** Starts it with a socket in this folder. Resolves nothing: it serves when this returns. Throws if it does not. */
  constructor(executable: string, folder: string) {
    this.socket = join(folder, 'agent.sock');
    const log = openSync(join(folder, 'agent.log'), 'a', 0o600);
    const args = ['agent', '--socket', this.socket, '--log-level', 'warn'];
    this.#pid = spawn(executable, args, { stdio: ['ignore', log, log] }).pid ?? 0;
    until(() => existsSync(this.socket), `the agent does not serve: ${join(folder, 'agent.log')}`);
  }

  /** User and system time of all its threads since its start. */
  cpuMs(): number {
    const threads = readdirSync(`/proc/${this.#pid}/task`);
    const nanoseconds = threads.map((id) => Number(this.#read(`task/${id}/schedstat`).split(' ')[0]));
    return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e6;
  }

  /** What is resident now. */
  residentMiB(): number {
    return this.#memory('VmRSS');
  }

  /** The most that was resident since its start. */
  peakMiB(): number {
    return this.#memory('VmHWM');
  }

  /** Ends it. */
  stop(): void {
    process.kill(this.#pid, 'SIGTERM');
    // Nobody has waited for it by then, so it stays as a zombie.
    until(() => /^\d+ \(.*\) Z/.test(this.#read('stat')), 'the agent does not stop');
  }

  #memory(key: string): number {
    return Number(new RegExp(`^${key}:\\s*(\\d+) kB`, 'm').exec(this.#read('status'))?.[1]) / 1024;
  }

  #read(file: string): string {
    return readFileSync(`/proc/${this.#pid}/${file}`, 'utf8');
  }
}

/** Waits, and lets nothing else happen in this process. */
export function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

function until(holds: () => boolean, otherwise: string): void {
  for (const end = Date.now() + PATIENCE_MS; !holds(); pause(20)) if (Date.now() > end) throw new Error(otherwise);
}
