import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { type Logger, pino } from 'pino';
import { compile } from 'zod/mini';
import { Agent } from '../agent/agent.ts';
import { IdleMemory } from '../agent/idle-memory.ts';
import { rehearsalFolder, removeLeftovers } from '../agent/leftovers.ts';
import type { AgentLimits } from '../agent/limits.ts';
import type { AgentPart } from '../agent/part.ts';
import { passedDescriptor, pathOfSocket } from '../agent/socket-file.ts';
import { socketPath } from '../agent/socket-path.ts';
import { Survey } from '../agent/survey.ts';
import { AddressError } from '../lib/address/address.ts';
import { formatPrefix, hasHostBits, networkOf, type Prefix, parsePrefix } from '../lib/address/prefix.ts';
import type { InterfaceNames } from '../lib/attachments/steps.ts';
import { DEFAULT_DATA_DIR } from '../lib/cni/config.ts';
import type { Variables } from '../lib/cni/request.ts';
import { compileSchemas } from '../lib/cni/schema.ts';
import { ensureFolder, removeFile, replaceFile } from '../lib/files/files.ts';
import { parseAddress } from '../lib/http/address.ts';
import type { InstallMode } from '../lib/install/plan.ts';
import { unmapCode } from '../lib/native/memory.ts';
import { notifyManager } from '../lib/native/service-manager.ts';
import { PROTECTED_FILE } from '../lib/plugin/protection.ts';
import { VERSION } from '../lib/version.ts';
import { PLUGIN_NAMES, PLUGINS } from '../plugins/index.ts';
import { Installs } from './agent-installs.ts';
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
  protect?: string[];
  node?: string;
  kubeconfig?: string;
  criSocket?: string;
  cniBinDir: string;
  stateDir: string;
  namespaceIsolation?: boolean;
  globalNamespaces: string;
  allowTypes?: string;
  interfaceNames: InterfaceNames;
  install?: InstallMode;
  installDir: string;
  netDir: string;
  nodeNetDir?: string;
};

/** After so many calls the compiler has optimised what it will. */
const WARM_UP_ROUNDS = 20;

/** Runs the agent until SIGTERM or SIGINT; `write` gets its log. Throws what keeps it from listening. */
export async function runAgent(
  options: AgentCommandOptions,
  env: Variables,
  pid: number,
  write: (text: string) => void,
): Promise<void> {
  const log = pino(
    {
      level: options.logLevel,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      // By its name, as in the plugins' logs.
      formatters: { level: (level) => ({ level }) },
    },
    { write: (line: string) => writeOrLose(write, line) },
  );
  const path = socketPath(options.socket, env);
  const limits = limitsOf(options);
  // From the start: as process 1 of a container, it would not hear of a signal that it does not ask for.
  const stopped = new Promise<unknown>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
  log.info({ version: VERSION, pid }, 'starting');
  compileSchemas(compile);
  // The executable does without, as a single call does not last long enough.
  setFlagsFromString('--sparkplug');
  await warmUp(path, log);
  writeProtected(path, limits.protectedPrefixes);
  const descriptor = passedDescriptor(env, pid);
  const parts = await partsOf(options, limits, env, log);
  const agent = new Agent({
    // Plugins that run others need a part that can; else their shims go to the executable.
    plugins: [...PLUGINS.filter(({ runsOthers }) => !runsOthers), ...parts.flatMap((part) => part.plugins ?? [])],
    socket: (descriptor === undefined ? undefined : pathOfSocket(descriptor)) ?? path,
    descriptor,
    listen: options.listen === undefined ? undefined : parseAddress(options.listen),
    limits,
    log,
    parts: [survey(log, parts), new IdleMemory({ everyMs: IDLE_MS }), ...installs(options, log), ...parts],
    // WATCHDOG=1 says more than that the process exists: a shim would have been answered.
    found: () => notifyManager(env, 'WATCHDOG=1'),
  });
  await agent.start();
  notifyManager(env, 'READY=1');
  try {
    await Promise.race([stopped, agent.lost]);
  } finally {
    // Also when it is lost: its ports and its parts would keep a process alive that nobody finds.
    notifyManager(env, 'STOPPING=1');
    await agent.stop();
  }
}

/** After so long without calls, an agent is as small as it was. */
const IDLE_MS = 30_000;

/** Somebody who watches the metrics knows within two of these. */
const SURVEY_MS = 300_000;

function survey(log: Logger, parts: readonly AgentPart[]): Survey {
  const drifts: AgentPart['drifts'] = (...what) => {
    for (const part of parts) part.drifts?.(...what);
  };
  const found: AgentPart['attached'] = (...what) => {
    for (const part of parts) part.attached?.(...what);
  };
  return new Survey({ dataDir: DEFAULT_DATA_DIR, plugins: PLUGIN_NAMES, log, everyMs: SURVEY_MS, found, drifts });
}

function installs({ install, installDir, netDir, nodeNetDir }: AgentCommandOptions, log: Logger): AgentPart[] {
  if (install === undefined) return [];
  return [new Installs({ binDir: installDir, mode: install, netList: [], netDir, nodeNetDir }, log)];
}

function protectedPrefix(text: string): Prefix {
  try {
    const prefix = parsePrefix(text);
    if (hasHostBits(prefix))
      throw new AddressError(text, `has host bits; the network is ${formatPrefix(networkOf(prefix))}`);
    return prefix;
  } catch (error) {
    throw error instanceof AddressError ? new Error(`--protect: ${error.message}`) : error;
  }
}

// For executables, which serve the calls that the agent hands back or does not get.
function writeProtected(socket: string, prefixes: readonly Prefix[]): void {
  const file = join(dirname(socket), PROTECTED_FILE);
  ensureFolder(dirname(file));
  if (prefixes.length > 0) replaceFile(file, `${JSON.stringify(prefixes.map(formatPrefix))}\n`);
  else removeFile(file);
}

// Loaded only where the agent follows pods.
async function partsOf(
  options: AgentCommandOptions,
  limits: AgentLimits,
  env: Variables,
  log: Logger,
): Promise<AgentPart[]> {
  const node = options.node ?? env.NODE_NAME;
  if (node === undefined || node === '') return [];
  const { hotPlug } = await import('../agent/hot-plug.ts');
  const part = await hotPlug({
    node,
    namespace: env.POD_NAMESPACE || undefined,
    kubeconfig: options.kubeconfig,
    criSocket: options.criSocket,
    binDirs: options.cniBinDir.split(':'),
    stateDir: options.stateDir,
    globalNamespaces: options.namespaceIsolation ? commaSeparated(options.globalNamespaces) : undefined,
    allowedTypes: options.allowTypes === undefined ? undefined : commaSeparated(options.allowTypes),
    interfaceNames: options.interfaceNames,
    limits,
    log,
    env,
  });
  if (part === undefined)
    log.warn({ node }, 'pods are not followed: there is neither --kubeconfig nor an account of a pod');
  return part === undefined ? [] : [part];
}

function commaSeparated(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
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
    protectedPrefixes: (options.protect ?? []).map(protectedPrefix),
  };
}

// A line that cannot be written, on a full disk or into a closed pipe, is lost; calls are served all the same.
function writeOrLose(write: (text: string) => void, line: string): void {
  try {
    write(line);
  } catch {}
}

// An agent that starts cold is slower at its first calls, and that is all.
async function warmUp(socket: string, log: Logger): Promise<void> {
  try {
    ensureFolder(dirname(socket));
    removeLeftovers(socket);
    // What only the start needed; what serves calls comes back now.
    unmapCode();
    for (let round = 0; round < WARM_UP_ROUNDS; round++) await rehearse(PLUGINS, rehearsalFolder(socket));
  } catch (error) {
    log.warn({ err: error }, 'could not warm up');
  }
}
