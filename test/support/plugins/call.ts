import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type Plugin, run } from '../../../lib/cni/runner.ts';

/**
 * A plugin's answer. `document` is stdout as JSON, with the details as the log has them, whole; undefined if the plugin
 * printed nothing.
 */
export type Answer = { code: number; stdout: string; stderr: string; document: Document | undefined };

/** A result or an error; the tests look at what they need. */
export type Document = {
  cniVersion: string;
  code?: number;
  msg?: string;
  details?: string;
  changes?: string[];
  interfaces?: { name: string; mac?: string; sandbox?: string }[];
  ips?: { address: string; gateway?: string; interface?: number }[];
  routes?: { dst: string; gw?: string; [key: string]: unknown }[];
  [key: string]: unknown;
};

export type Env = { [name: string]: string | undefined };

/** For processes that run sources: where Node.js keeps what it has compiled, and coverage, if a script has said so. */
export const COMPILED: Env = {
  NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
  NODE_V8_COVERAGE: process.env.NODE_V8_COVERAGE,
};

/** The variables of an ordinary call. */
export function variables(command: string, netns: string, more: Env = {}): Env {
  return {
    CNI_COMMAND: command,
    CNI_CONTAINERID: 'container-1',
    CNI_NETNS: netns,
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/opt/cni/bin',
    ...more,
  };
}

/**
 * Who runs the plugins in place of this process, and of Node.js for the bundles, if a test says so for the tests that it
 * starts (test/arm64-conformance.test.ts): a program with its arguments, the folder of the executables, variables, and the plugins.
 * `isShim`: what runs calls that the agent does not get is not there.
 */
export type Foreign = {
  readonly under: readonly string[];
  readonly folder: string;
  readonly env: Env;
  readonly plugins: readonly string[];
  readonly isShim?: true;
};

export const FOREIGN: Foreign | undefined = JSON.parse(process.env.WAYMARK_TEST_FOREIGN ?? 'null') ?? undefined;

/** Calls a plugin in this process, with the runner of its executable. */
export async function call(plugin: Plugin, env: Env, stdin: unknown, args: string[] = []): Promise<Answer> {
  if (FOREIGN !== undefined) return execute(plugin.name, env, stdin, args);
  return callHere(plugin, env, () => bytesOf(stdin), args);
}

/** The same for a call that must not read stdin: it would fail, or wait for the end of the test. */
export async function callWithoutStdin(plugin: Plugin, env: Env): Promise<Answer> {
  if (FOREIGN === undefined) {
    return callHere(plugin, env, () => {
      throw new Error('stdin must not be read');
    });
  }
  const { program, args, options } = processOf(plugin.name, env);
  return outputOf(spawn(program, args, options));
}

async function callHere(plugin: Plugin, env: Env, readStdin: () => Uint8Array, args: string[] = []): Promise<Answer> {
  let stdout = '';
  let stderr = '';
  const code = await run(plugin, {
    env,
    args,
    readStdin,
    writeStdout: (text) => {
      stdout += text;
    },
    writeStderr: (text) => {
      stderr += text;
    },
  });
  return answerOf(code, stdout, stderr);
}

/** What runs a plugin in a process of its own, with these variables: by Node.js its bundle. */
export function processOf(
  name: string,
  env: Env,
): { program: string; args: string[]; options: { env: NodeJS.ProcessEnv } } {
  const [program = '', ...args] =
    FOREIGN === undefined ? [process.execPath, bundleOf(name)] : [...FOREIGN.under, join(FOREIGN.folder, name)];
  return { program, args, options: { env: { ...env, ...FOREIGN?.env } as NodeJS.ProcessEnv } };
}

/** Runs a plugin's bundle in a process of its own, as a runtime does. */
export function execute(name: string, env: Env, stdin: unknown, args: string[] = []): Answer {
  const { program, args: first, options } = processOf(name, env);
  const { status, stdout, stderr, error } = spawnSync(program, [...first, ...args], {
    ...options,
    input: bytesOf(stdin),
    maxBuffer: 1 << 28,
  });
  // It may end before it has read all of its stdin.
  if (error && (error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  return answerOf(status ?? -1, String(stdout), String(stderr));
}

/**
 * Runs a plugin's source in a process of its own, with a scratch namespace in place of the node's, for plugins that inspect
 * the node; in this process that would be the machine.
 */
export function executeIn(
  node: { name: string },
  plugin: string,
  env: Env,
  stdin: unknown,
  args: string[] = [],
): Promise<Answer> {
  const main = join(import.meta.dirname, '../../../plugins', plugin, 'process.ts');
  const child = spawn('ip', ['netns', 'exec', node.name, process.execPath, main, ...args], {
    env: { PATH: process.env.PATH, ...COMPILED, ...env },
  });
  child.stdin.end(bytesOf(stdin));
  return outputOf(child);
}

function outputOf(child: ReturnType<typeof spawn>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
    child.stdout?.on('data', (chunk) => stdout.push(chunk));
    child.stderr?.on('data', (chunk) => stderr.push(chunk));
    // The plugin may end before it has read all of its stdin.
    child.stdin?.on('error', () => {});
    child.on('error', reject);
    child.on('close', (code) =>
      resolve(answerOf(code ?? -1, String(Buffer.concat(stdout)), String(Buffer.concat(stderr)))),
    );
  });
}

/** The file that Node.js runs as this executable. */
export function bundleOf(name: string): string {
  return join(import.meta.dirname, '../../../dist/bundle', name, 'index.js');
}

/** The folder with this executable in it, for CNI_PATH. */
export function bundleFolder(name: string): string {
  return join(import.meta.dirname, '../../../dist/bundle', name);
}

/** The answer of a call that must succeed. Otherwise throws with its output. */
export function success(answer: Answer): Document {
  if (answer.code !== 0) throw new Error(`exit code ${answer.code}\n${answer.stdout}\n${answer.stderr}`);
  return answer.document ?? ({} as Document);
}

function answerOf(code: number, stdout: string, stderr: string): Answer {
  const details = stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line).details)
    .findLast((text) => text !== undefined);
  const document = stdout === '' ? undefined : { ...JSON.parse(stdout), ...(details !== undefined && { details }) };
  return { code, stdout, stderr, document };
}

// Sends text and bytes as they are, anything else as JSON.
function bytesOf(stdin: unknown): Uint8Array {
  if (stdin instanceof Uint8Array) return stdin;
  return Buffer.from(typeof stdin === 'string' ? stdin : JSON.stringify(stdin));
}
