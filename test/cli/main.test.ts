import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Command, CommanderError } from 'commander';
import t from 'tap';
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

/** The command as a process of its own. */
function waymark(...args: string[]) {
  const env = { PATH: process.env.PATH, ...COMPILED };
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROCESS, ...args], { encoding: 'utf8', env });
  return { status, stdout, stderr };
}

t.test('output is on stdout, errors are a sentence on stderr with exit code 1', async (t) => {
  t.strictSame(waymark('--version'), { status: 0, stdout: `${VERSION}\n`, stderr: '' });
  const socket = join(scratchFolder(t), 'none.sock');
  t.match(waymark('status', '--socket', socket), { status: 1, stdout: '', stderr: /^waymark: no agent answers at / });
  t.match(waymark('explain'), { status: 1, stdout: '', stderr: 'waymark: explain needs a file or --pod\n' });
  t.match(waymark('explain', 'x', '--pod', 'a/b'), { status: 1, stderr: 'waymark: explain needs a file or --pod\n' });
});

t.test('what is known is printed for people, or as JSON', async (t) => {
  const folder = t.testdir({
    data: {},
    good: '{"cniVersion":"1.0.0","name":"n","type":"static-route","routes":[{"dst":"10.0.0.0/8","gw":"10.1.1.1"}]}',
    bad: '{"cniVersion":"1.0.0","name":"n","type":"static-route","routes":7}',
  });
  const dataDir = join(folder, 'data');
  t.match(waymark('list', '--data-dir', dataDir), { status: 0, stdout: /^[A-Z]|no attachment/ });
  const { status, stdout } = waymark('list', '--data-dir', dataDir, '--json');
  t.equal(status, 0);
  t.strictSame(stdout, `${JSON.stringify({ attachments: [], failures: [] }, undefined, 4)}\n`);
  const good = waymark('explain', join(folder, 'good'));
  t.match(good, { status: 0, stdout: /add route 10\.0\.0\.0\/8 via 10\.1\.1\.1/ });
  t.match(JSON.parse(waymark('explain', join(folder, 'good'), '--json').stdout), {});
  t.match(waymark('explain', join(folder, 'bad')), { status: 1, stdout: /error 7/ });
});
