import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Test } from 'tap';
import { Agent, type AgentOptions } from '../../../agent/agent.ts';
import { type AgentLimits, DEFAULT_LIMITS } from '../../../agent/limits.ts';
import { OWN_LOOPBACK } from '../loopback.ts';
import { scratchFolder } from '../namespaces/namespace.ts';
import { bundleOf, type Env } from '../plugins/call.ts';
import { PLUGINS } from '../plugins/plugins.ts';

/** Why the agent cannot serve anybody here, or false. */
export const noRoot: string | false = process.getuid?.() === 0 ? false : 'needs root';

/** A line of the agent's log. */
export type LogLine = { level: number; msg: string; [field: string]: unknown };

/** An agent in this process, with a socket in a folder of its own. It stops when the test ends. */
export async function agentHere(
  t: Test,
  { limits = {}, ...options }: Partial<Omit<AgentOptions, 'limits'>> & { limits?: Partial<AgentLimits> } = {},
): Promise<{ agent: Agent; socket: string; log: LogLine[]; folder: string }> {
  const folder = scratchFolder(t);
  const socket = join(folder, 'run/agent.sock');
  const log: LogLine[] = [];
  const agent = new Agent({
    plugins: PLUGINS.map(({ plugin }) => plugin),
    socket,
    limits: { ...DEFAULT_LIMITS, ...limits },
    log: pino({ base: null, level: 'debug' }, { write: (line: string) => void log.push(JSON.parse(line)) }),
    ...options,
  });
  await agent.start();
  t.teardown(() => agent.stop());
  return { agent, socket, log, folder };
}

/** An agent in a process of its own. */
export type AgentProcess = {
  readonly socket: string;
  readonly child: ChildProcess;
  readonly pid: number;
  /** What it has written to stderr so far. */
  stderr(): string;
  /** How it ended; by then all that it has written is here. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
};

export type AgentProcessOptions = {
  socket?: string;
  args?: string[];
  env?: { [name: string]: string };
  /** The network namespace to run in. */
  within?: { name: string };
  /** A program that runs it, with its arguments, such as setpriv. */
  under?: string[];
  /** Return as soon as it runs, even if it does not serve yet. */
  unready?: boolean;
  /** The command that runs the agent, if not this build's bundle. */
  command?: readonly string[];
};

/** The agent as shipped, for `command`. */
export const SINGLE_FILE_AGENT: readonly string[] = [join(import.meta.dirname, '../../../dist/bin/waymark'), 'agent'];

/** Starts `waymark agent` and waits until it serves. It is killed when the test ends. */
export async function agentProcess(t: Test, options: AgentProcessOptions = {}): Promise<AgentProcess> {
  const socket = options.socket ?? join(scratchFolder(t), 'run/agent.sock');
  const agent = options.command ?? [process.execPath, bundleOf('waymark'), 'agent'];
  const command = [...agent, '--socket', socket, ...(options.args ?? [])];
  const within = options.within === undefined ? [] : ['ip', 'netns', 'exec', options.within.name];
  const [program = '', ...args] = [...within, ...(options.under ?? []), ...command];
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH, ...options.env },
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal })),
  );
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  if (!options.unready)
    await until(
      () => stderr.includes('"serving"') || child.exitCode !== null,
      () => stderr,
    );
  return { socket, child, pid: child.pid ?? -1, stderr: () => stderr, ended };
}

/** Waits until a condition holds; throws with the text of `context` if it never does. */
export async function until(isSo: () => boolean | Promise<boolean>, context: () => string = () => ''): Promise<void> {
  // Long enough for a machine that is busy with something else.
  for (const end = Date.now() + 120_000; Date.now() < end; ) {
    if (await isSo()) return;
    await pause(10);
  }
  throw new Error(`the condition never held: ${context()}`);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The open descriptors of a process, by their targets; sockets and pipes without their numbers. */
export function descriptorsOf(pid: number | 'self'): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** The memory of a process, in bytes. */
export function memoryOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** Where nobody listens. */
export async function freeAddress(): Promise<{ host: string; port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, OWN_LOOPBACK, resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return { host: OWN_LOOPBACK, port };
}

export type Page = { status: number; type: string; body: string };

/** Requests a page over a Unix socket or a port. */
export function page(
  where: { socketPath: string } | { host?: string; port: number },
  path: string,
  method = 'GET',
): Promise<Page> {
  return new Promise((resolve, reject) => {
    request({ ...where, path, method, agent: false }, (response) => {
      let body = '';
      response.on('data', (text) => {
        body += text;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, type: String(response.headers['content-type']), body }),
      );
    })
      .on('error', reject)
      .end();
  });
}

/** Samples of the Prometheus text format, by name and labels as written: `a_total{x="1"}`. Numbers are in Go's format. */
export function parseMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ') || line.startsWith('# TYPE ')) continue;
    const match =
      /^([a-zA-Z_:][\w:]*(?:\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*\})?) ([+-]?(?:Inf|NaN|Nan|[\d.e+-]+))$/.exec(
        line,
      );
    if (match === null) throw new Error(`not a sample: ${line}`);
    const [, series = '', value = ''] = match;
    if (samples.has(series)) throw new Error(`duplicate series: ${series}`);
    samples.set(series, Number(value.replace('Inf', 'Infinity')));
  }
  return samples;
}

/** The built shim under this name. */
export function shimOf(name: string): string {
  return join(import.meta.dirname, '../../../dist/shim', name);
}

/** The variables with which the shim finds an agent at a socket, and no others. */
export function shimEnv(socket: string, env: Env): NodeJS.ProcessEnv {
  return { ...env, WAYMARK_SOCKET: socket, WAYMARK_STANDALONE: '/nonexistent/waymark' } as NodeJS.ProcessEnv;
}
