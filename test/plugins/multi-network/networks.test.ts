import { join } from 'node:path';
import t from 'tap';
import { podOf } from '../../../lib/attachments/pod.ts';
import type { NetworkRequest } from '../../../lib/attachments/selection.ts';
import { ApiError } from '../../../lib/kubernetes/errors.ts';
import {
  DefinitionMissing,
  isMeta,
  namedNetwork,
  networksOfDelegates,
  selectedNetwork,
} from '../../../plugins/multi-network/networks.ts';

const OWN = { cniVersion: '1.0.0', name: 'waymark' };
const networks = (...delegates: { [key: string]: unknown }[]) =>
  networksOfDelegates(delegates, OWN).map(({ name, list }) => ({
    name,
    version: list.cniVersion,
    plugins: list.plugins.map(({ type, config }) => ({
      type,
      marks: Object.keys(config ?? {}).filter((key) => /master/i.test(key)),
    })),
  }));

t.test(
  'the first delegate is the pod’s own network, or the one that is marked; the mark is not passed on',
  async (t) => {
    const [a, b, c] = ['a', 'b', 'c'].map((type) => ({ type, name: type }));
    const names = (...delegates: ({ [key: string]: unknown } | undefined)[]) =>
      networks(...delegates.filter((each) => each !== undefined)).map(({ name }) => name);
    t.strictSame(names(a, b, c), ['a', 'b', 'c']);
    t.strictSame(names(a, { ...b, masterPlugin: true }, c), ['b', 'a', 'c']);
    t.strictSame(names(a, b, { ...c, masterplugin: true }), ['c', 'a', 'b']);
    const [marked] = networksOfDelegates([{ ...a, masterPlugin: true, masterplugin: true }], OWN);
    t.notMatch(marked?.list.source, /master/i);
  },
);

t.test('what has no name or version has the config’s; a list keeps its own', async (t) => {
  t.match(networks({ type: 'a' }), [{ name: 'waymark', version: '1.0.0', plugins: [{ type: 'a' }] }]);
  t.match(networks({ type: 'a', name: '' }), [{ name: 'waymark' }]);
  t.match(networks({ type: 'a', name: 'own', cniVersion: '0.4.0' }), [{ name: 'own', version: '0.4.0' }]);
  const list = { name: 'list', cniVersion: '0.3.1', plugins: [{ type: 'a' }, { type: 'b' }] };
  t.match(networks(list), [{ name: 'list', version: '0.3.1', plugins: [{ type: 'a' }, { type: 'b' }] }]);
  t.match(networks({ cniVersions: ['0.3.1', '0.4.0'], plugins: [{ type: 'a' }] }), [
    { name: 'waymark', version: '0.4.0' },
  ]);
});

t.test('a delegate that is wrong is named by its place', async (t) => {
  t.throws(() => networks({ type: 'a', name: 'a' }, { type: 'b', name: '-' }), /delegates\[1\]/);
});

t.test('a plugin that runs the cluster’s network itself is known by its type, alone or in a list', async (t) => {
  for (const type of ['multi-network', 'multus', 'multus-shim', 'kactus']) {
    t.ok(isMeta({ type }), type);
    t.ok(isMeta({ plugins: [{ type: 'bridge' }, { type }] }), `a list with ${type}`);
  }
  for (const config of [{ type: 'bridge' }, {}, { plugins: [{ type: 'bridge' }, null] }, { plugins: [] }])
    t.notOk(isMeta(config), JSON.stringify(config));
});

const PLACE = { containerID: 'c', netns: '/n', ifname: 'net1' };
const POD = podOf({ metadata: { namespace: 'shop', name: 'web', uid: 'u', resourceVersion: '1' } });

/** The network that a selection of `blue` comes to, in a cluster where it has this config. */
function selected(request: NetworkRequest, config: object, { origin = 'networks', resource = '', status = 200 } = {}) {
  const asked: unknown[] = [];
  const cluster = {
    definition: async (name: string) => {
      if (status !== 200) throw new ApiError('no', { status });
      const annotations = { 'k8s.v1.cni.cncf.io/resourceName': resource };
      return { metadata: { name, annotations }, spec: { config: JSON.stringify(config) } };
    },
  };
  const devices = {
    choose: async (_: unknown, ...of: unknown[]) => {
      asked.push(of);
      return '0000:03:02.1';
    },
  };
  const selection = { network: 'shop/blue', namespace: 'shop', name: 'blue', origin, request };
  const where = { config: { confDir: '/nowhere' }, cluster, devices, pathOf: (path: string) => path };
  return { asked, network: selectedNetwork(selection as never, POD, PLACE as never, where as never) };
}

t.test('a selection is the network of its definition, with what it asks for', async (t) => {
  const config = { cniVersion: '1.0.0', name: 'blue', type: 'bridge', capabilities: { mac: true } };
  const mac = '02:00:00:00:00:01';
  const { network, asked } = selected({ mac }, config);
  const { input, ...others } = await network;
  t.match(others, { name: 'shop/blue', isDefault: false, request: { mac }, list: { name: 'blue' } });
  t.match(input, { containerID: 'c', netns: '/n', ifname: 'net1' });
  t.notMatch(JSON.stringify(input.args), 'CNI_IFMAC');
  t.strictSame(asked, [], 'no device without a resource');
  const kactus = await selected({ mac }, config, { origin: 'kactus' }).network;
  t.strictSame(kactus.input.args.at(-1), ['CNI_IFMAC', mac]);
  t.notMatch(JSON.stringify((await selected({}, config, { origin: 'kactus' }).network).input.args), 'CNI_IFMAC');
});

t.test('a selection that no plugin can honor is refused', async (t) => {
  const config = { cniVersion: '1.0.0', name: 'blue', type: 'bridge' };
  const refused = (request: NetworkRequest, message: string) =>
    t.rejects(selected(request, config).network, { message });
  const text = (what: string) => `no plugin of shop/blue has the capability ${what} that the selection asks for`;
  await refused({ deviceID: 'x', infinibandGuid: 'y' }, text('deviceID, infinibandGUID'));
  await refused({ deviceID: '0000:03:02.1' }, text('deviceID'));
});

t.test('a device of a resource is in the plugins’ configs, and needs no capability', async (t) => {
  const config = { cniVersion: '1.0.0', name: 'blue', type: 'sriov' };
  const { network, asked } = selected({ deviceID: 'x' }, config, { resource: 'vendor/vf' });
  t.match((await network).list.plugins, [{ type: 'sriov' }]);
  t.match((await network).list.source, '0000:03:02.1');
  t.strictSame(asked, [['vendor/vf', 'x']]);
});

t.test('a network of the config is a file, the first of a folder that is not ours, or a definition', async (t) => {
  const list = (name: string, type: string) => JSON.stringify({ cniVersion: '1.0.0', name, plugins: [{ type }] });
  const folder = t.testdir({
    net: {
      ...{ '00-own.conflist': list('own', 'multi-network'), '05-readme.txt': list('text', 'bridge') },
      ...{ '10-b.conf': list('b', 'bridge'), '20-c.json': list('c', 'bridge') },
    },
    none: { 'a.txt': list('text', 'bridge') },
    conf: { 'x.conflist': list('byname', 'bridge') },
  });
  const named = (name: string, cluster?: object) => {
    const config = { multusNamespace: 'kube-system', confDir: '/conf' };
    return namedNetwork(name, { config, cluster, pathOf: (path: string) => join(folder, path) } as never);
  };
  t.equal((await named('/net/20-c.json')).name, 'c');
  t.equal((await named('/net')).name, 'b');
  await t.rejects(named('/none'), { message: '/none has no network configuration' });
  t.equal((await named('byname')).name, 'byname');
  const config = list('defined', 'bridge');
  const definition = async (name: string) => ({ metadata: { name: name.split('/')[1] }, spec: { config } });
  t.match(await named('byname', { definition }), { name: 'kube-system/byname', list: { name: 'defined' } });
  const failing = (status: number) => ({
    definition: async () => {
      throw new ApiError('no', { status });
    },
  });
  t.equal((await named('byname', failing(404))).name, 'byname');
  await t.rejects(named('byname', failing(500)), { message: 'no' });
});

t.test('a definition that is not there is told from one that nobody can tell of', async (t) => {
  const error = (status: number, origin?: string) =>
    selected({}, {}, { status, ...(origin && { origin }) }).network.catch((error: Error) => error);
  const missing = 'cannot find a network-attachment-definition (blue) in namespace (shop): no';
  t.match(await error(404), { message: missing, constructor: DefinitionMissing });
  t.match(await error(404, 'kactus'), {
    message: `${missing}, nor a network of kaloom.com in namespaces (shop) and (default)`,
  });
  t.match(await error(500), { message: 'no', constructor: ApiError });
  const selection = { network: 'shop/blue', namespace: 'shop', name: 'blue', origin: 'networks', request: {} };
  const where = { config: {}, cluster: undefined, pathOf: (path: string) => path };
  await t.rejects(selectedNetwork(selection as never, POD, PLACE as never, where as never), {
    message: 'nobody can be asked for definition shop/blue',
  });
});
