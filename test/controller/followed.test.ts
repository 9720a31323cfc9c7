import t from 'tap';
import { filesOf, followingTypes, keysUpdating, sourceFor, wantedList } from '../../controller/followed.ts';
import type { KubeObject } from '../../lib/kubernetes/object.ts';
import { parseNetwork } from '../../lib/runtime/network.ts';
import { UPDATABLE } from '../../plugins/index.ts';

type Plugin = { [key: string]: unknown };

const listOf = (...plugins: Plugin[]) => parseNetwork({ name: 'blue', cniVersion: '1.0.0', plugins }, 'the test');

function definitionOf(config: unknown): KubeObject {
  const metadata = { name: 'blue', namespace: 'default', uid: 'u', resourceVersion: '1' };
  const text = config === undefined ? {} : { config: JSON.stringify(config) };
  return { apiVersion: 'k8s.cni.cncf.io/v1', metadata, spec: text };
}

const routes = (dst: string): Plugin => ({ type: 'static-route', routes: [{ dst }] });

t.test('of a definition, only what can be updated is wanted; all else stays as it was made', async (t) => {
  const list = listOf({ type: 'bridge', mtu: 1400, deviceID: 'd' }, routes('10.1.0.0/16'), { type: 'tuning' });
  const definition = definitionOf({
    name: 'another',
    cniVersion: '0.4.0',
    plugins: [{ type: 'bridge', mtu: 9000 }, routes('10.2.0.0/16'), { type: 'tuning', mac: 'x' }],
  });
  const wanted = wantedList({ list, cniArgs: undefined }, definition, UPDATABLE);
  const plugins = [{ type: 'bridge', mtu: 1400, deviceID: 'd' }, routes('10.2.0.0/16'), { type: 'tuning' }];
  t.strictSame(JSON.parse(wanted.source), { name: 'blue', cniVersion: '1.0.0', plugins });
  t.strictSame(wanted.plugins, plugins);

  const withArgs = wantedList({ list, cniArgs: { flushroutes: true } }, definition, UPDATABLE);
  t.match(withArgs.plugins[1], { args: { cni: { flushroutes: true } } });
  t.notOk('args' in (withArgs.plugins[0] ?? {}));
});

t.test('other plugins than before are refused; without a config, the list is its own source', async (t) => {
  const list = listOf({ type: 'bridge' }, routes('10.1.0.0/16'));
  for (const types of [['bridge'], ['static-route', 'bridge'], ['bridge', 'static-route', 'static-route']]) {
    const definition = definitionOf({ plugins: types.map((type) => ({ type })) });
    const refused = () => wantedList({ list, cniArgs: undefined }, definition, UPDATABLE);
    t.throws(refused, { message: /only their configs can be updated; recreate the pod/ }, types.join());
  }
  t.equal(wantedList({ list, cniArgs: undefined }, definitionOf(undefined), UPDATABLE), list);
});

t.test('"reconcile" of any entry of a plugin, also by args, keeps all its entries from following', async (t) => {
  const gateway = { type: 'seamless-gateway' };
  const cases: [Plugin, string[]][] = [
    [{}, ['static-route', 'seamless-gateway']],
    [{ reconcile: 'update' }, ['static-route', 'seamless-gateway']],
    [{ reconcile: 'heal' }, ['seamless-gateway']],
    [{ reconcile: 'off' }, ['seamless-gateway']],
    [{ args: { cni: { reconcile: 'off' } } }, ['seamless-gateway']],
    [{ reconcile: 'off', args: { cni: { reconcile: 'update' } } }, ['static-route', 'seamless-gateway']],
  ];
  for (const [keys, types] of cases) {
    const list = listOf(routes('10.1.0.0/16'), { ...routes('10.2.0.0/16'), ...keys }, gateway, { type: 'bridge' });
    t.strictSame(followingTypes(list, UPDATABLE), types, JSON.stringify(keys));
  }
});

t.test('the files and the keys that an update reads', async (t) => {
  const list = listOf(
    { type: 'static-route', topologyFile: '/a' },
    { type: 'static-route', topologyFile: '/b' },
    {
      type: 'bridge',
      topologyFile: '/c',
    },
  );
  t.strictSame(filesOf(list, ['static-route'], UPDATABLE), ['/a', '/b']);
  t.strictSame(filesOf(list, [], UPDATABLE), []);
  t.equal(keysUpdating(['bridge', 'consistent-ifname'], UPDATABLE), undefined);
  const keys = keysUpdating(['bridge', 'static-route'], UPDATABLE);
  for (const key of ['routes', 'rules', 'sourceRouting', 'topology', 'interface']) t.ok(keys?.has(key), key);
  for (const key of ['topologyFile', 'dataDir', 'logFile'])
    t.ok(keys?.has(key), `${key}, to be refused without a swap`);
  for (const key of ['rotes', 'sourcerouting']) t.ok(keys?.has(key), `${key}, to be refused as a misspelling`);
  for (const key of ['mac', 'ips', 'bandwidth', 'team'])
    t.notOk(keys?.has(key), `${key}, which bridge or its IPAM may read`);
  t.ok(keysUpdating(['static-route', 'seamless-gateway'], UPDATABLE)?.has('team'), 'a key that nobody can read');
});

t.test('a single plugin is cached as one', async (t) => {
  const list = listOf(routes('10.1.0.0/16'));
  t.strictSame(JSON.parse(sourceFor(list, true)), { ...routes('10.1.0.0/16'), name: 'blue', cniVersion: '1.0.0' });
  t.equal(sourceFor(list, false), list.source);
});
