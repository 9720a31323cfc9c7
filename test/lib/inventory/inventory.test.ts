import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { tryLock } from '../../../lib/files/lock.ts';
import { takeInventory } from '../../../lib/inventory/inventory.ts';
import { VERSION } from '../../../lib/version.ts';
import { consistentIfname } from '../../../plugins/consistent-ifname/main.ts';
import { PLUGIN_NAMES } from '../../../plugins/index.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, run, type Scratch, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';
import { until } from '../../support/until.ts';

const ARGS = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=till-0';

t.test('an inventory of a data folder', { skip: noNamespaces }, async (t) => {
  t.test('lists what ADD made, for whom, when and by which version', async (t) => {
    const { add, inventory, dataDir, pod } = worldOf(t);
    const before = new Date().toISOString();
    await add([{ dst: '172.16.0.0/12', gw: '10.244.1.1' }, { dst: 'default' }]);
    const { attachments, failures } = await inventory();
    t.strictSame(failures, []);
    const [attachment] = attachments;
    t.strictSame(attachments, [
      {
        pod: 'shop/till-0',
        containerID: 'container-1',
        network: 'blue',
        ifname: 'eth0',
        plugin: 'static-route',
        version: VERSION,
        since: attachment?.since,
        netns: pod.path,
        state: 'in place',
        isIncomplete: false,
        journal: join(dataDir, 'static-route/container-1-eth0.json'),
        changes: [
          { text: 'add route 172.16.0.0/12 via 10.244.1.1 dev eth0', source: 'routes[0]', state: 'holds' },
          { text: 'add route 0.0.0.0/0 dev eth0', source: 'routes[1]', state: 'holds' },
        ],
      },
    ]);
    t.ok(attachment?.since !== undefined && attachment.since >= before && attachment.since <= new Date().toISOString());
  });

  t.test('keeps the time of the first of several ADDs, and of no other network', async (t) => {
    const { add, inventory } = worldOf(t);
    await add([{ dst: '172.16.0.0/12' }]);
    const first = (await inventory()).attachments[0]?.since;
    await add([{ dst: '172.16.0.0/12' }, { dst: '172.32.0.0/12' }]);
    await until(() => new Date().toISOString() > (first ?? ''));
    await add([{ dst: '172.48.0.0/12' }], { name: 'green' });
    const { attachments } = await inventory();
    t.strictSame(
      attachments.map(({ network, changes }) => [network, changes.length]),
      [
        ['blue', 2],
        ['green', 1],
      ],
    );
    t.equal(attachments[0]?.since, first);
    t.ok((attachments[1]?.since ?? '') > (first ?? ''));
  });

  t.test('finds what somebody has changed, and not what somebody has put right', async (t) => {
    const { add, inventory, pod } = worldOf(t);
    await add([{ dst: '172.16.0.0/12' }, { dst: '172.32.0.0/12' }]);
    pod.ip('route del 172.32.0.0/12');
    const [drifted] = await (await inventory()).attachments;
    t.match(drifted, { state: 'drift', changes: [{ state: 'holds' }, { state: 'missing' }] });
    t.equal(drifted?.changes[1]?.text, 'route 172.32.0.0/12 dev eth0 is missing');
    pod.ip('route add 172.32.0.0/12 dev eth0');
    t.equal((await inventory()).attachments[0]?.state, 'in place');
  });

  t.test(
    'looks a second time at what somebody may be at work on, and calls what is right by then no drift',
    async (t) => {
      const { add, dataDir, pod } = worldOf(t);
      await add([{ dst: '172.16.0.0/12' }]);
      await add([{ dst: '172.32.0.0/12' }], { name: 'green' });
      const looks = async (repair: () => void) => {
        let looks = 0;
        const breathe = async () => {
          if (looks++ === 0) repair();
        };
        const { attachments } = await takeInventory(dataDir, PLUGIN_NAMES, { breathe });
        return [attachments.map(({ state }) => state), looks];
      };
      const repair = () => void pod.ip('route add 172.16.0.0/12 dev eth0');
      t.strictSame(await looks(() => undefined), [['in place', 'in place'], 1]);
      pod.ip('route del 172.16.0.0/12');
      t.strictSame(await looks(repair), [['in place', 'in place'], 2]);
    },
  );

  t.test('tells that a namespace has too much to be read, and lists what is recorded', async (t) => {
    const { add, dataDir, pod } = worldOf(t);
    await add([{ dst: '172.16.0.0/12' }]);
    const options = { breathe: async () => undefined, dumpBytes: 64 };
    const { attachments, failures } = await takeInventory(dataDir, PLUGIN_NAMES, options);
    t.match(attachments, [{ state: 'unknown', netns: pod.path, changes: [{ text: /172\.16\.0\.0/ }] }]);
    t.equal(failures.length, 1);
    t.match(failures[0], new RegExp(`^${pod.path}: `));
  });

  t.test('does not call drift what somebody is at work on', async (t) => {
    const { add, inventory, pod, dataDir } = worldOf(t);
    await add([{ dst: '172.16.0.0/12' }]);
    pod.ip('route del 172.16.0.0/12');
    const lock = tryLock(join(dataDir, 'static-route/.container-1-eth0.lock'));
    t.equal((await inventory()).attachments[0]?.state, 'busy');
    lock?.release();
    t.equal((await inventory()).attachments[0]?.state, 'drift');
  });

  t.test('does not call drift what a later change of ours took back', async (t) => {
    const { add, inventory, pod } = worldOf(t);
    await add([{ dst: '172.16.0.0/12', gw: '10.244.1.1' }]);
    await add([{ dst: '172.16.0.0/12', gw: '10.244.1.2' }], { name: 'green', onConflict: 'replace' });
    t.match(pod.ipJson('route show 172.16.0.0/12'), [{ gateway: '10.244.1.2' }]);
    t.strictSame(
      (await inventory()).attachments.map(({ network, state, changes }) => [
        network,
        state,
        changes.map((c) => c.state),
      ]),
      [
        ['blue', 'in place', ['replaced']],
        ['green', 'in place', ['holds', 'holds']],
      ],
    );
  });

  t.test('knows that a link was given another name since', async (t) => {
    const { rename, inventory, pod } = worldOf(t);
    await rename({ name: 'green' });
    t.match((await inventory()).attachments, [{ plugin: 'consistent-ifname', state: 'in place' }]);
    pod.ip('link set dev net9f27410725ab name other');
    t.match((await inventory()).attachments[0], { state: 'drift' });
    t.match(
      (await inventory()).attachments[0]?.changes.find(({ state }) => state === 'missing')?.text,
      'interface other is not named net9f27410725ab',
    );
  });

  t.test('finds the namespace without a record of where it is, and no other at that path', async (t) => {
    const { add, inventory, pod, dataDir } = worldOf(t);
    await add([{ dst: '172.16.0.0/12' }]);
    const journal = join(dataDir, 'static-route/container-1-eth0.json');
    const text = readFileSync(journal, 'utf8');
    writeFileSync(journal, text.replace(/,"attached":\{[^}]*\}/, ''));
    t.not(readFileSync(journal, 'utf8'), text);
    t.match((await inventory()).attachments, [
      { pod: undefined, since: undefined, version: undefined, netns: pod.path, state: 'in place' },
    ]);
    writeFileSync(journal, text);
    run('ip', ['netns', 'del', pod.name]);
    t.match((await inventory()).attachments, [{ pod: 'shop/till-0', netns: undefined, state: 'gone' }]);
    run('ip', ['netns', 'add', pod.name]);
    t.match((await inventory()).attachments, [{ netns: undefined, state: 'gone', changes: [{ state: 'unknown' }] }]);
  });

  t.test(
    'says that a damaged journal may lack changes, or its namespace, and which one cannot be read at all',
    async (t) => {
      const { add, inventory, dataDir } = worldOf(t);
      await add([{ dst: '172.16.0.0/12' }, { dst: '172.32.0.0/12' }]);
      const journal = join(dataDir, 'static-route/container-1-eth0.json');
      const text = readFileSync(journal, 'utf8');
      writeFileSync(journal, text.slice(0, text.indexOf('172.32')));
      t.match(await inventory(), {
        failures: [],
        attachments: [{ isIncomplete: true, state: 'in place', changes: { length: 1 } }],
      });
      writeFileSync(journal, text.replace(/"namespace":"[^"]*"/, '"namespace":""'));
      t.match(await inventory(), {
        failures: [],
        attachments: [{ netns: undefined, state: 'unknown', changes: [{ state: 'unknown' }, { state: 'unknown' }] }],
      });
      writeFileSync(journal, 'nonsense');
      t.strictSame(await inventory(), {
        failures: [`${journal}: is damaged, so whose journal it is cannot be read`],
        attachments: [],
      });
    },
  );

  t.test('leaves no descriptor open, whatever it finds', async (t) => {
    const { add, dataDir, inventory, pod } = worldOf(t);
    await add([{ dst: '172.16.0.0/12' }]);
    const open = () => readdirSync('/proc/self/fd').length;
    await inventory();
    const before = open();
    t.match(await inventory(), { attachments: [{ state: 'in place' }] });
    const tooMuch = { breathe: async () => undefined, dumpBytes: 64 };
    t.match(await takeInventory(dataDir, PLUGIN_NAMES, tooMuch), { attachments: [{ state: 'unknown' }] });
    pod.remove();
    t.match(await inventory(), { attachments: [{ state: 'gone' }] });
    t.equal(open(), before);
  });

  t.test('is empty after DEL, and where there is no folder', async (t) => {
    const { add, del, inventory } = worldOf(t);
    t.strictSame(await inventory(), { attachments: [], failures: [] });
    await add([{ dst: '172.16.0.0/12' }]);
    await del();
    t.strictSame(await inventory(), { attachments: [], failures: [] });
  });
});

function worldOf(t: Test) {
  const pod: Scratch = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const base = { cniVersion: '1.0.0', name: 'blue', dataDir };
  const env = (command: string) => variables(command, pod.path, { CNI_ARGS: ARGS });
  return {
    pod,
    dataDir,
    add: async (routes: object[], more: object = {}) =>
      success(await call(staticRoute, env('ADD'), { ...base, routes, ...more })),
    del: async () => success(await call(staticRoute, env('DEL'), base)),
    rename: async (more: object) => success(await call(consistentIfname, env('ADD'), { ...base, ...more })),
    inventory: () => takeInventory(dataDir, PLUGIN_NAMES),
  };
}
