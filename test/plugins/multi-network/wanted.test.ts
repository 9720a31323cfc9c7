import t from 'tap';
import { consistentName } from '../../../lib/attachments/kactus.ts';
import { podOf } from '../../../lib/attachments/pod.ts';
import type { CniError } from '../../../lib/cni/errors.ts';
import type { Call } from '../../../lib/cni/runner.ts';
import { ApiError } from '../../../lib/kubernetes/errors.ts';
import type { KubeObject } from '../../../lib/kubernetes/object.ts';
import type { Cluster } from '../../../plugins/multi-network/cluster.ts';
import { parseMultiNetworkConfig } from '../../../plugins/multi-network/config.ts';
import {
  configuredNetworks,
  isChained,
  networkToAdd,
  podOfArgs,
  wantedNetworks,
} from '../../../plugins/multi-network/wanted.ts';

// What a pod is to get, by its annotations and the config. What it then has is in test/plugins/multi-network/birth.test.ts.

const NETWORKS = 'k8s.v1.cni.cncf.io/networks';
const OVERRIDE = 'v1.multus-cni.io/default-network';
const CLUSTER = { type: 'ptp', name: 'cluster', cniVersion: '1.0.0' };

/** Every definition exists but those named `absent`, with a plugin that takes any capability. */
const cluster: Pick<Cluster, 'definition'> = {
  definition: async (network) => {
    const [namespace = '', name = ''] = network.split('/');
    if (name === 'absent') throw new ApiError('not found', { status: 404 });
    const config = JSON.stringify({
      cniVersion: '1.0.0',
      name,
      type: 'bridge',
      capabilities: { mac: true, ips: true },
    });
    return { metadata: { name, namespace, uid: 'u', resourceVersion: '1' }, spec: { config } } as KubeObject;
  },
};

type Annotations = { [key: string]: string | object };

function asked(
  annotations: Annotations,
  keys: object = {},
  more: { args?: object; document?: object; namespace?: string } = {},
) {
  const { config } = parseMultiNetworkConfig({ cniVersion: '1.0.0', name: 'waymark', delegates: [CLUSTER], ...keys });
  const texts = Object.entries(annotations).map(([key, value]) => [
    key,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
  const pod = podOf({
    metadata: {
      ...{ name: 'web', namespace: more.namespace ?? 'shop', uid: 'u', resourceVersion: '1' },
      annotations: Object.fromEntries(texts),
    },
  });
  const request = {
    ...{ containerID: 'c', netns: '/n', ifname: 'eth0', args: more.args ?? {}, network: 'waymark', version: '1.0.0' },
    document: { name: 'waymark', cniVersion: '1.0.0', ...more.document },
  };
  const call = { request, place: { pathOf: (path: string) => path } } as unknown as Call;
  return { call, config, cluster: cluster as Cluster, pod, services: {} };
}

/** `network@interface`, with a star at the pod's own. */
async function wanted(...about: Parameters<typeof asked>): Promise<string[]> {
  const networks = await wantedNetworks(asked(...about));
  return networks.map(({ name, input, isDefault }) => `${name}@${input.ifname}${isDefault ? '*' : ''}`);
}

t.test('the config’s own network first, then its others, then what the pod selects, by place', async (t) => {
  t.strictSame(await wanted({}), ['cluster@eth0*']);
  const other = { type: 'ptp', name: 'other', cniVersion: '1.0.0' };
  const delegates = { delegates: [CLUSTER, other] };
  t.strictSame(await wanted({ [NETWORKS]: 'blue,far/green' }, delegates), [
    'cluster@eth0*',
    'other@net1',
    'shop/blue@net2',
    'far/green@net3',
  ]);
});

t.test('names that are asked for are kept, and a number that is taken is not counted up', async (t) => {
  t.strictSame(await wanted({ [NETWORKS]: 'blue@lan0,green' }), ['cluster@eth0*', 'shop/blue@lan0', 'shop/green@net2']);
  t.strictSame(await wanted({ [NETWORKS]: 'blue@net2,green' }), ['cluster@eth0*', 'shop/blue@net2', 'shop/green@net1']);
  t.strictSame(await wanted({ [NETWORKS]: 'blue,blue' }), ['cluster@eth0*', 'shop/blue@net1', 'shop/blue@net2']);
});

t.test('consistent names follow from the network, and two of one network need names of their own', async (t) => {
  const consistent = { interfaceNames: 'consistent' };
  t.strictSame(await wanted({ [NETWORKS]: 'blue,green@lan0' }, consistent), [
    'cluster@eth0*',
    `shop/blue@${consistentName('blue')}`,
    'shop/green@lan0',
  ]);
  await t.rejects(wanted({ [NETWORKS]: 'blue,blue' }, consistent), {
    code: 7,
    message: /several networks would have this interface name/,
  });
  await t.rejects(wanted({ [NETWORKS]: `blue,green@${consistentName('blue')}` }, consistent), { code: 7 });
});

t.test('another network for eth0, by either annotation', async (t) => {
  t.strictSame(await wanted({ [OVERRIDE]: 'special', [NETWORKS]: 'blue' }), [
    'kube-system/special@eth0*',
    'shop/blue@net1',
  ]);
  t.strictSame(await wanted({ [OVERRIDE]: 'far/special' }), ['far/special@eth0*']);
  const other = { delegates: [CLUSTER, { type: 'ptp', name: 'other', cniVersion: '1.0.0' }] };
  t.strictSame(await wanted({ [OVERRIDE]: 'special' }, other), ['kube-system/special@eth0*', 'other@net1']);
  const primary = { networks: [{ name: 'main', isPrimary: true }, { name: 'blue' }] };
  t.strictSame(await wanted(primary, other), ['shop/main@eth0*', `shop/blue@${consistentName('blue')}`], 'and alone');
  t.strictSame(await wanted({ ...primary, [OVERRIDE]: 'special' }), [
    'shop/main@eth0*',
    `shop/blue@${consistentName('blue')}`,
  ]);
});

t.test('that annotation names one network, which may be used', async (t) => {
  const said = async (value: string, keys: object = {}) => {
    const error = await wanted({ [OVERRIDE]: value }, keys).catch((error: CniError) => error);
    t.match(error, { code: 7 });
    return (error as CniError).message.replace('annotation v1.multus-cni.io/default-network: ', '');
  };
  t.equal(await said('a,b'), 'it names 2 networks, and must name one');
  t.equal(await said(''), 'it names 0 networks, and must name one');
  t.match(await said('[{'), /^it is not JSON/);
  t.match(await said('[{"name":"A"}]'), /^"name" is not a DNS name/);
  t.match(await said('far/special', { namespaceIsolation: true }), /^namespace isolation: /);
  t.strictSame(await wanted({ [OVERRIDE]: 'special' }, { namespaceIsolation: true }), ['kube-system/special@eth0*']);
  t.strictSame(await wanted({ [OVERRIDE]: 'shop/special' }, { namespaceIsolation: true }), ['shop/special@eth0*']);
});

t.test('in a chain the plugins in front make eth0, so that nothing else is selected for it', async (t) => {
  const chained = { delegates: undefined };
  t.strictSame(await wanted({}, chained), []);
  t.strictSame(await wanted({ [NETWORKS]: 'blue' }, chained), ['shop/blue@net1']);
  for (const annotations of [{ [OVERRIDE]: 'special' }, { networks: [{ name: 'main', isPrimary: true }] }])
    await t.rejects(wanted(annotations, chained), {
      message: /for its first interface, which the plugins in front make/,
    });
  const isOf = (keys: object) => isChained(parseMultiNetworkConfig({ name: 'n', cniVersion: '1.0.0', ...keys }).config);
  t.strictSame(
    [{}, { delegates: [] }, { clusterNetwork: '' }, { delegates: [CLUSTER] }, { clusterNetwork: 'a' }].map(isOf),
    [true, true, true, false, false],
  );
});

t.test('clusterNetwork, and defaultNetworks but for the pods of the system', async (t) => {
  const keys = { delegates: undefined, clusterNetwork: 'main', defaultNetworks: ['every', 'each'] };
  const names = ['kube-system/main@eth0*', 'kube-system/every@net1', 'kube-system/each@net2'];
  t.strictSame(await wanted({ [NETWORKS]: 'blue' }, keys), [...names, 'shop/blue@net3']);
  t.strictSame(await wanted({}, keys, { namespace: 'kube-system' }), names.slice(0, 1));
  t.strictSame(await wanted({}, { ...keys, systemNamespaces: ['shop'] }), names.slice(0, 1));
  const { length } = await configuredNetworks(asked({}, keys), false);
  t.equal(length, 3);
});

t.test('what cannot be honored refuses the pod, with each selection and why', async (t) => {
  const said = (annotations: Annotations, keys: object = {}) =>
    wanted(annotations, keys).then(
      () => '',
      ({ message, details }: CniError) => details ?? message,
    );
  const about = 'the pod’s network annotation cannot be honored: ';
  t.match(await said({ [NETWORKS]: '[{' }), new RegExp(`^${about}it is not JSON`));
  t.equal(
    await said({ [NETWORKS]: 'far/blue,green@lan0' }, { namespaceIsolation: true }),
    `${about}far/blue: namespace isolation: a pod in shop may not use definitions in far`,
  );
  t.match(await said({ [NETWORKS]: [{ name: 'blue', interface: 'eth0' }] }), new RegExp(`^${about}shop/blue@eth0: `));
  t.match(await said({ [NETWORKS]: [7] }), new RegExp(`^${about}a selection is not an object`));
  await t.rejects(wanted({ [NETWORKS]: 'absent' }), {
    message: 'cannot find a network-attachment-definition (absent) in namespace (shop): not found',
  });
  await t.rejects(wanted({ networks: [{ name: 'absent' }] }), {
    message: /nor a network of kaloom\.com in namespaces \(shop\) and \(default\)$/,
  });
});

t.test('what the runtime gives for capabilities, and variables of others, reach every network', async (t) => {
  const [own, blue] = await wantedNetworks(
    asked(
      { [NETWORKS]: [{ name: 'blue', mac: '02:00:00:00:00:01' }] },
      {},
      {
        args: { K8S_POD_NAME: 'of the runtime', EXTRA: 'x' },
        document: { runtimeConfig: { mac: 'ignored', bandwidth: { ingressRate: 1 } } },
      },
    ),
  );
  t.match(own?.input.capabilityArgs, { mac: 'ignored', bandwidth: { ingressRate: 1 } });
  t.match(blue?.input.capabilityArgs, { mac: '02:00:00:00:00:01', bandwidth: { ingressRate: 1 } });
  for (const network of [own, blue]) {
    const args = new Map(network?.input.args);
    t.equal(args.get('K8S_POD_NAME'), 'web', 'the pod’s own come first');
    t.equal(args.get('EXTRA'), 'x');
    t.equal(network?.input.args.filter(([key]) => key === 'K8S_POD_NAME').length, 1);
  }
  t.match(own?.input, { containerID: 'c', netns: '/n', ifname: 'eth0' });
});

t.test('a network for a running pod, as kactus’ podagent names it', async (t) => {
  const added = await networkToAdd(asked({}), 'blue', '02:00:00:00:00:01', []);
  t.match(added, { name: 'shop/blue', isDefault: false, input: { ifname: consistentName('blue'), containerID: 'c' } });
  t.strictSame(new Map(added.input.args).get('CNI_IFMAC'), '02:00:00:00:00:01');
  for (const mac of ['', undefined]) {
    const plain = await networkToAdd(asked({}), 'blue', mac, []);
    t.notOk(new Map(plain.input.args).has('CNI_IFMAC'));
  }
  await t.rejects(networkToAdd(asked({}), 'A', undefined, []), { code: 7, message: /"name" is not a DNS name/ });
});

t.test('without the API, a pod is what CNI_ARGS say of it', async (t) => {
  const none = {
    resourceVersion: '',
    isRunning: false,
    isOnHostNetwork: false,
    address: undefined,
    networks: undefined,
  };
  const nothing = { kactusNetworks: undefined, defaultNetwork: undefined, status: undefined };
  t.strictSame(podOfArgs({ args: { K8S_POD_NAMESPACE: 'shop', K8S_POD_NAME: 'web', K8S_POD_UID: 'u' } }), {
    ...{ namespace: 'shop', name: 'web', uid: 'u', sandboxUid: 'u', ...none, ...nothing },
  });
  t.strictSame(podOfArgs({ args: {} }), { namespace: '', name: '', uid: '', sandboxUid: '', ...none, ...nothing });
});
