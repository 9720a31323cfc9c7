import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import type { Command, CommanderError } from 'commander';
import t, { type Test } from 'tap';
import { EXPLAIN_PAGE } from '../../agent/explain-page.ts';
import { program } from '../../cli/main.ts';
import { VERSION } from '../../lib/version.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';
import { COMPILED } from '../support/plugins/call.ts';

/** What a command line comes to: the options, and the arguments, that the command would be called with. */
async function parsed(...line: string[]): Promise<{ [option: string]: unknown }> {
  const waymark = program();
  let given: { [option: string]: unknown } = {};
  const prepare = (command: Command) => {
    command.exitOverride().configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
    if (command.commands.length === 0)
      command.action((...call: unknown[]) => {
        const names = command.registeredArguments.map((each) => each.name());
        given = { ...command.opts(), ...Object.fromEntries(names.map((name, at) => [name, call[at]])) };
      });
    for (const below of command.commands) prepare(below);
  };
  prepare(waymark);
  await waymark.parseAsync(line, { from: 'user' });
  return given;
}

const refused = (...line: string[]) =>
  parsed(...line).then(
    () => '',
    ({ message }: CommanderError) => message,
  );

t.test('what is not given is as the documentation says', async (t) => {
  t.strictSame(await parsed('agent'), {
    ...{ logLevel: 'info', maxRunning: 64, maxWaiting: 1024, queueSeconds: 30, maxConfigKib: 512, maxConfigsKib: 8192 },
    ...{ maxDumpKib: 2048, annotationSeconds: 60, cniBinDir: '/opt/cni/bin', stateDir: '/var/lib/cni/waymark' },
    ...{
      globalNamespaces: 'default',
      interfaceNames: 'numbered',
      installDir: '/opt/cni/bin',
      netDir: '/etc/cni/net.d',
    },
  });
  const folders = { binDir: '/opt/cni/bin', netDir: '/etc/cni/net.d' };
  t.strictSame(await parsed('doctor'), folders);
  t.strictSame(await parsed('report'), folders);
  t.strictSame(await parsed('install'), { ...folders, mode: 'standalone', netList: [] });
  for (const command of ['status', 'list', 'routes']) t.strictSame(await parsed(command), {}, command);
  t.strictSame(await parsed('explain', 'x'), { file: 'x' });
});

t.test('cni has a command for each verb, of a network and a namespace', async (t) => {
  const given = { network: 'net', namespace: '/n', ifname: 'net1', cacheDir: '/c' };
  for (const verb of ['add', 'check', 'del', 'gc', 'status', 'update'])
    t.strictSame(await parsed('cni', verb, 'net', '/n', '-i', 'net1', '--cache-dir', '/c'), given, verb);
  t.match(await refused('cni', 'add', 'net'), /missing required argument 'namespace'/);
  t.match(await refused('cni', 'version', 'net', '/n'), /unknown command 'version'/);
});

t.test('numbers are whole, and a call waits for its turn for a minute at most', async (t) => {
  for (const option of [
    '--max-running',
    '--max-waiting',
    '--max-config-kib',
    '--max-configs-kib',
    '--max-dump-kib',
    '--annotation-seconds',
  ]) {
    const [value] = Object.entries(await parsed('agent', option, '7')).filter(([, value]) => value === 7);
    t.ok(value, option);
    t.match(await parsed('agent', option, '9999999'), { [value?.[0] ?? '']: 9_999_999 });
    for (const wrong of ['0', '-1', '1.5', 'x', '07', '10000000'])
      t.match(await refused('agent', option, wrong), /must be a whole number, at least 1/, `${option} ${wrong}`);
  }
  t.match(await parsed('agent', '--queue-seconds', '60'), { queueSeconds: 60 });
  t.match(await refused('agent', '--queue-seconds', '61'), /must be a whole number, at most 60/);
});

t.test('words are those that are known, and some options can be repeated', async (t) => {
  t.match(await parsed('agent', '--log-level', 'WARNING', '--interface-names', 'consistent'), {
    ...{ logLevel: 'warn', interfaceNames: 'consistent' },
  });
  t.match(await refused('agent', '--log-level', 'loud'), /It must be /);
  t.match(await refused('agent', '--interface-names', 'odd'), /Allowed choices are numbered, consistent/);
  t.match(await parsed('install', '--mode', 'agent'), { mode: 'agent' });
  t.match(await refused('install', '--mode', 'odd'), /Allowed choices are standalone, agent, multi-network/);
  t.strictSame((await parsed('install', '--net-list', 'a', '--net-list', 'b')).netList, ['a', 'b']);
  t.strictSame((await parsed('agent', '--protect', 'a', '--protect', 'b')).protect, ['a', 'b']);
  t.match(await refused('nonsense'), /unknown command 'nonsense'/);
});

const PROCESS = join(import.meta.dirname, '../../cli/process.ts');

/** The command as a process of its own, with what it does not write to `stdout`. */
async function processOf(args: string[], stdout: 'pipe' | number = 'pipe') {
  const env = { PATH: process.env.PATH, ...COMPILED };
  const child = spawn(process.execPath, [PROCESS, ...args], { env, stdio: ['ignore', stdout, 'pipe'] });
  const textOf = async (stream: Readable | null) => (stream === null ? '' : Buffer.concat(await stream.toArray()));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [out, err, status] = await Promise.all([textOf(child.stdout), textOf(child.stderr), ended]);
  return { status, stdout: String(out), stderr: String(err) };
}

/** The command in this process, which takes a tenth of that: its exit code, and what it writes. */
async function waymarkOf(t: Test) {
  let written: [fd: number, bytes: Buffer][] = [];
  const writeSync = (fd: number, data: string | Buffer, at = 0) => {
    const bytes = Buffer.from(data).subarray(at);
    written.push([fd, bytes]);
    return bytes.length;
  };
  const { runProgram } = await t.mockImport<typeof import('../../cli/main.ts')>('../../cli/main.ts', {
    'node:fs': { ...fs, writeSync },
  });
  return async (...args: string[]) => {
    const { argv, exitCode } = process;
    written = [];
    process.exitCode = undefined;
    process.argv = [process.execPath, PROCESS, ...args];
    await runProgram();
    const status = process.exitCode ?? 0;
    process.argv = argv;
    process.exitCode = exitCode;
    const of = (fd: number) => Buffer.concat(written.flatMap(([to, bytes]) => (to === fd ? [bytes] : [])));
    const others = written.filter(([fd]) => fd !== 1 && fd !== 2);
    return { status, stdout: String(of(1)), stderr: String(of(2)), bytes: of(1), others };
  };
}

t.test('output is on stdout, errors are a sentence on stderr with exit code 1', async (t) => {
  t.strictSame(await processOf(['--version']), { status: 0, stdout: `${VERSION}\n`, stderr: '' });
  const full = fs.openSync('/dev/full', 'w');
  t.teardown(() => fs.closeSync(full));
  t.match(await processOf(['--version'], full), { status: 1, stderr: /^waymark: ENOSPC/ });
  t.match(await processOf(['--versio']), { status: 1, stdout: '', stderr: /^error: unknown option '--versio'/ });
  const waymark = await waymarkOf(t);
  const socket = join(scratchFolder(t), 'none.sock');
  const failing: [args: string[], message: string][] = [
    [['status', '--socket', socket], 'no agent answers at '],
    [['explain', '--pod', 'a/b', '--socket', socket], 'no agent answers at '],
    [['explain'], 'explain needs a file or --pod\n'],
    [['explain', 'x', '--pod', 'a/b'], 'explain needs a file or --pod\n'],
    [['routes', '--config', '/nonexistent'], ''],
    [['agent', '--protect', 'x'], '--protect: '],
    [['cni', 'add', 'net', '/n'], ''],
  ];
  for (const [args, message] of failing) {
    const { status, stdout, stderr, others } = await waymark(...args);
    t.strictSame([status, stdout, stderr.startsWith(`waymark: ${message}`)], [1, '', true], stderr);
    t.strictSame(others, []);
  }
});

t.test('what is known is printed for people, or as JSON', async (t) => {
  const waymark = await waymarkOf(t);
  const folder = t.testdir({
    ...{ data: {}, bin: {}, net: {} },
    good: '{"cniVersion":"1.0.0","name":"n","type":"static-route","routes":[{"dst":"10.0.0.0/8","gw":"10.1.1.1"}]}',
    bad: '{"cniVersion":"1.0.0","name":"n","type":"static-route","routes":7}',
  });
  const path = (name: string) => join(folder, name);
  t.match(await waymark('list', '--data-dir', path('data')), { status: 0, stdout: 'no attachments\n' });
  const { status, stdout } = await waymark('list', '--data-dir', path('data'), '--json');
  t.equal(status, 0);
  t.strictSame(stdout, `${JSON.stringify({ attachments: [], failures: [] }, undefined, 4)}\n`);
  const good = await waymark('explain', path('good'));
  t.match(good, { status: 0, stdout: /add route 10\.0\.0\.0\/8 via 10\.1\.1\.1/ });
  t.match(JSON.parse((await waymark('explain', path('good'), '--json')).stdout), { network: 'n' });
  t.match(await waymark('explain', path('bad')), { status: 1, stdout: /error 7/ });
  t.match(await waymark('install', '--uninstall', '--bin-dir', path('bin')), {
    ...{ status: 0, stdout: `nothing is installed in ${path('bin')}\n` },
  });

  const places = [
    '--bin-dir',
    path('bin'),
    '--net-dir',
    path('net'),
    '--data-dir',
    path('data'),
    '--socket',
    path('s'),
  ];
  t.match(await waymark('doctor', ...places), { status: 2, stdout: /^problem executables: /m });
  const diagnosis = await waymark('doctor', ...places, '--json');
  t.equal(diagnosis.status, 2);
  t.match(JSON.parse(diagnosis.stdout), { level: 'problem' });
  t.match(await waymark('report', ...places, '--out', path('report')), {
    ...{ status: 0, stdout: `${path('report')}\n`, stderr: '' },
  });
  const { status: reported, bytes } = await waymark('report', ...places, '--out', '-');
  t.equal(reported, 0);
  t.ok(gunzipSync(bytes).includes('doctor.json'), 'nothing but the archive');
});

t.test('the answer of a plugin is printed, and nothing where there is none', async (t) => {
  const folder = t.testdir({
    'a.conflist': '{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"fake"}]}',
    bin: { fake: '#!/bin/sh\ncat >/dev/null\n[ $CNI_COMMAND = CHECK ] || echo \'{"cniVersion":"1.0.0","ips":[]}\'\n' },
  });
  fs.chmodSync(join(folder, 'bin/fake'), 0o755);
  const { NETCONFPATH, CNI_PATH } = process.env;
  t.teardown(() => Object.assign(process.env, { NETCONFPATH: NETCONFPATH ?? '', CNI_PATH: CNI_PATH ?? '' }));
  Object.assign(process.env, { NETCONFPATH: folder, CNI_PATH: join(folder, 'bin') });
  const waymark = await waymarkOf(t);
  const cni = (verb: string) => waymark('cni', verb, 'net', '/n', '--cache-dir', join(folder, 'cache'));
  const added = await cni('add');
  t.strictSame(JSON.parse(added.stdout), { cniVersion: '1.0.0', ips: [] });
  t.match(await cni('check'), { status: 0, stdout: /^$/, stderr: /^$/ });
});

t.test('what the agent says is shown, and the exit code is 1 if a pod does not get what it selects', async (t) => {
  const socket = join(scratchFolder(t), 'agent.sock');
  const about = { version: '1.2.3', pid: 7, latencySeconds: {}, calls: [], journals: {}, lastFailures: [] };
  const numbers = { uptimeSeconds: 1, requests: 5, errors: 0, running: 0, waiting: 0, patient: 0, memoryBytes: 1e6 };
  const pod = { pod: 'shop/web', idle: 'it ends', attached: [], steps: [] };
  const pages: { [path: string]: object } = {
    '/status': { ...about, ...numbers },
    [`${EXPLAIN_PAGE}shop/web`]: { ...pod, refused: [] },
    [`${EXPLAIN_PAGE}shop/bad`]: { ...pod, refused: [{ reason: 'x' }] },
  };
  const server = createServer(({ url = '' }, response) => void response.end(JSON.stringify(pages[url])));
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.teardown(() => server.close());
  const waymark = await waymarkOf(t);
  const ask = (...args: string[]) => waymark(...args, '--socket', socket);
  t.match(await ask('status'), { status: 0, stdout: /^waymark agent 1\.2\.3, process 7, [^{]*\n$/ });
  t.strictSame(JSON.parse((await ask('status', '--json')).stdout), pages['/status']);
  t.match(await ask('explain', '--pod', 'shop/web'), {
    status: 0,
    stdout: 'pod shop/web\nnothing is done to it: it ends\n',
  });
  const bad = await ask('explain', '--pod', 'shop/bad', '--json');
  t.strictSame([bad.status, JSON.parse(bad.stdout)], [1, pages[`${EXPLAIN_PAGE}shop/bad`]]);
});
