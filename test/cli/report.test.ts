import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { podNamesRemover, redactedList } from '../../cli/redact.ts';
import { staticRoute } from '../../plugins/static-route/main.ts';
import { agentProcess } from '../support/agent/agent.ts';
import { ask } from '../support/agent/agent-client.ts';
import { noNamespaces, run, scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { call, success, variables } from '../support/plugins/call.ts';

const ARGS = 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=till-0';
const SECRET = 'hunter2';

t.test('an archive for support', { skip: noNamespaces }, async (t) => {
  const { socket } = await agentProcess(t);
  const world = await worldOf(t, socket);
  await ask(socket, { plugin: 'static-route', env: variables('ADD', '/none', { CNI_ARGS: ARGS }), stdin: '{}' });

  t.test('has doctor, list, status, metrics, versions, lists and logs', async (t) => {
    const { files, text } = world.report([]);
    t.strictSame(files, [
      'doctor.json',
      'doctor.txt',
      'list.json',
      'list.txt',
      'lists/10-net.conflist',
      'lists/11-broken.conf',
      'log/plugins-1.log',
      'metrics.txt',
      'status.json',
      'versions.txt',
    ]);
    t.match(text('doctor.txt'), /attachments: 1, all in place/);
    t.match(text('list.txt'), /add route 10\.9\.0\.0\/16/);
    t.match(JSON.parse(text('status.json')), { requests: 1 });
    t.match(text('metrics.txt'), 'waymark_requests_total');
    t.match(text('versions.txt'), /^waymark \d/);
    t.equal(text('log/plugins-1.log').split('\n').length, 501, 'of a long log the end');
    t.match(text('log/plugins-1.log'), /line 999\n$/);
  });

  t.test('has no secrets, and no pods unless they are asked for', async (t) => {
    const without = world.report([]);
    const all = without.files.map(without.text).join('\n');
    t.notMatch(all, SECRET);
    t.notMatch(all, 'till-0');
    t.match(without.text('list.txt'), /^pod-\d \(container container-1\)\n/);
    const withNames = world.report(['--names']);
    t.match(withNames.text('list.txt'), /^shop\/till-0 \(container/);
    t.match(withNames.text('status.json'), 'shop/till-0');
    t.notMatch(withNames.files.map(withNames.text).join('\n'), SECRET);
  });

  t.test('is its owner’s alone, and replaces nothing', async (t) => {
    const out = join(scratchFolder(t), 'report.tar.gz');
    t.equal(world.command(['--out', out]).stdout.toString(), `${out}\n`);
    t.equal(statSync(out).mode & 0o777, 0o600);
    const again = world.command(['--out', out]);
    t.equal(again.status, 1);
    t.match(again.stderr.toString(), /^waymark: \S+ cannot be written: EEXIST/);
  });

  t.test('is written without an agent too, with the reason', async (t) => {
    const { files, text } = (await worldOf(t, '/nowhere/agent.sock')).report([]);
    t.ok(files.includes('status.json.missing') && files.includes('metrics.txt.missing'));
    t.match(text('status.json.missing'), /^no agent answers at \/nowhere\/agent\.sock/);
  });
});

t.test('of plugins that are not ours a list keeps the type, and of ours no secret', async (t) => {
  const list = {
    cniVersion: '1.0.0',
    name: 'net',
    plugins: [
      { type: 'calico', etcd_key: SECRET, deep: { any: SECRET } },
      { type: 'static-route', routes: [{ dst: '10.0.0.0/8' }], args: { cni: { apiToken: SECRET } } },
    ],
  };
  t.strictSame(JSON.parse(redactedList(JSON.stringify(list))), {
    cniVersion: '1.0.0',
    name: 'net',
    plugins: [
      { type: 'calico' },
      { type: 'static-route', routes: [{ dst: '10.0.0.0/8' }], args: { cni: { apiToken: '(removed)' } } },
    ],
  });
  t.strictSame(JSON.parse(redactedList(JSON.stringify({ name: 'n', type: 'weave', password: SECRET }))), {
    name: 'n',
    type: 'weave',
  });
  t.notMatch(redactedList(`{"password": "${SECRET}"`), SECRET);
});

t.test('a pod has the same word everywhere, also where its name is the beginning of another', async (t) => {
  const remove = podNamesRemover([
    '{"pod":"shop/till"} K8S_POD_NAMESPACE=shop;K8S_POD_NAME=till-2',
    '"pod": "bar/till"',
  ]);
  t.equal(remove('shop/till-2 shop/till till-2 bar/till'), 'pod-2 pod-1 pod-2 pod-3');
});

async function worldOf(t: Test, socket: string) {
  const pod = scratchPod(t);
  const folder = scratchFolder(t);
  const [dataDir, netDir] = [join(folder, 'data'), join(folder, 'net.d')];
  mkdirSync(netDir);
  const logFile = join(folder, 'plugins.log');
  const routes = [{ dst: '10.9.0.0/16' }];
  const config = { cniVersion: '1.0.0', name: 'net', dataDir, routes };
  success(await call(staticRoute, variables('ADD', pod.path, { CNI_ARGS: ARGS }), config));
  const plugins = [
    { type: 'other', token: SECRET },
    { type: 'static-route', routes, logFile },
  ];
  writeFileSync(join(netDir, '10-net.conflist'), JSON.stringify({ cniVersion: '1.0.0', name: 'net', plugins }));
  writeFileSync(join(netDir, '11-broken.conf'), `{"token": "${SECRET}"`);
  writeFileSync(logFile, Array.from({ length: 1000 }, (_, i) => `{"pod":"shop/till-0"} line ${i}\n`).join(''));
  const places = ['--data-dir', dataDir, '--net-dir', netDir, '--bin-dir', folder, '--socket', socket];
  const command = (args: string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, '../../cli/process.ts'), 'report', ...places, ...args]);
  const report = (args: string[]) => {
    const { stdout, status, stderr } = command(['--out', '-', ...args]);
    if (status !== 0) throw new Error(String(stderr));
    // By the real tar.
    const target = scratchFolder(t);
    const archive = join(target, 'report.tar.gz');
    writeFileSync(archive, stdout);
    const unpacked = join(target, 'unpacked');
    mkdirSync(unpacked);
    run('tar', ['-xzf', archive, '-C', unpacked]);
    const files = readdirSync(unpacked, { recursive: true, encoding: 'utf8' })
      .filter((name) => statSync(join(unpacked, name)).isFile())
      .toSorted();
    return { files, text: (name: string) => readFileSync(join(unpacked, name), 'utf8') };
  };
  return { command, report };
}
