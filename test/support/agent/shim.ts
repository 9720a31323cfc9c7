import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { run, scratchFolder, works } from '../namespaces/namespace.ts';
import type { Env } from '../plugins/call.ts';

// native/shim.c, with stand-ins for what it talks to, the agent and the single-file executable, written from
// docs/agent-protocol.md alone.

const ROOT = join(import.meta.dirname, '../../..');
const SOURCE = join(ROOT, 'native/shim.c');

/** Why the tests of the shim cannot run here, or false. */
export const noCompiler: string | false = works('cc', ['--version']) ? false : 'needs a C compiler';

/** A way to compile the shim. */
export type Variant = {
  readonly title: string;
  /** Compiles it into `folder`, under the plugins' names. */
  compile(folder: string, options?: readonly string[]): void;
};

/** As scripts/build.sh compiles it. */
export const SHIPPED: Variant = {
  title: 'as it is shipped',
  compile: (folder, options = []) => {
    run('bash', [join(ROOT, 'scripts/build-shim.sh'), folder, ...options]);
  },
};

/** The build for machines without musl, and the build that detects memory errors. */
const OTHERS: readonly Variant[] = [
  {
    title: 'with the system’s libc',
    compile: (folder, options = []) => {
      run('env', ['CC=cc', 'bash', join(ROOT, 'scripts/build-shim.sh'), folder, ...options]);
    },
  },
  {
    title: 'under the sanitizers',
    compile: (folder, options = []) => {
      const sanitizers = ['-g', '-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
      mkdirSync(folder, { recursive: true });
      run('cc', ['-std=c11', ...sanitizers, ...options, SOURCE, '-o', join(folder, 'static-route')]);
    },
  },
];

export const VARIANTS: readonly Variant[] = [SHIPPED, ...OTHERS];

/** A node with the shim on it, and no agent yet. None of its paths is one that the machine's own would have. */
export type ShimNode = {
  readonly folder: string;
  /** The shim, in a folder of its own. */
  readonly shim: string;
  /** The stand-in for the single-file executable: WAYMARK_STANDALONE of `env`. */
  readonly standalone: string;
  /** WAYMARK_SOCKET of `env`. */
  readonly socket: string;
  /** The variables of an ADD. */
  readonly env: Env;
};

/** Compiles the shim, and the stand-in for what it falls back to. */
export function shimNode(t: Test, variant: Variant = SHIPPED, options: readonly string[] = []): ShimNode {
  const folder = scratchFolder(t);
  const nowhere = ['-DDEFAULT_SOCKET="/nowhere/agent.sock"', '-DDEFAULT_STANDALONE="/nowhere/waymark"'];
  variant.compile(join(folder, 'bin'), [...nowhere, ...options]);
  const standalone = join(folder, 'standalone');
  run('cc', [join(ROOT, 'test/native/standalone.c'), '-o', standalone]);
  const socket = join(folder, 'agent.sock');
  const env = {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'container-1',
    CNI_NETNS: '/run/netns/pod',
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/opt/cni/bin',
    WAYMARK_SOCKET: socket,
    WAYMARK_STANDALONE: standalone,
  };
  return { folder, shim: join(folder, 'bin/static-route'), standalone, socket, env };
}

/** The shim's output. */
export type ShimAnswer = { code: number | null; stdout: Buffer; stderr: string; milliseconds: number };

export type ShimCall = {
  env?: Env;
  args?: string[];
  argv0?: string;
  /** Undefined: stdin stays open, and nothing is ever written to it. */
  stdin?: string | Buffer | undefined;
  cwd?: string;
  uid?: number;
  /** Run by bash, with this after the command, for example `<&-`. */
  redirection?: string;
  /** Descriptors to pass on from 3 upward, for `redirection`. */
  passed?: number[];
  /** A program that runs it, with its arguments, such as strace. */
  under?: string[];
};

/** Calls the shim as a runtime does. */
export function callShim(shim: string, call: ShimCall): Promise<ShimAnswer> {
  const { env = {}, args = [], argv0, cwd, uid, redirection, passed = [], under = [] } = call;
  const script = `exec "$0" "$@" ${redirection ?? ''}`;
  const [program = '', ...rest] = [
    ...(redirection === undefined ? [] : ['bash', '--norc', '-c', script]),
    ...under,
    shim,
    ...args,
  ];
  const began = performance.now();
  const child = spawn(program, rest, {
    env: env as NodeJS.ProcessEnv,
    stdio: ['pipe', 'pipe', 'pipe', ...passed],
    ...(argv0 !== undefined && { argv0 }),
    ...(cwd !== undefined && { cwd }),
    ...(uid !== undefined && { uid }),
  });
  return new Promise((resolve, reject) => {
    const stdout: Buffer[] = [];
    let stderr = '';
    child.stdout?.on('data', (chunk) => stdout.push(chunk));
    child.stderr?.on('data', (chunk) => {
      stderr += chunk;
    });
    // A program that does not read all of it may end first.
    child.stdin?.on('error', () => {});
    child.on('error', reject);
    child.on('close', (code) => {
      resolve({ code, stdout: Buffer.concat(stdout), stderr, milliseconds: performance.now() - began });
    });
    if (call.stdin !== undefined) child.stdin?.end(call.stdin);
  });
}

/** A request as read by the stand-in for the agent. */
export type AgentRequest = { pid: number; name: string; environment: string[]; stdin: Buffer };

/** Stands in for the agent: reads whole requests and gives the given answers. Returns the requests that it got. */
export async function standInAgent(
  t: Test,
  socket: string,
  answer: (connection: Socket, request: AgentRequest) => void,
): Promise<AgentRequest[]> {
  const requests: AgentRequest[] = [];
  const connections = new Set<Socket>();
  const server = createServer((connection) => {
    connections.add(connection);
    const chunks: Buffer[] = [];
    let missing = HEADER_BYTES;
    connection.on('error', () => {});
    connection.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      missing -= chunk.length;
      if (missing > 0) return;
      const bytes = Buffer.concat(chunks);
      missing = wholeLength(bytes) - bytes.length;
      if (missing > 0) return;
      const request = parseRequest(bytes);
      requests.push(request);
      answer(connection, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.teardown(() => {
    for (const connection of connections) connection.destroy();
    server.close();
  });
  return requests;
}

const HEADER_BYTES = 16;

function wholeLength(bytes: Buffer): number {
  return HEADER_BYTES + bytes.readUInt32LE(8) + bytes.readUInt32LE(12);
}

function parseRequest(bytes: Buffer): AgentRequest {
  if (bytes.toString('latin1', 0, 4) !== 'WMK\x01')
    throw new Error(`not a request: ${bytes.subarray(0, 4).toString('hex')}`);
  if (bytes.length !== wholeLength(bytes)) throw new Error('more bytes than one request');
  const environment = bytes.toString('utf8', HEADER_BYTES, HEADER_BYTES + bytes.readUInt32LE(8));
  if (!environment.endsWith('\0')) throw new Error('the environment is not terminated');
  const [name = '', ...entries] = environment.slice(0, -1).split('\0');
  return {
    pid: bytes.readUInt32LE(4),
    name,
    environment: entries,
    stdin: bytes.subarray(HEADER_BYTES + bytes.readUInt32LE(8)),
  };
}

/** The header of an answer, valid or not. */
export function answerHeader(kind: string, code = 0, output = 0, log = 0, magic = 'WMK\x01'): Buffer {
  const header = Buffer.alloc(20);
  header.write(magic + kind, 'latin1');
  header.writeUInt32LE(code, 8);
  header.writeUInt32LE(output, 12);
  header.writeUInt32LE(log, 16);
  return header;
}

export const ACCEPTED: Buffer = answerHeader('A');

/** A whole result. */
export function result(code: number, stdout: string | Buffer, stderr: string | Buffer = ''): Buffer {
  const [output, log] = [Buffer.from(stdout), Buffer.from(stderr)];
  return Buffer.concat([answerHeader('R', code, output.length, log.length), output, log]);
}

/** How the stand-in for the single-file executable (test/native/standalone.c) was called; undefined if it was not. */
export type StandaloneCall = { argv: string[]; env: string[]; descriptors: string[]; sigpipe: string; stdin: Buffer };

export function standaloneCall({ code, stdout }: ShimAnswer): StandaloneCall | undefined {
  if (code !== 42) return undefined;
  const found: { [kind: string]: string[] } = {};
  let at = 0;
  while (stdout[at] !== 's'.charCodeAt(0)) {
    const end = stdout.indexOf(0, at);
    if (end < 0) throw new Error(`not the stand-in's output: ${stdout}`);
    const kind = String.fromCharCode(stdout[at] ?? 0);
    found[kind] = [...(found[kind] ?? []), stdout.toString('utf8', at + 1, end)];
    at = end + 1;
  }
  const { a: argv = [], e: entries = [], f: descriptors = [], p: [sigpipe = ''] = [] } = found;
  // tap sets some variables in every process.
  const env = entries.filter((entry) => !/^(NODE_OPTIONS|_TAPJS_\w+)=/.test(entry));
  return { argv, env, descriptors, sigpipe, stdin: stdout.subarray(at + 1) };
}
