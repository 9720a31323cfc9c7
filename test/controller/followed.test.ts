import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  filesOf,
  followedIn,
  followingTypes,
  keysUpdating,
  nodeReaderOf,
  sourceFor,
  wantedList,
} from '../../controller/followed.ts';
import type { Looked } from '../../controller/look.ts';
import type { RecordedAttachment, SandboxRecord } from '../../controller/records.ts';
import type { KubeObject } from '../../lib/kubernetes/object.ts';
import type { Observation } from '../../lib/observation/observation.ts';
import { cacheResult } from '../../lib/runtime/cache.ts';
import { type NetworkList, parseNetwork } from '../../lib/runtime/network.ts';
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
  const two = listOf(routes('10.1.0.0/16'), { type: 'bridge' });
  t.equal(sourceFor(two, true), two.source);
});

/** What is followed in a pod with these attachments of ours, these caches, and this plan. */
function followedWith(
  t: Test,
  own: Partial<RecordedAttachment>[],
  cached: { ifname: string; list: NetworkList; containerID?: string }[] = [],
  { observed = [], order = [], steps = [] }: { observed?: object[]; order?: object[]; steps?: object[] } = {},
) {
  const folder = t.testdir();
  const input = (ifname: string, containerID = 'c') => ({
    ...{ containerID, netns: '/old', ifname, args: [], capabilityArgs: {} },
  });
  for (const { ifname, list, containerID } of cached)
    cacheResult(join(folder, 'cni'), list, input(ifname, containerID), {});
  const attachments = own.map(({ ifname = 'net1', ...more }) => ({
    ...{ ifname, network: 'default/blue', state: 'attached', request: {}, result: {} },
    ...{ call: { list: listOf(routes('10.1.0.0/16')).source, input: input(ifname) }, ...more },
  }));
  const looked = { containerID: 'c', netns: '/n', observed: { attachments: observed }, plan: { order, steps } };
  const pathOf = (path: string) => join(folder, path);
  return followedIn(
    looked as unknown as Looked,
    { attachments } as unknown as SandboxRecord,
    UPDATABLE,
    ['/cni/results', '/absent/results'],
    pathOf,
  );
}

t.test('of ours, what came to its end and has a plugin that can be updated is followed', async (t) => {
  const made = [
    { ifname: 'net1', request: { cniArgs: { a: 1 } } },
    { ifname: 'net2', request: { cniArgs: { a: 2 } } },
    { ifname: 'net3', state: 'unfinished' },
    { ifname: 'net4', call: undefined },
    { ifname: 'net5', result: undefined },
    { ifname: 'net6', call: { list: listOf({ type: 'bridge' }).source, input: {} } },
  ] as Partial<RecordedAttachment>[];
  const order = [{ ifname: 'net2', selection: { request: { cniArgs: { b: 3 } } } }];
  const found = followedWith(t, made, [], { order });
  t.strictSame(
    found.map(({ ifname, network, cniArgs, cache }) => ({ ifname, network, cniArgs, cache })),
    [
      { ifname: 'net1', network: 'default/blue', cniArgs: { a: 1 }, cache: undefined },
      { ifname: 'net2', network: 'default/blue', cniArgs: { b: 3 }, cache: undefined },
    ],
    'with what the annotation says now, where it still selects it',
  );
});

t.test('of others, what they cached and the status has, and the cluster’s own network without it', async (t) => {
  const ours = listOf(routes('10.1.0.0/16'));
  const single = parseNetwork(
    { ...routes('10.1.0.0/16'), name: 'single', cniVersion: '1.0.0', plugins: [routes('10.1.0.0/16')] },
    'x',
  );
  const cached = [
    { ifname: 'eth0', list: ours },
    { ifname: 'net1', list: ours },
    {
      ifname: 'net2',
      list: { ...single, source: JSON.stringify({ ...routes('10.1.0.0/16'), name: 'single', cniVersion: '1.0.0' }) },
    },
    { ifname: 'net3', list: ours },
    { ifname: 'net4', list: ours },
    { ifname: 'net5', list: { ...ours, source: '{"name":"blue","plugins":[]}' } },
    { ifname: 'net6', list: listOf({ type: 'bridge' }) },
    { ifname: 'net7', list: ours, containerID: 'other' },
  ];
  const observed = ['net1', 'net2', 'net4', 'net5', 'net6', 'net7'].map((ifname) => ({
    ...{ ifname, network: `default/${ifname}`, request: { cniArgs: { of: ifname } } },
  }));
  const steps = [
    { kind: 'detach', ifname: 'net4' },
    { kind: 'attach', ifname: 'net2' },
  ];
  const found = followedWith(t, [{ ifname: 'net1' }], cached, { observed, steps });
  t.strictSame(
    found.map(({ ifname, network, cniArgs, cache, input }) => [ifname, network, cniArgs, cache?.isSingle, input.netns]),
    [
      ['net1', 'default/blue', undefined, undefined, '/old'],
      ['eth0', undefined, undefined, false, '/n'],
      ['net2', 'default/net2', { of: 'net2' }, true, '/n'],
    ],
    'neither ours, nor what is to go, nor what is gone, nor what cannot be read',
  );
  t.equal(found[1]?.cache?.folder, '/cni');
});

t.test('what of the node a list depends on is a text of all of its plugins that do', async (t) => {
  const definition = (texts: { [name: string]: string | undefined }) => ({
    nodeState: ({ name }: { name?: string }) => texts[name ?? ''],
  });
  const of = (texts: { [name: string]: string | undefined }, plugins: Plugin[], types = ['a', 'b']) => {
    const updatable = new Map(types.map((type) => [type, type === 'b' ? {} : definition(texts)]));
    return nodeReaderOf(listOf(...plugins), types, updatable as never)?.({} as Observation);
  };
  const plugins = [{ type: 'a', name: 'x' }, { type: 'b' }, { type: 'a', name: 'y', args: { cni: { name: 'z' } } }];
  t.equal(of({ x: '1', y: '2', z: '3' }, plugins), '1; 3', 'as its arguments have it');
  t.equal(of({ z: '3' }, plugins), '3');
  t.equal(of({}, plugins), undefined, 'while nothing is there');
  const updatable = new Map([['a', definition({})]]) as never;
  t.equal(nodeReaderOf(listOf({ type: 'b' }), ['a', 'b'], updatable), undefined, 'none of them does');
  t.equal(nodeReaderOf(listOf(...plugins), ['b'], updatable), undefined, 'or none that follows edits');
  t.type(nodeReaderOf(listOf({ type: 'a' }), ['a'], updatable), 'function');
});

t.test('a definition is parsed once for the arguments of each pod, of so many', async (t) => {
  const list = listOf(routes('10.1.0.0/16'));
  const definition = definitionOf({ plugins: [routes('10.2.0.0/16')] });
  const pluginFor = (a: number) => wantedList({ list, cniArgs: { a } }, definition, UPDATABLE).plugins[0];
  const first = pluginFor(0);
  for (let a = 1; a < 64; a++) pluginFor(a);
  t.equal(pluginFor(0), first);
  pluginFor(64);
  t.not(pluginFor(0), first, 'not for ever');
  const broken = definitionOf({ plugins: 7 });
  t.throws(() => wantedList({ list, cniArgs: undefined }, broken, UPDATABLE));
});
