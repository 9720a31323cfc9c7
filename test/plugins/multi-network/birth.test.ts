import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ApiError } from '../../../lib/kubernetes/errors.ts';
import { refuse } from '../../support/kubernetes/api-stand-in.ts';
import { clusterOf, multiNetworkNode } from '../../support/kubernetes/multi-network-node.ts';
import { run } from '../../support/namespaces/namespace.ts';
import { noReferencePlugins } from '../../support/plugins/chain.ts';

// What a pod gets when it starts, and that nothing is left when it ends. A stand-in for the API server; the rest is real.

const NETWORKS = 'k8s.v1.cni.cncf.io/networks';
const OVERRIDE = 'v1.multus-cni.io/default-network';
const skip = noReferencePlugins;

t.test('a pod without annotations gets the network of the first delegate, and no other', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  const pod = node.pod('plain');
  const result = await pod.add();
  t.strictSame(Object.keys(pod.links()), ['eth0']);
  t.equal(result.cniVersion, '1.0.0');
  t.match(
    result.interfaces?.find(({ name }) => name === 'eth0'),
    { sandbox: pod.scratch.path },
  );
  t.match(pod.status(), [{ name: 'cluster', interface: 'eth0', ips: pod.links().eth0, default: true, dns: {} }]);
  t.equal(pod.status().length, 1);
  t.strictSame(node.events('AddedInterface'), [`Add eth0 [${pod.links().eth0}/24] from cluster`]);
  t.equal((await pod.run('CHECK')).code, 0);
  t.equal((await pod.run('DEL')).code, 0);
  t.strictSame(pod.links(), {});
  t.strictSame(node.leftovers(), []);
});

t.test('the annotation’s networks follow in its order, with names by their place or as asked', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  for (const name of ['blue', 'green', 'red']) node.define(name);
  const pod = node.pod('web', {
    [NETWORKS]: [{ name: 'blue' }, { name: 'green', interface: 'lan0' }, { name: 'red' }],
  });
  const result = await pod.add();
  const links = pod.links();
  t.strictSame(Object.keys(links).sort(), ['eth0', 'lan0', 'net1', 'net3']);
  t.strictSame(
    result.ips?.map(({ address }) => address.split('/')[0]),
    links.eth0,
    'the result is the default network’s',
  );
  t.strictSame(
    pod.status().map(({ name, interface: ifname, ips, default: isDefault }) => [name, ifname, ips, isDefault]),
    [
      ['cluster', 'eth0', links.eth0, true],
      ['default/blue', 'net1', links.net1, undefined],
      ['default/green', 'lan0', links.lan0, undefined],
      ['default/red', 'net3', links.net3, undefined],
    ],
  );
  for (const { interface: ifname, mac } of pod.status()) t.equal(mac, pod.mac(String(ifname)));
  t.equal((await pod.run('CHECK')).code, 0);

  const file = join(node.folder, 'cni', pod.containerID);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.equal(statSync(join(node.folder, 'cni')).mode & 0o777, 0o700);

  // The pod, the definitions and the API server are gone.
  await node.api.stop();
  t.equal((await pod.run('DEL')).code, 0);
  t.strictSame(pod.links(), {});
  t.strictSame(node.leftovers(), []);
  t.equal((await pod.run('DEL')).code, 0, 'DEL twice');
  await node.api.start();
});

t.test('the same network twice, and the short form, as Multus takes them', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  node.define('blue');
  node.define('far', undefined, 'other');
  const pod = node.pod('web', { [NETWORKS]: 'blue, other/far@far0 ,blue' });
  await pod.add();
  t.strictSame(Object.keys(pod.links()).sort(), ['eth0', 'far0', 'net1', 'net3']);
  t.strictSame(
    pod.status().map(({ name }) => name),
    ['cluster', 'default/blue', 'other/far', 'default/blue'],
  );
  t.equal((await pod.run('DEL')).code, 0);
  t.strictSame(node.leftovers(), []);
});

t.test('a later network that fails takes all back, also what was made before it', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  node.define('blue');
  node.define('bad', { cniVersion: '1.0.0', name: 'bad', type: 'macvlan', master: 'absent0' });
  const pod = node.pod('web', { [NETWORKS]: 'blue,bad' });
  const { code, document } = await pod.run('ADD');
  t.equal(code, 1);
  t.match(document?.msg, /default\/bad.*macvlan.*Link not found/s);
  t.strictSame(pod.links(), {});
  t.strictSame(node.leftovers(), []);
  t.strictSame(pod.status(), []);
});

t.test(
  'a missing definition is an event that names it and where it was looked for; the pod can be tried again',
  { skip },
  async (t) => {
    const node = await multiNetworkNode(t);
    const pod = node.pod('web', { [NETWORKS]: 'later' }, 'shop');
    const { code, document } = await pod.run('ADD');
    t.equal(code, 1);
    t.match(document, { code: 11, msg: /later.*shop/ });
    t.match(node.events('NoNetworkFound'), [
      /^cannot find a network-attachment-definition \(later\) in namespace \(shop\): /,
    ]);
    t.strictSame(pod.links(), {});
    t.strictSame(node.leftovers(), []);
    node.define('later', undefined, 'shop');
    await pod.add();
    t.strictSame(Object.keys(pod.links()).sort(), ['eth0', 'net1']);
  },
);

t.test('what cannot be honored fails, says so and changes nothing', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  node.define('blue');
  const table: [unknown, RegExp][] = [
    [[{ name: 'blue', ips: '10.1.1.1' }], /"ips" is not a list/],
    [[{ name: 'blue', portMappings: [{ hostPort: 80 }] }], /capability portMappings/],
    [[{ name: 'blue', bandwidth: { ingressRate: 1 } }], /capability bandwidth/],
    [[{ name: 'blue', ips: ['192.0.2.9'] }], /192\.0\.2\.9/],
    [[{ name: 'blue', mac: 'zz' }], /"mac" is not a hardware address/],
    [[{ name: 'blue', interface: 'eth0' }], /eth0/],
    [[{ name: 'blue', interface: 'a/b' }], /"interface"/],
    [
      [
        { name: 'blue', interface: 'x0' },
        { name: 'blue', interface: 'x0' },
      ],
      /selected more than once/,
    ],
    ['[{', /not JSON/],
    ['{"name": "blue"}', /not a list/],
    ['a/b/c', /"a\/b\/c" is not/],
  ];
  for (const [index, [annotation, expected]] of table.entries()) {
    const pod = node.pod(`web${index}`, { [NETWORKS]: annotation });
    const { code, document } = await pod.run('ADD');
    t.equal(code, 1, String(expected));
    t.match(`${document?.msg} ${document?.details}`, expected);
    t.strictSame(pod.links(), {});
    t.strictSame(node.leftovers(), []);
  }
});

t.test('addresses and hardware addresses that are asked for are what the pod gets', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  const blue = node.bridge('blue');
  node.define('blue', { ...blue, capabilities: { ips: true, mac: true } });
  const subnet = String((blue.ipam as { ranges: { subnet: string }[][] }).ranges[0]?.[0]?.subnet).replace('0/24', '');
  const selection = { name: 'blue', ips: [`${subnet}77`], mac: '02:00:00:00:00:77' };
  const pod = node.pod('web', { [NETWORKS]: [selection] });
  await pod.add();
  t.strictSame(pod.links().net1, [`${subnet}77`]);
  t.equal(pod.mac('net1'), '02:00:00:00:00:77');
});

t.test('lists, cni-args and capabilities of the runtime reach the plugins', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  const { cniVersion, name, ...bridge } = node.bridge('blue');
  const dataDir = join(node.folder, 'tuning');
  const tuning = { type: 'tuning', dataDir, sysctl: { 'net.ipv4.conf.IFNAME.arp_filter': '1' } };
  node.define('blue', { cniVersion, name, plugins: [bridge, tuning] });
  const pod = node.pod('web', { [NETWORKS]: [{ name: 'blue', 'cni-args': { mac: '02:00:00:00:00:09' } }] });
  await pod.add();
  t.equal(pod.mac('net1'), '02:00:00:00:00:09');
  const sysctl = ['netns', 'exec', pod.scratch.name, 'sysctl', '-n', 'net.ipv4.conf.net1.arp_filter'];
  t.equal(run('ip', sysctl).trim(), '1');
  t.equal((await pod.run('CHECK')).code, 0);
});

t.test('the default network of one pod can be another definition, by Multus’ annotation', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  node.define('special', undefined, 'kube-system');
  const pod = node.pod('web', { [OVERRIDE]: 'special' });
  const result = await pod.add();
  t.strictSame(Object.keys(pod.links()), ['eth0']);
  t.match(pod.status(), [{ name: 'kube-system/special', interface: 'eth0', default: true }]);
  t.match(result.interfaces, [{ name: 'br-special' }, {}, { name: 'eth0' }]);
  const two = node.pod('two', { [OVERRIDE]: 'special,special' });
  t.match((await two.run('ADD')).document, { code: 7, msg: /default-network.*2 networks/ });
});

t.test(
  'clusterNetwork and defaultNetworks: files, folders, definitions, and not for system pods',
  { skip },
  async (t) => {
    const node = await multiNetworkNode(t);
    const file = join(node.folder, 'conf', '10-cluster.conflist');
    const { cniVersion, name, ...plugin } = node.bridge('filed');
    writeFileSync(
      join(node.folder, 'conf', '00-waymark.conflist'),
      JSON.stringify({ cniVersion, name: 'w', plugins: [{ type: 'multi-network' }] }),
    );
    writeFileSync(file, JSON.stringify({ cniVersion, name, plugins: [plugin] }));
    node.define('every', undefined, 'kube-system');
    for (const clusterNetwork of [file, join(node.folder, 'conf'), 'filed']) {
      const keys = { delegates: undefined, clusterNetwork, defaultNetworks: ['every'] };
      const pod = node.pod(`web${clusterNetwork.length}`);
      await pod.add({ config: keys });
      t.strictSame(
        pod.status().map((entry) => [entry.name, entry.interface]),
        [
          ['filed', 'eth0'],
          ['kube-system/every', 'net1'],
        ],
        clusterNetwork,
      );
      t.equal((await pod.run('DEL', { config: keys })).code, 0);
      const system = node.pod(`system${clusterNetwork.length}`, {}, 'kube-system');
      await system.add({ config: keys });
      t.strictSame(Object.keys(system.links()), ['eth0']);
      t.equal((await system.run('DEL', { config: keys })).code, 0);
    }
    t.strictSame(node.leftovers(), []);
  },
);

t.test(
  'namespace isolation: a pod may use its own and the global namespaces’ definitions, no others',
  { skip },
  async (t) => {
    const node = await multiNetworkNode(t);
    for (const namespace of ['default', 'shop', 'other', 'shared']) node.define('blue', undefined, namespace);
    const isolated = { namespaceIsolation: true, globalNamespaces: 'default, shared' };
    const allowed = node.pod('a', { [NETWORKS]: 'blue,default/blue,shared/blue' }, 'shop');
    await allowed.add({ config: isolated });
    t.equal(allowed.status().length, 4);
    const refused = node.pod('b', { [NETWORKS]: 'other/blue' }, 'shop');
    t.match((await refused.run('ADD', { config: isolated })).document, { code: 7, msg: /namespace isolation.*other/ });
    await node.pod('c', { [NETWORKS]: 'other/blue' }, 'shop').add();
    node.define('special', undefined, 'kube-system');
    const own = node.pod('d', { [OVERRIDE]: 'special' }, 'shop');
    await own.add({ config: isolated });
    const foreign = node.pod('e', { [OVERRIDE]: 'other/blue' }, 'shop');
    t.match((await foreign.run('ADD', { config: isolated })).document, { code: 7, msg: /namespace isolation.*other/ });
  },
);

t.test(
  'a DEL that fails for one network goes on with the others, reports it, and can be repeated',
  { skip },
  async (t) => {
    const node = await multiNetworkNode(t);
    for (const name of ['blue', 'green']) node.define(name);
    const pod = node.pod('web', { [NETWORKS]: 'blue,green' });
    await pod.add();
    const results = join(node.folder, 'cni/results');
    const before = readdirSync(results).length;
    t.equal(before, 3);
    // The leases of one network are in a folder that is a file now.
    const record = join(node.folder, 'cni', pod.containerID);
    const text = readFileSync(record, 'utf8');
    const entries = JSON.parse(text);
    const broken = JSON.parse(entries[1].waymark.list);
    broken.plugins[0].type = 'absent-plugin';
    entries[1].waymark.list = JSON.stringify(broken);
    writeFileSync(record, JSON.stringify(entries));
    const { code, document } = await pod.run('DEL');
    t.equal(code, 1);
    t.match(document?.msg, /default\/blue.*absent-plugin/);
    t.strictSame(Object.keys(pod.links()), ['net1']);
    t.match(JSON.parse(readFileSync(record, 'utf8')), [{ Name: 'default/blue' }]);
    writeFileSync(record, JSON.stringify([JSON.parse(text)[1]]));
    t.equal((await pod.run('DEL')).code, 0);
    t.strictSame(node.leftovers(), []);
  },
);

t.test(
  'ADD twice is success and makes nothing new; after an ADD that was cut short it begins anew',
  { skip },
  async (t) => {
    const node = await multiNetworkNode(t);
    node.define('blue');
    const pod = node.pod('web', { [NETWORKS]: 'blue' });
    const first = await pod.add();
    const links = pod.links();
    t.strictSame(await pod.add(), first);
    t.strictSame(pod.links(), links);
    const record = join(node.folder, 'cni', pod.containerID);
    const entries = JSON.parse(readFileSync(record, 'utf8'));
    entries[1].waymark.state = 'begun';
    writeFileSync(record, JSON.stringify(entries));
    t.match((await pod.run('CHECK')).document, { code: 106, msg: /default\/blue: its ADD did not come to an end/ });
    await pod.add();
    t.strictSame(Object.keys(pod.links()), Object.keys(links));
    t.equal((await pod.run('CHECK')).code, 0);
    t.equal((await pod.run('DEL')).code, 0);
    t.strictSame(node.leftovers(), []);
  },
);

t.test('CHECK sees what is wrong with any network', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  for (const name of ['blue', 'green']) node.define(name);
  const pod = node.pod('web', { [NETWORKS]: 'blue,green' });
  await pod.add();
  pod.scratch.ip('address flush dev net1');
  pod.scratch.ip('link del net2');
  const { document } = await pod.run('CHECK');
  t.equal(document?.code, 106);
  t.match(`${document?.msg} ${document?.details}`, /default\/blue.*default\/green/s);
});

t.test('GC takes away what is not valid, of every network; STATUS asks the plugins', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  node.define('blue', node.bridge('blue', { cniVersion: '1.1.0' }));
  const [kept, gone] = [node.pod('kept', { [NETWORKS]: 'blue' }), node.pod('gone', { [NETWORKS]: 'blue' })];
  await kept.add();
  await gone.add();
  const valid = {
    'cni.dev/valid-attachments': [{ containerID: kept.containerID, ifname: 'eth0' }],
    cniVersion: '1.1.0',
  };
  const { code, stdout } = await gone.run('GC', { config: valid });
  t.equal(code, 0, stdout);
  t.strictSame(Object.keys(kept.links()).sort(), ['eth0', 'net1']);
  t.notOk(
    node.leftovers().some((file) => file.includes(gone.containerID)),
    'records and results',
  );
  const leases = node.leftovers().filter((file) => /^10\./.test(file));
  t.strictSame(leases.sort(), [...(kept.links().eth0 ?? []), ...(kept.links().net1 ?? [])].sort());
  const failing = [{ name: 'x', cniVersion: '1.1.0', type: 'absent-plugin' }];
  const collected = await kept.run('GC', { config: { ...valid, delegates: failing } });
  t.match(collected.document, { code: 999, msg: /^what could not be collected: network x: .*absent-plugin/ });
  const asked = { config: { cniVersion: '1.1.0' } };
  t.equal((await kept.run('STATUS', asked)).code, 0);
  const absent = {
    config: { cniVersion: '1.1.0', delegates: failing },
  };
  t.match((await kept.run('STATUS', absent)).document, { code: 50, msg: /absent-plugin/ });
  const unready = { config: { cniVersion: '1.1.0', readinessindicatorfile: '/nowhere/ready' } };
  t.match((await kept.run('STATUS', unready)).document, { code: 50, msg: /\/nowhere\/ready/ });
});

t.test(
  'an API server that is away for a moment costs a delay; one that stays away fails, and all is undone',
  { skip },
  async (t) => {
    const node = await multiNetworkNode(t);
    node.define('blue');
    let refusals = 3;
    node.api.fault = (_, response) => {
      if (refusals-- <= 0) return undefined;
      refuse(response, 503, 'ServiceUnavailable', 'starting');
      return true;
    };
    const pod = node.pod('web', { [NETWORKS]: 'blue' });
    await pod.add();
    t.equal(pod.status().length, 2);
    node.api.fault = ({ method }, response) => {
      if (method !== 'PATCH') return undefined;
      refuse(response, 403, 'Forbidden', 'may not patch');
      return true;
    };
    const other = node.pod('other', { [NETWORKS]: 'blue' });
    t.match((await other.run('ADD')).document, { code: 11, msg: /status cannot be written: may not patch/ });
    t.strictSame(other.links(), {});
  },
);

t.test('a status that only somebody else could write later fails an ADD, and it is taken back', { skip }, async (t) => {
  for (const [mayPublishLater, code] of [
    [undefined, 1],
    [false, 1],
    [true, 0],
  ] as const) {
    const node = await multiNetworkNode(t, (api) => {
      const cluster = clusterOf(api);
      cluster.publish = () => Promise.reject(new ApiError('starting', { status: 503 }));
      return { cluster: async () => cluster, ...(mayPublishLater !== undefined && { mayPublishLater }) };
    });
    node.define('blue');
    const pod = node.pod('web', { [NETWORKS]: 'blue' });
    t.equal((await pod.run('ADD')).code, code, `${mayPublishLater}`);
    t.strictSame(Object.keys(pod.links()).sort(), code === 0 ? ['eth0', 'net1'] : []);
  }
});

t.test('a pod that is not there, or is another one of its name, does not start', { skip }, async (t) => {
  const node = await multiNetworkNode(t);
  const pod = node.pod('web');
  t.match((await pod.run('ADD', { args: ';K8S_POD_UID=another' })).document, { code: 11, msg: /UID uid-web.*another/ });
  node.api.delete('/api/v1/namespaces/default/pods/web');
  t.match((await pod.run('ADD')).document, { code: 11, msg: /default\/web does not exist/ });
  t.strictSame(pod.links(), {});
});
