import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { noNamespaces, scratchFolder, scratchPod } from './support/namespaces/namespace.ts';
import { type Answer, bundleOf, type Env, execute, processOf, variables } from './support/plugins/call.ts';
import { PLUGINS, type PluginUnderTest } from './support/plugins/plugins.ts';
import { previousResult } from './support/plugins/previous-result.ts';

// What test/conformance/ shows of the runner, seen from outside: stdin, stdout and exit code of real processes.

/** A process that is not through by then waits for something. */
const PATIENCE_MS = 120_000;

for (const entry of PLUGINS) {
  const noBundle = existsSync(bundleOf(entry.name)) ? false : 'needs scripts/build.sh';
  t.test(`${entry.name}, as a process`, { skip: noNamespaces || noBundle }, async (t) => {
    testVerbs(t, entry);
    testStdin(t, entry);
    testEndlessStdin(t, entry);
    testStdout(t, entry);
  });
}

function testVerbs(t: Test, entry: PluginUnderTest): void {
  t.test('each verb exits with 0 and prints its document or nothing', async (t) => {
    const pod = scratchPod(t);
    const config = configOf(t, entry, { prevResult: previousResult('1.1.0', pod.path) });
    const ask = (verb: string) => execute(entry.name, variables(verb, pod.path), config);
    const before = pod.routes();
    t.match(ask('STATUS'), { code: 0, stdout: '' });
    t.match(ask('VERSION'), { code: 0, document: { cniVersion: '1.1.0' } });
    t.match(ask('ADD'), { code: 0, document: previousResult('1.1.0', pod.path) });
    t.match(ask('CHECK'), { code: 0, stdout: '' });
    t.match(ask('DEL'), { code: 0, stdout: '' });
    t.match(ask('DEL'), { code: 0, stdout: '' });
    t.match(ask('GC'), { code: 0, stdout: '' });
    t.equal(pod.routes(), before);
  });

  t.test('an error is one document on stdout, exit code 1, and a line of the log on stderr', async (t) => {
    const answer = execute(entry.name, variables('ADD', '/nowhere'), configOf(t, entry));
    t.equal(answer.code, 1);
    t.match(answer.document, { cniVersion: '1.1.0', code: 3, msg: '/nowhere' });
    t.match(answer.stderr, /^\{"level":"error",.*"plugin":"[a-z-]+",.*\/nowhere.*\n$/);
    t.notMatch(answer.stdout + answer.stderr, /\n\s+at /);
  });

  t.test('no CNI_COMMAND: a line about the plugin on stderr, exit code 0, nothing on stdout', async (t) => {
    t.match(execute(entry.name, {}, ''), { code: 0, stdout: '', stderr: `CNI plugin ${entry.name} ` });
  });

  t.test('the log goes to the file that is asked for, not to stderr, and never to stdout', async (t) => {
    const logFile = join(scratchFolder(t), 'waymark.log');
    const env = variables('ADD', '/nowhere', { _CNI_LOGGING_FILE: logFile, _CNI_LOGGING_LEVEL: 'trace' });
    const answer = execute(entry.name, env, configOf(t, entry));
    t.equal(answer.stderr, '');
    t.match(answer.document, { code: 3 });
    t.ok(existsSync(logFile));
  });
}

function testStdin(t: Test, entry: PluginUnderTest): void {
  const table: [string, string, number[]][] = [
    ['is empty', '</dev/null', [6]],
    // Node.js puts /dev/null in the place of what is closed.
    ['is closed', '<&-', [5, 6]],
    ['is a folder', '</', [5]],
    ['is random bytes', '< <(head -c 100000 /dev/urandom)', [6]],
    ['is larger than any config', '< <(head -c 100000000 /dev/zero)', [6]],
    ['never ends', '</dev/zero', [6]],
  ];
  for (const [what, redirection, codes] of table) {
    t.test(`stdin that ${what} is answered with an error, not with a crash or silence`, async (t) => {
      const answer = await shell(entry, variables('ADD', '/nowhere'), redirection);
      t.equal(answer.code, 1);
      t.ok(codes.includes(answer.document?.code ?? 0), answer.stdout);
      t.notMatch(answer.stdout + answer.stderr, /\n\s+at /);
    });
  }

  t.test('a config that comes in pieces, with pauses, is read to its end', async (t) => {
    const pod = scratchPod(t);
    const config = JSON.stringify(configOf(t, entry, { prevResult: previousResult('1.1.0', pod.path) }));
    const answer = await talk(entry, variables('ADD', pod.path), async (stdin) => {
      for (const piece of config.match(/.{1,200}/gs) ?? []) {
        stdin.write(piece);
        await pause(30);
      }
      stdin.end();
    });
    t.match(answer, { code: 0, document: previousResult('1.1.0', pod.path) });
  });
}

function testEndlessStdin(t: Test, entry: PluginUnderTest): void {
  const table: [string, Env, number][] = [
    ['VERSION', { CNI_COMMAND: 'VERSION' }, 0],
    ['no CNI_COMMAND', {}, 0],
    ['an unknown command', { CNI_COMMAND: 'NONE' }, 1],
    ['missing variables', { CNI_COMMAND: 'ADD' }, 1],
  ];
  for (const [what, env, code] of table) {
    t.test(`${what}: the answer does not wait for stdin`, async (t) => {
      // Held open, and nothing is ever written.
      const answer = await talk(entry, env, async () => {});
      t.equal(answer.code, code, answer.stdout);
    });
  }
}

function testStdout(t: Test, entry: PluginUnderTest): void {
  t.test('a result larger than a pipe is not cut short', async (t) => {
    const pod = scratchPod(t);
    const routes = Array.from({ length: 5_000 }, (_, i) => ({ dst: `10.${100 + (i >> 8)}.${i & 255}.0/24` }));
    const prevResult = previousResult('1.1.0', pod.path, routes);
    const answer = execute(entry.name, variables('ADD', pod.path), configOf(t, entry, { prevResult }));
    t.ok(answer.stdout.length > 200_000, `${answer.stdout.length}`);
    t.strictSame(answer.document, prevResult);
  });

  t.test('an answer that cannot be written is a failure with a line on stderr, not a success', async (t) => {
    const answer = await shell(entry, { CNI_COMMAND: 'VERSION' }, '>/dev/full');
    t.equal(answer.code, 1);
    t.match(answer.stderr, /cannot answer/);
    t.notMatch(answer.stderr, /\n\s+at /);
  });
}

/** A whole config with which the plugin has nothing to do. */
function configOf(t: Test, { name, idle }: PluginUnderTest, more: object = {}): object {
  const dataDir = join(scratchFolder(t), 'data');
  return { cniVersion: '1.1.0', name: 'net', type: name, dataDir, ...idle, ...more };
}

/** Runs the bundle by a shell, with its standard streams redirected. */
function shell(entry: PluginUnderTest, env: Env, redirection: string): Promise<Answer> {
  const { program, args, options } = processOf(entry.name, withPath(env));
  const command = `exec "$0" "$@" ${redirection}`;
  return answerOf(spawn('bash', ['-c', command, program, ...args], { ...options, timeout: PATIENCE_MS }));
}

/** Runs the bundle and lets `say` talk to its stdin, which stays open unless that ends it. */
async function talk(
  entry: PluginUnderTest,
  env: Env,
  say: (stdin: NodeJS.WritableStream) => Promise<void>,
): Promise<Answer> {
  const { program, args, options } = processOf(entry.name, withPath(env));
  const child = spawn(program, args, { ...options, timeout: PATIENCE_MS });
  const answer = answerOf(child);
  await say(child.stdin);
  return answer;
}

function withPath(env: Env): Env {
  return { PATH: process.env.PATH, ...env };
}

function answerOf(child: ReturnType<typeof spawn>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      stderr += chunk;
    });
    // The plugin may be through before it has read what it is sent.
    child.stdin?.on('error', () => {});
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (signal !== null) reject(new Error(`ended by ${signal}: ${stderr}`));
      else resolve({ code: code ?? -1, stdout, stderr, document: stdout === '' ? undefined : JSON.parse(stdout) });
    });
  });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
