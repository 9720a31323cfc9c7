import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { listLines } from '../../cli/list.ts';
import type { Attachment } from '../../lib/inventory/inventory.ts';
import { VERSION } from '../../lib/version.ts';
import { consistentIfname } from '../../plugins/consistent-ifname/main.ts';
import { staticRoute } from '../../plugins/static-route/main.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { call, success, variables } from '../support/plugins/call.ts';

const ROOT = join(import.meta.dirname, '../..');

const ATTACHMENT: Attachment = {
  pod: 'shop/till-0',
  containerID: '3f2a4c81d07be9',
  network: 'blue',
  ifname: 'net1',
  plugin: 'static-route',
  version: '1.2.3',
  since: '2026-01-02T03:04:05.678Z',
  netns: '/run/netns/x',
  state: 'in place',
  isIncomplete: false,
  journal: '/run/waymark/static-route/x.json',
  changes: [{ text: 'add route 10.0.0.0/8 dev net1', source: 'routes[0]', state: 'holds' }],
};

t.test('a person reads each state, and what is not known is left out', async (t) => {
  const lines = (more: Partial<Attachment>) => listLines({ attachments: [{ ...ATTACHMENT, ...more }], failures: [] });
  t.strictSame(lines({}), [
    'shop/till-0 (container 3f2a4c81d07be)',
    '  net1, network blue, by static-route 1.2.3 since 2026-01-02T03:04:05Z: in place',
    '    add route 10.0.0.0/8 dev net1',
  ]);
  t.strictSame(lines({ pod: undefined, version: undefined, since: undefined, changes: [], state: 'gone' }), [
    'container 3f2a4c81d07be',
    '  net1, network blue, by static-route: the namespace is gone; DEL, GC or the agent forgets the journal',
    '    nothing had to be changed',
  ]);
  t.match(lines({ isIncomplete: true })[2], 'damaged');
  t.strictSame(listLines({ attachments: [], failures: ['a: b'] }), ['no attachments', 'could not be read: a: b']);
  t.equal(
    lines({ pod: 'a\u001b[2J\nb/c' })[0],
    'a [2J b/c (container 3f2a4c81d07be)',
    'nor can it command the terminal',
  );
});

t.test('the command', { skip: noNamespaces }, async (t) => {
  t.test('prints what docs/list.md shows', async (t) => {
    const { list } = await driftedPod(t);
    const [, example = ''] = /```console\n\$ waymark list\n([\s\S]*?)```/.exec(
      readFileSync(join(ROOT, 'docs/list.md'), 'utf8'),
    ) ?? ['', ''];
    const { status, stdout } = list([]);
    t.equal(status, 0);
    const times = / since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g;
    t.equal(stdout.replaceAll(times, ''), example.replaceAll(times, ''));
    t.equal(stdout.match(times)?.length, 2);
  });

  t.test('chooses by pod and by drift, also in JSON, and says when there are none', async (t) => {
    const { list } = await driftedPod(t);
    const plugins = (args: string[]) =>
      JSON.parse(list(['--json', ...args]).stdout).attachments.map((attachment: Attachment) => attachment.plugin);
    for (const pod of ['shop/till-0', 'till-0', '3f2a4c'])
      t.strictSame(plugins(['--pod', pod]), ['consistent-ifname', 'static-route'], pod);
    t.strictSame(plugins(['--drift']), ['static-route']);
    for (const pod of ['ill-0', 'other/till-0']) t.equal(list(['--pod', pod]).stdout, 'no attachments\n', pod);
    t.match(JSON.parse(list(['--json', '--drift']).stdout), {
      attachments: [{ pod: 'shop/till-0', version: VERSION, state: 'drift', changes: [{ state: 'holds' }, {}] }],
      failures: [],
    });
  });

  t.test('fails where no journal can be read, and not where there is none', async (t) => {
    const folder = scratchFolder(t);
    t.equal(list(folder, []).stdout, 'no attachments\n');
    writeFileSync(join(folder, 'static-route'), 'a file');
    const { status, stdout, stderr } = list(folder, []);
    t.strictSame([status, stdout], [1, '']);
    t.match(stderr, /^waymark: \S+: cannot be read: \S+static-route: cannot be read \(ENOTDIR\)\n$/);
  });

  t.test('goes on where one journal cannot be read', async (t) => {
    const { list, dataDir } = await driftedPod(t);
    mkdirSync(join(dataDir, 'static-route/folder.json'));
    const { status, stdout } = list([]);
    t.equal(status, 0);
    t.match(stdout, /\ncould not be read: \S+folder.json: cannot be read \(EISDIR\)\n$/);
  });
});

/** A pod with the attachments that docs/list.md shows. */
async function driftedPod(t: Test) {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const config = { cniVersion: '1.0.0', name: 'green', dataDir };
  const env = variables('ADD', pod.path, {
    CNI_CONTAINERID: '3f2a4c81d07be9e4',
    CNI_ARGS: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=till-0',
  });
  success(await call(consistentIfname, env, config));
  const gw = '10.244.1.1';
  const routes = ['172.16.0.0/12', '172.32.0.0/12'].map((dst) => ({ dst, gw }));
  success(await call(staticRoute, env, { ...config, routes }));
  pod.ip('route del 172.32.0.0/12');
  return { dataDir, list: (args: string[]) => list(dataDir, args) };
}

function list(dataDir: string, args: string[]) {
  const command = [join(ROOT, 'cli/process.ts'), 'list', '--data-dir', dataDir, ...args];
  return spawnSync(process.execPath, command, { encoding: 'utf8' });
}
