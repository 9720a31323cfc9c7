import { writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Logger, pino } from 'pino';
import { Agent } from '../agent/agent.ts';
import { rehearsalFolder, removeLeftovers } from '../agent/leftovers.ts';
import type { AgentLimits } from '../agent/limits.ts';
import { passedDescriptor } from '../agent/socket-file.ts';
import { ensureFolder } from '../lib/files/files.ts';
import { parseAddress } from '../lib/http/address.ts';
import { notifyManager } from '../lib/netlink/service-manager.ts';
import { PLUGINS } from '../plugins/index.ts';
import { rehearse } from './rehearsal.ts';

export type AgentCommandOptions = {
  socket?: string;
  listen?: string;
  logLevel: string;
  maxRunning: number;
  maxWaiting: number;
  queueSeconds: number;
  maxConfigKib: number;
  maxConfigsKib: number;
  maxDumpKib: number;
  annotationSeconds: number;
};

export const DEFAULT_SOCKET = '/run/waymark/agent.sock';

/** After so many calls the compiler has optimised what it will. */
const WARM_UP_ROUNDS = 20;

type Env = { readonly [name: string]: string | undefined };

/** Runs the agent until it is told to stop by SIGTERM or SIGINT. Throws what keeps it from listening. */
export async function runAgent(options: AgentCommandOptions, env: Env, pid: number): Promise<void> {
  const log = pino(
    {
      level: options.logLevel,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      // By its name, as in the plugins' logs.
      formatters: { level: (level) => ({ level }) },
    },
    { write: writeLog },
  );
  const path = options.socket ?? env.WAYMARK_SOCKET ?? DEFAULT_SOCKET;
  // From the start: as process 1 of a container, it would not hear of a signal that it does not ask for.
  const told = new Promise<unknown>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
  await warmUp(path, log);
  const agent = new Agent({
    plugins: PLUGINS,
    socket: path,
    descriptor: passedDescriptor(env, pid),
    listen: options.listen === undefined ? undefined : parseAddress(options.listen),
    limits: limitsOf(options),
    log,
    // WATCHDOG=1 says more than that the process exists: a shim would have been answered.
    found: () => notifyManager(env, 'WATCHDOG=1'),
  });
  await agent.start();
  notifyManager(env, 'READY=1');
  await Promise.race([told, agent.lost]);
  notifyManager(env, 'STOPPING=1');
  await agent.stop();
}

function limitsOf(options: AgentCommandOptions): AgentLimits {
  return {
    running: options.maxRunning,
    waiting: options.maxWaiting,
    waitMs: options.queueSeconds * 1000,
    configBytes: options.maxConfigKib * 1024,
    allConfigsBytes: options.maxConfigsKib * 1024,
    dumpBytes: options.maxDumpKib * 1024,
    annotationSeconds: options.annotationSeconds,
  };
}

// A line that nobody takes, for a disk is full or a pipe, is lost: calls are served all the same.
function writeLog(line: string): void {
  try {
    writeSync(2, line);
  } catch {}
}

// An agent that starts cold is slower at its first calls, and that is all.
async function warmUp(socket: string, log: Logger): Promise<void> {
  try {
    ensureFolder(dirname(socket));
    removeLeftovers(socket);
    for (let round = 0; round < WARM_UP_ROUNDS; round++) await rehearse(PLUGINS, rehearsalFolder(socket));
  } catch (error) {
    log.warn({ err: error }, 'could not warm up');
  }
}
