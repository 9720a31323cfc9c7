import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { multiNetworkNode } from '../../support/kubernetes/multi-network-node.ts';
import { noReferencePlugins } from '../../support/plugins/chain.ts';

// kactus' annotation, names and variables. A stand-in for the API server; the rest is real.

const skip = noReferencePlugins;
const [GREEN, BLUE] = ['net9f27410725ab', 'net48d6215903df'];

t.test('the networks green and blue have the interfaces that kactus gives them', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  for (const name of ['green', 'blue']) node.define(name);
  const pod = node.pod('app1', { networks: '[ { "name": "green" }, { "name": "blue" } ]' });
  await pod.add();
  t.strictSame(Object.keys(pod.links()).sort(), ['eth0', BLUE, GREEN].sort());
  t.strictSame(
    pod.status().map((entry) => [entry.name, entry.interface]),
    [
      ['cluster', 'eth0'],
      ['default/green', GREEN],
      ['default/blue', BLUE],
    ],
  );
  t.equal((await pod.run('DEL')).code, 0);
  t.strictSame(node.leftovers(), []);
});

t.test('ifMac is the interface’s hardware address; a malformed one fails', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  node.define('green');
  const pod = node.pod('app1', { networks: [{ name: 'green', ifMac: '00:11:22:33:44:55' }] });
  await pod.add();
  t.equal(pod.mac(GREEN), '00:11:22:33:44:55');
  const wrong = node.pod('app2', { networks: [{ name: 'green', ifMac: '00:11' }] });
  t.match((await wrong.run('ADD')).document, { code: 7, msg: /default\/green.*"mac" is not a hardware address/ });
});

t.test('isPrimary makes a network the pod’s eth0, and leaves the configured ones out', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  node.define('green', node.bridge('green', { isGateway: true, isDefaultGateway: true }));
  node.define('blue');
  const two = { delegates: [node.bridge('cluster'), node.bridge('every')] };
  const networks = [{ name: 'green', isPrimary: true, ifMac: '00:11:22:33:44:55' }, { name: 'blue' }];
  const pod = node.pod('app1', { networks });
  const result = await pod.add({ config: two });
  t.strictSame(Object.keys(pod.links()).sort(), ['eth0', BLUE].sort());
  t.match(pod.status(), [{ name: 'default/green', interface: 'eth0', default: true }, { name: 'default/blue' }]);
  t.equal(pod.mac('eth0'), '00:11:22:33:44:55');
  t.match(result.interfaces, [{ name: 'br-green' }]);
  t.match(pod.scratch.ipJson('route show default'), [{ dev: 'eth0' }]);
  const both = node.pod('app2', { networks: networks.map((network) => ({ ...network, isPrimary: true })) });
  t.match((await both.run('ADD', { config: two })).document, { code: 7, msg: /only one network can be primary/ });
});

t.test('the delegate with masterPlugin is eth0, wherever it stands', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  const { name: _, cniVersion: __, ...nameless } = node.bridge('unused');
  const pod = node.pod('app1');
  const config = { delegates: [node.bridge('every'), { ...nameless, masterPlugin: true }] };
  await pod.add({ config });
  t.strictSame(
    pod.status().map((entry) => [entry.name, entry.interface, entry.default]),
    [
      ['waymark', 'eth0', true],
      ['every', 'net1', undefined],
    ],
    'without a name it has the config’s',
  );
});

t.test('consistent names for all networks, and none that two would have', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  for (const name of ['green', 'blue']) node.define(name);
  const config = { interfaceNames: 'consistent' };
  const annotation = { 'k8s.v1.cni.cncf.io/networks': 'green,blue@lan0' };
  const pod = node.pod('app1', annotation);
  await pod.add({ config });
  t.strictSame(Object.keys(pod.links()).sort(), ['eth0', 'lan0', GREEN].sort());
  const twice = node.pod('app2', { 'k8s.v1.cni.cncf.io/networks': 'green,green' });
  t.match((await twice.run('ADD', { config })).document, {
    code: 7,
    msg: /several networks would have this interface/,
  });
});

t.test('another annotation of the name "networks" selects nothing', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  const pod = node.pod('app1', { networks: 'internal' });
  await pod.add();
  t.strictSame(Object.keys(pod.links()), ['eth0']);
});

t.test('a Network of kaloom.com in "default" serves every namespace', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  node.api.kinds.add('networks');
  const { type: plugin, cniVersion: _, name: __, ...config } = node.bridge('green');
  node.api.put('/apis/kaloom.com/v1/namespaces/default/networks/green', {
    apiVersion: 'kaloom.com/v1',
    metadata: { name: 'green', namespace: 'default' },
    spec: { plugin, config: JSON.stringify({ ...config, cniVersion: '1.0.0' }) },
  });
  const pod = node.pod('app1', { networks: [{ name: 'green' }] }, 'shop');
  await pod.add();
  t.ok(pod.links()[GREEN]);
  const missing = node.pod('app2', { networks: [{ name: 'absent' }] }, 'shop');
  t.equal((await missing.run('ADD')).document?.code, 11);
  t.match(node.events('NoNetworkFound'), [/\(absent\).*\(shop\).*kaloom\.com.*\(shop\) and \(default\)/]);
});

t.test('K8S_POD_NETWORK adds and deletes one network of a running pod, as the podagent asks', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  for (const name of ['green', 'blue']) node.define(name);
  const pod = node.pod('app1', { networks: [{ name: 'green' }] });
  await pod.add();
  const args = ';K8S_POD_NETWORK=blue;K8S_POD_IFMAC=00:11:22:33:44:66';
  const result = await pod.add({ args });
  t.match(result.interfaces?.at(-1), { name: BLUE, mac: '00:11:22:33:44:66' });
  t.strictSame(await pod.add({ args }), result, 'twice');
  t.strictSame(Object.keys(pod.links()).sort(), ['eth0', BLUE, GREEN].sort());
  t.match(pod.status(), [{ default: true }, { name: 'default/green' }, { name: 'default/blue', interface: BLUE }]);
  t.equal((await pod.run('CHECK')).code, 0);
  t.equal((await pod.run('DEL', { args })).code, 0);
  t.strictSame(Object.keys(pod.links()).sort(), ['eth0', GREEN].sort());
  t.equal(pod.status().length, 2);
  await pod.add({ args });
  t.equal((await pod.run('DEL')).code, 0);
  t.strictSame(pod.links(), {});
  t.strictSame(node.leftovers(), []);
  const wrong = await pod.run('ADD', { args: ';K8S_POD_NETWORK=absent' });
  t.equal(wrong.document?.code, 11);
});

t.test('pods that kactus and Multus made are deleted by their files', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  // What each would have written for these networks; the interfaces are made with an ADD of ours.
  for (const name of ['green', 'blue']) node.define(name);
  const configs = [node.bridge('cluster'), node.bridge('green'), node.bridge('blue')];
  const kactus = configs.map((config, at) => ({
    ...config,
    ...(at === 0 ? { masterPlugin: true } : { networkName: config.name }),
  }));
  const multus = configs.map((config, at) => ({
    Conf: config,
    ConfList: {},
    Name: at === 0 ? 'cluster' : `default/${config.name}`,
    ...(at === 2 && { ifnameRequest: 'lan0' }),
    Bytes: Buffer.from(JSON.stringify(config)).toString('base64'),
  }));
  for (const [name, file, annotation] of [
    ['kactus', kactus, { networks: [{ name: 'green' }, { name: 'blue' }] }],
    ['multus', multus, { 'k8s.v1.cni.cncf.io/networks': 'green,blue@lan0' }],
  ] as const) {
    const pod = node.pod(name, annotation);
    await pod.add();
    t.equal(Object.keys(pod.links()).length, 3);
    writeFileSync(join(node.folder, 'cni', pod.containerID), JSON.stringify(file));
    t.equal((await pod.run('DEL')).code, 0);
    t.strictSame(pod.links(), {}, name);
    t.strictSame(node.leftovers(), [], name);
  }
});
