import { readSync, writeSync } from 'node:fs';
import type { Prefix } from '../address/prefix.ts';
import { reasonOf } from '../files/reason.ts';
import type { ChangeOptions } from '../netlink/socket.ts';
import { type Namespace, NamespaceError, openNamespace } from '../netns/netns.ts';
import { CniCode, CniError } from './errors.ts';
import type { JsonObject } from './json.ts';
import { createLog, type Log } from './log.ts';
import { parseLogLevel } from './log-level.ts';
import { HERE, type Place } from './place.ts';
import {
  checkVariables,
  checkVerb,
  MAX_CONFIG_BYTES,
  parseNetworkDocument,
  type Request,
  readNetworkDocument,
  readRequest,
  type Variables,
} from './request.ts';
import { isVerb, VERBS, type Verb } from './verbs.ts';
import { type CniVersion, CURRENT_VERSION, SUPPORTED_VERSIONS } from './version.ts';

/** Everything of the world around a plugin that it touches: a process of its own, the agent, or a test. */
export type Outside = {
  readonly env: Variables;
  readonly args: readonly string[];
  readStdin(): Uint8Array;
  writeStdout(text: string): void;
  writeStderr(text: string): void;
  /** How long lists of changes are sliced, what goes on between the slices, and who counts them. */
  readonly pacing?: Pacing;
  /** Where the caller is, if it is not where we are. */
  readonly place?: Place;
  /** Called once it is known what is asked for. */
  readonly began?: (request: Request) => void;
  /** Errors that end the call without an answer, since somebody else is going to serve it: `run` throws them. */
  readonly abandons?: (error: unknown) => boolean;
  /** Called with the details of an error, whole: the answer has only as much as fits into an event. */
  readonly failed?: (details: string | undefined) => void;
};

/** How much of the process a call takes: none of it matters where the process is the call's own. */
export type Pacing = Pick<ChangeOptions, 'breathe' | 'sliceBytes'> & {
  /** Lets others run between the steps of a call that has so much to do that each takes long. */
  betweenSteps?: (() => Promise<void>) | undefined;
  /** The largest table that is read from the kernel, in bytes. */
  dumpBytes?: number;
  /** The longest wait that a pod's annotation may ask for, in seconds. */
  annotationSeconds?: number;
  /** Destinations that annotations must not lead elsewhere; read from the agent's file unless given. */
  protectedPrefixes?: readonly Prefix[];
  /** How long a call waits for another that is at work on the same attachment, in seconds. */
  lockSeconds?: number;
  /** Lets milliseconds pass, and others run meanwhile. Throws what ends the call. */
  pause?: (ms: number) => Promise<void>;
  /** Called with changes that were made, and with those that were taken back. */
  counted?: (what: 'applied' | 'undone', changes: readonly { readonly op: string }[]) => void;
};

/** What a verb's handler gets to work with. */
export type Call = {
  readonly request: Request;
  /** The variables that it came with. */
  readonly env: Variables;
  /** The pod's namespace; undefined if there is none (any more), which DEL, GC and STATUS live with. */
  readonly namespace: Namespace | undefined;
  readonly log: Log;
  /** Say what would be done, and do not do it. */
  readonly noop: boolean;
  readonly pacing: Pacing;
  readonly place: Place;
};

/** A plugin as the runner sees it. A handler returns the document for stdout, or nothing. */
export type Plugin = {
  readonly name: string;
  readonly version: string;
  /** It runs other plugins on the node, for seconds: the agent serves it only where it can do the same. */
  readonly runsOthers?: boolean;
  readonly handlers: { readonly [V in Verb]: (call: Call) => Promise<object | undefined> };
};

/** The process that we are in. */
export function processOutside(): Outside {
  return {
    env: process.env,
    args: process.argv.slice(2),
    readStdin: () => readAll(0),
    writeStdout: (text) => writeAll(1, text),
    writeStderr: (text) => {
      try {
        writeAll(2, text);
      } catch {
        // A log that nobody can read (a full disk, a reader that is gone) is no reason to fail a pod.
      }
    },
  };
}

/** Runs a plugin as a process: the call from the environment and stdin, the answer on stdout, 0 or 1 as exit code. */
export async function runProcess(plugin: Plugin): Promise<void> {
  const outside = processOutside();
  const crash = (error: unknown) => {
    process.exit(answerError(outside, toCniError(error), CURRENT_VERSION));
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  // Everything is written by now; ending here saves taking the heap apart.
  process.exit(await run(plugin, outside));
}

/**
 * Answers one call: exactly one JSON document on stdout, or nothing. Returns the exit code. Throws only what `outside`
 * abandons the call for.
 */
export async function run(plugin: Plugin, outside: Outside): Promise<number> {
  let version: CniVersion = CURRENT_VERSION;
  try {
    const command = outside.env.CNI_COMMAND ?? '';
    if (command === '') return about(plugin, outside);
    if (command === 'VERSION') return answer(outside, versionDocument());
    if (!isVerb(command)) throw new CniError(CniCode.invalidEnvironment, `unknown CNI_COMMAND "${command}"`);

    checkVariables(command, outside.env);
    const read = parseNetworkDocument(readStdin(outside));
    version = read.version;
    checkVerb(command, version);
    const request = readRequest(command, outside.env, read);
    outside.began?.(request);
    return answer(outside, await handle(plugin, request, outside));
  } catch (error) {
    if (outside.abandons?.(error)) throw error;
    return answerError(outside, toCniError(error), version);
  }
}

/** What is around a call that is made within the process. */
export type Around = Pick<Outside, 'env' | 'args' | 'writeStderr' | 'pacing' | 'place'>;

/**
 * The same for a config that is an object already, and an answer that need not be a text: of 10,000 routes, making and reading
 * texts takes longer than most of what is done to them. Throws CniError.
 */
export async function ask(
  plugin: Plugin,
  verb: Verb,
  document: JsonObject,
  around: Around,
): Promise<object | undefined> {
  try {
    checkVariables(verb, around.env);
    return await handle(plugin, readRequest(verb, around.env, readNetworkDocument(document)), around);
  } catch (error) {
    throw toCniError(error);
  }
}

async function handle(
  plugin: Plugin,
  request: Request,
  outside: Around & Pick<Outside, 'abandons'>,
): Promise<object | undefined> {
  const { pacing = {}, place = HERE } = outside;
  const log = logOf(plugin, request, outside, place);
  let namespace: Namespace | undefined;
  try {
    namespace = openPodNamespace(request, place);
    const noop = outside.args.includes('--noop');
    const call: Call = { request, env: outside.env, namespace, log, noop, pacing, place };
    return await plugin.handlers[request.verb](call);
  } catch (error) {
    if (outside.abandons?.(error)) throw error;
    const { code, message, details } = toCniError(error);
    log.error(message, { code, details });
    throw error;
  } finally {
    namespace?.close();
  }
}

/**
 * The pod's namespace, where the verb has one. Throws CniError 3 if it does not exist, 4 if it is not a namespace, 8 if it is the
 * host's own.
 */
export function openPodNamespace(
  request: Pick<Request, 'netns' | 'verb' | 'allowOwnNamespace'>,
  place: Place = HERE,
): Namespace | undefined {
  const { netns, verb, allowOwnNamespace } = request;
  if (netns === '' || !VERBS[verb].ofPod) return undefined;
  const namespace = openIfThere(request, place);
  if (namespace === undefined || allowOwnNamespace) return namespace;
  try {
    if (!place.isOwn(namespace)) return namespace;
    throw new CniError(CniCode.invalidNamespace, `CNI_NETNS="${netns}" is the host's own network namespace`);
  } catch (error) {
    namespace.close();
    throw error;
  }
}

function openIfThere({ netns, verb }: Pick<Request, 'netns' | 'verb'>, { pathOf }: Place): Namespace | undefined {
  try {
    return openNamespace(pathOf(netns));
  } catch (error) {
    const problem = error instanceof NamespaceError ? error.problem : 'cannot be opened';
    // "Plugins should generally complete a DEL action without error even if some resources are missing."
    if (!VERBS[verb].needsNamespace && problem !== 'cannot be opened') return undefined;
    const code = problem === 'does not exist' ? CniCode.unknownContainer : CniCode.invalidEnvironment;
    const failure = error instanceof NamespaceError ? error.cause : error;
    const reason = problem === 'cannot be opened' ? `: ${reasonOf(failure)}` : '';
    throw new CniError(code, `CNI_NETNS="${netns}" ${problem}${reason}`, { cause: error });
  }
}

function logOf(plugin: Plugin, request: Request, outside: Around, place: Place): Log {
  const { document, verb, containerID, ifname, network } = request;
  const level = parseLogLevel(document.logLevel) ?? parseLogLevel(outside.env._CNI_LOGGING_LEVEL) ?? 'info';
  const file = asPath(document.logFile) ?? asPath(outside.env._CNI_LOGGING_FILE);
  const target = { level, file, stderr: outside.writeStderr, place };
  return createLog(target, { plugin: plugin.name, verb, containerID, ifname, network });
}

// Until the plugin reads its config, and reports what is wrong with these keys, they do not stand in the way.
function asPath(value: unknown): string | undefined {
  return typeof value === 'string' && value.startsWith('/') ? value : undefined;
}

function about(plugin: Plugin, outside: Outside): number {
  outside.writeStderr(`CNI plugin ${plugin.name} ${plugin.version}\n`);
  outside.writeStderr(`CNI protocol versions supported: ${SUPPORTED_VERSIONS.join(', ')}\n`);
  return 0;
}

function versionDocument(): object {
  return { cniVersion: CURRENT_VERSION, supportedVersions: SUPPORTED_VERSIONS };
}

function answer(outside: Outside, document: object | undefined): number {
  const { asCallerSees } = outside.place ?? HERE;
  if (document !== undefined) outside.writeStdout(asCallerSees(`${JSON.stringify(document, undefined, 4)}\n`));
  return 0;
}

function answerError(outside: Outside, error: CniError, version: CniVersion): number {
  const { asCallerSees } = outside.place ?? HERE;
  outside.failed?.(error.details && asCallerSees(error.details));
  try {
    answer(outside, error.toDocument(version));
  } catch (failure) {
    // Nobody listens on stdout, so stderr is the last place to say it; the exit code says the rest.
    outside.writeStderr(`${error.message}\ncannot answer: ${(failure as Error).message}\n`);
  }
  return 1;
}

function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new CniError(CniCode.internal, message, { cause: error });
}

function readStdin(outside: Outside): Uint8Array {
  try {
    return outside.readStdin();
  } catch (cause) {
    throw new CniError(CniCode.ioFailure, `stdin cannot be read: ${(cause as Error).message}`, { cause });
  }
}

// One byte beyond the limit is enough to know.
function readAll(fd: number): Uint8Array {
  const chunks: Buffer[] = [];
  for (let total = 0; total <= MAX_CONFIG_BYTES; ) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const bytes = retryWhileBusy(() => readSync(fd, chunk));
    if (bytes === 0) break;
    chunks.push(chunk.subarray(0, bytes));
    total += bytes;
  }
  return Buffer.concat(chunks);
}

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let offset = 0; offset < bytes.length; ) {
    offset += retryWhileBusy(() => writeSync(fd, bytes, offset));
  }
}

const CHUNK_BYTES = 65_536;
const BUSY_PAUSE_MS = 5;

// A pipe that somebody made non-blocking says EAGAIN where another would wait.
function retryWhileBusy(operation: () => number): number {
  for (;;) {
    try {
      return operation();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY_PAUSE_MS);
    }
  }
}
