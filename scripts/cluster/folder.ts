import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** The working copy. */
export const ROOT = join(import.meta.dirname, '../..');

/** Kubernetes' programs, as build-kubernetes.sh makes them. */
export const PROGRAMS = join(ROOT, '.tools/kubernetes');

/** A cluster's files on the machine. All of them go with the cluster. */
export class ClusterFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    for (const folder of ['nodes', 'pki', 'logs']) mkdirSync(join(path, folder), { recursive: true });
  }

  /** The name of its control groups: that of the folder, so that two clusters have different ones. */
  get name(): string {
    return basename(this.path);
  }

  get pki(): string {
    return join(this.path, 'pki');
  }

  get logs(): string {
    return join(this.path, 'logs');
  }

  /** The API server's log of the requests of Waymark's agents; see audit-policy.yaml. */
  get auditLog(): string {
    return join(this.logs, 'audit.jsonl');
  }

  /** The process id of the cluster's first process, as the machine sees it. Throws if it is down. */
  get pid(): string {
    const pid = pidIn(this.path);
    if (pid === undefined) throw new Error(`no cluster runs in ${this.path}`);
    return pid;
  }

  /** Starts a program that goes on when we end, and appends what it says to a log. */
  spawn(
    log: string,
    command: readonly string[],
    options: { owned?: boolean; env?: NodeJS.ProcessEnv } = {},
  ): ChildProcess {
    const [program = '', ...args] = command;
    const { owned = false, env = process.env } = options;
    const file = openSync(this.#log(log), 'a');
    const child = spawn(program, args, { detached: true, stdio: [owned ? 'pipe' : 'ignore', file, file], env });
    closeSync(file);
    child.unref();
    return child;
  }

  /** What is in a log; nothing if there is none. */
  readLog(name: string): string {
    const path = this.#log(name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  #log(name: string): string {
    return join(this.logs, `${name}.log`);
  }
}

/** The process id of the cluster in a folder, if one runs there. */
export function pidIn(folder: string): string | undefined {
  const path = join(folder, 'pid');
  const pid = existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
  return pid !== '' && existsSync(`/proc/${pid}`) ? pid : undefined;
}
