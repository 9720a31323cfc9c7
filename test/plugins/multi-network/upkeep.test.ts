import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type BirthAttachment, begun, writeBirthRecord } from '../../../lib/attachments/birth-record.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';
import { parseNetwork } from '../../../lib/runtime/network.ts';
import type { Cluster } from '../../../plugins/multi-network/cluster.ts';
import type { Network } from '../../../plugins/multi-network/networks.ts';
import { check, collectGarbage, status } from '../../../plugins/multi-network/upkeep.ts';
import { noNamespaces, scratchFolder, scratchNamespace } from '../../support/namespaces/namespace.ts';
import { failed, networkNamed, workOf } from '../../support/plugins/delegation.ts';

const [CLUSTER, BLUE] = [networkNamed('cluster', 'eth0', { isDefault: true }), networkNamed('blue', 'net1')];

const entryOf = ({ name, list, input, isDefault, request }: Network, state: BirthAttachment['state'] = 'attached') => ({
  ...begun(name, list, input, { isDefault, request }),
  state,
});

function worldOf(t: Test, options: Parameters<typeof workOf>[2] = {}, path = '/n') {
  const work = workOf(t, { path }, options);
  const record = (entries: readonly BirthAttachment[], id = 'c') => writeBirthRecord(work.folder, id, entries);
  return { ...work, record };
}

/** A cluster of which nothing is asked, and how often it was closed. */
function closing() {
  const close = async () => {
    seen.closed++;
  };
  const seen = { closed: 0, services: { cluster: async () => ({ close }) as unknown as Cluster } };
  return seen;
}

t.test('CHECK asks about each network, also for the default routes that were chosen', async (t) => {
  const { record, standIn, ...work } = worldOf(t);
  record([entryOf(CLUSTER), entryOf({ ...BLUE, request: { defaultRoute: ['10.0.0.1'] } })]);
  t.equal(await check({ ...work }), undefined);
  t.strictSame(standIn.asked, ['CHECK cluster eth0', 'CHECK blue net1 10.0.0.1']);
});

t.test('CHECK reports all that is wrong', async (t) => {
  const { record, standIn, ...work } = worldOf(t);
  record([entryOf(CLUSTER), entryOf(BLUE, 'begun'), entryOf(networkNamed('green', 'net2'))]);
  standIn.fails['CHECK cluster eth0'] = failed('a route is missing');
  standIn.fails['CHECK green net2'] = failed('so is another');
  await t.rejects(check({ ...work }), {
    code: 106,
    details: [
      'network default/cluster: a route is missing',
      'network default/blue: its ADD did not come to an end',
      'network default/green: so is another',
    ].join('\n'),
  });
  t.strictSame(standIn.asked, ['CHECK cluster eth0', 'CHECK green net2']);
});

t.test('CHECK is for networks from 0.4.0 on', async (t) => {
  const { record, standIn, ...work } = worldOf(t);
  const versions = ['0.3.1', '0.4.0', '1.1.0'].map((cniVersion, at) => {
    const list = parseNetwork({ cniVersion, name: `v${at}`, plugins: [{ type: 'a' }] }, 'x');
    return entryOf(networkNamed('x', `net${at}`, { list }));
  });
  record(versions);
  await check({ ...work });
  t.strictSame(standIn.asked, ['CHECK v1 net1', 'CHECK v2 net2']);
});

t.test('CHECK without a record', async (t) => {
  await t.rejects(check(worldOf(t)), { code: 106, message: 'no ADD of container c is recorded in /cni' });
});

t.test('GC takes away what containers have that are not valid any more', async (t) => {
  const valid = { 'cni.dev/valid-attachments': [{ containerID: 'kept', ifname: 'eth0' }] };
  const cluster = closing();
  const { record, standIn, folder, ...work } = worldOf(t, {
    document: valid,
    keys: { delegates: [{ type: 'a', name: 'own' }] },
    services: cluster.services,
  });
  record([entryOf(CLUSTER), entryOf(BLUE)], 'gone');
  record([entryOf(CLUSTER)], 'kept');
  writeFileSync(join(folder, 'odd'), '{');
  mkdirSync(join(folder, 'results'));
  await collectGarbage({ ...work });
  t.strictSame([...standIn.asked].sort(), [
    'DEL blue net1',
    'DEL cluster eth0',
    'GC blue kept',
    'GC cluster kept',
    'GC own kept',
  ]);
  t.strictSame(standIn.asked.slice(0, 2), ['DEL blue net1', 'DEL cluster eth0']);
  t.notOk(existsSync(join(folder, 'gone')));
  t.ok(existsSync(join(folder, 'kept')) && existsSync(join(folder, 'odd')));
  t.equal(cluster.closed, 1);
});

t.test('GC tries all of it, and reports what failed', async (t) => {
  const { record, standIn, folder, ...work } = worldOf(t, { document: { 'cni.dev/valid-attachments': [] } });
  record([entryOf(CLUSTER), entryOf(BLUE)], 'gone');
  standIn.fails['DEL blue net1'] = failed('stuck');
  standIn.fails['GC cluster '] = failed('no');
  await t.rejects(collectGarbage({ ...work }), {
    code: 999,
    message: 'what could not be collected: DEL of network default/blue: stuck; network cluster: no',
  });
  t.ok(standIn.asked.includes('GC blue '));
  t.ok(existsSync(join(folder, 'gone')), 'the next GC knows of it');
  await t.rejects(collectGarbage(worldOf(t, { document: { 'cni.dev/valid-attachments': 7 } })), { code: 7 });
});

t.test('STATUS asks the plugins of each network of the config', async (t) => {
  const delegates = ['one', 'two'].map((name) => ({ type: 'a', name }));
  const cluster = closing();
  const { standIn, ...work } = worldOf(t, { keys: { delegates }, services: cluster.services });
  await status({ ...work });
  t.strictSame([standIn.asked, cluster.closed], [['STATUS one', 'STATUS two'], 1]);
  standIn.fails['STATUS one'] = failed('no addresses');
  await t.rejects(status({ ...work }), {
    code: 50,
    message: 'this node cannot serve an ADD: network one: no addresses',
  });
  t.equal(cluster.closed, 2);
});

t.test('GC and STATUS are for all networks of the config, those that every pod gets too', async (t) => {
  const folder = scratchFolder(t);
  const names = ['cluster', 'every'];
  for (const name of names)
    writeFileSync(
      join(folder, `${name}.conflist`),
      JSON.stringify({ cniVersion: '1.0.0', name, plugins: [{ type: 'a' }] }),
    );
  const [clusterNetwork = '', every = ''] = names.map((name) => join(folder, `${name}.conflist`));
  const keys = { delegates: undefined, clusterNetwork, defaultNetworks: [every] };
  const { standIn, ...work } = worldOf(t, { keys, document: { 'cni.dev/valid-attachments': [] } });
  await status({ ...work });
  await collectGarbage({ ...work });
  t.strictSame(standIn.asked, ['STATUS cluster', 'STATUS every', 'GC cluster ', 'GC every ']);
});

t.test('STATUS looks for the file of the cluster’s network, and whether records can be written', async (t) => {
  const why = (keys: object) =>
    status(worldOf(t, { keys })).then(
      () => '',
      ({ code, message }: { code: number; message: string }) => `${code} ${message}`,
    );
  t.equal(
    await why({ readinessindicatorfile: '/nowhere' }),
    '50 this node cannot serve an ADD: readinessindicatorfile: /nowhere does not exist',
  );
  t.equal(await why({ readinessindicatorfile: '/proc/self/status' }), '');
  t.equal(await why({ readinessindicatorfile: '' }), '');
  t.equal(await why({}), '');
  const work = worldOf(t);
  const broken = { ...work, config: { ...work.config, cniDir: '/proc/none' } };
  await t.rejects(status(broken), { code: 50, message: /^this node cannot serve an ADD: cniDir: / });
  t.equal(await status({ ...broken, config: { ...broken.config, delegates: [] } }), undefined, 'a chain has none');
});

t.test('CHECK in a chain looks for the interface that the plugins in front made', { skip: noNamespaces }, async (t) => {
  const pod = scratchNamespace(t);
  const { call, ...work } = worldOf(t, { keys: { delegates: undefined } }, pod.path);
  const namespace = openNamespace(pod.path);
  t.teardown(() => namespace.close());
  const chained = { ...work, call: { ...call, namespace } };
  await t.rejects(check(chained), { code: 100 });
  pod.ip('link add eth0 type bridge');
  t.equal(await check(chained), undefined, 'and no record is needed');
});
