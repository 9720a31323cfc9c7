import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { readTopologyFile } from '../../../plugins/static-route/topology.ts';
import {
  noNamespaces,
  type Scratch,
  scratchFolder,
  scratchNamespace,
  settle,
} from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';
import { TOPOLOGY_PODS, TOPOLOGY_YAML } from '../../support/plugins/topology.ts';

type Pod = Scratch & { folder: string; verb(command: string, keys: object): ReturnType<typeof call> };

function podAt(t: Test, ...addresses: string[]): Pod {
  const pod = scratchNamespace(t);
  const folder = scratchFolder(t);
  pod.ip('link add net1 type veth peer name peer');
  pod.ip('link set peer up');
  pod.ip('link set net1 up');
  for (const address of addresses) pod.ip(`address add ${address} dev net1${address.includes(':') ? ' nodad' : ''}`);
  settle(pod);
  const config = { cniVersion: '1.1.0', name: 'dds', type: 'static-route', dataDir: join(folder, 'data') };
  return {
    ...pod,
    folder,
    verb: (command, keys) =>
      call(staticRoute, variables(command, pod.path, { CNI_IFNAME: 'net1' }), { ...config, ...keys }),
  };
}

function routesOf(pod: Scratch): string[] {
  return pod.ipJson('route show proto 87').map(({ dst, gateway }) => `${dst} via ${gateway}`);
}

const V6 = {
  vrf: {
    one: {
      subnets: {
        '2001:db8:1::/48': { gw: '2001:db8:1::1' },
        '2001:db8:1:8000::/49': { gw: '2001:db8:1:8000::1' },
        '2001:db8:2::/48': { gw: '2001:db8:2::1' },
        '10.0.0.0/8': { gw: '10.0.0.1' },
      },
    },
    two: { subnets: { '2001:db8::/32': { gw: '2001:db8::1' }, '2001:db8:3::/48': { gw: '2001:db8:3::1' } } },
  },
};

t.test('a pod whose address is in a subnet of the map', { skip: noNamespaces }, async (t) => {
  for (const [address, routes] of TOPOLOGY_PODS) {
    t.test(`${address} gets ${routes.length} routes`, async (t) => {
      const pod = podAt(t, address);
      const before = pod.routes();
      const topologyFile = join(pod.folder, 'ddsnet4u.yaml');
      writeFileSync(topologyFile, TOPOLOGY_YAML);
      success(await pod.verb('ADD', { topologyFile }));
      t.strictSame(routesOf(pod).sort(), [...routes].sort());
      success(await pod.verb('CHECK', { topologyFile }));
      success(await pod.verb('DEL', { topologyFile }));
      t.equal(pod.routes(), before);
    });
  }

  t.test('is in the vrf of the most specific one, in IPv6 as in IPv4', async (t) => {
    const pod = podAt(t, '2001:db8:1:8000::5/49');
    success(await pod.verb('ADD', { topology: V6 }));
    const shown = pod.ipJson('-6 route show proto 87').map(({ dst, gateway }) => `${dst} via ${gateway}`);
    t.strictSame(shown.sort(), ['2001:db8:1::/48 via 2001:db8:1:8000::1', '2001:db8:2::/48 via 2001:db8:1:8000::1']);
  });

  t.test('keeps routes that exist already, whoever added them', async (t) => {
    const pod = podAt(t, '140.252.147.50/28');
    pod.ip('route add 140.252.147.16/28 via 140.252.147.60');
    const before = pod.routes();
    const topologyFile = join(pod.folder, 'map.yaml');
    writeFileSync(topologyFile, TOPOLOGY_YAML);
    success(await pod.verb('ADD', { topologyFile }));
    t.match(pod.ipJson('route show 140.252.147.16/28'), [{ gateway: '140.252.147.60' }]);
    t.strictSame(routesOf(pod), ['140.252.147.128/27 via 140.252.147.49']);
    success(await pod.verb('DEL', { topologyFile }));
    t.equal(pod.routes(), before);
  });
});

t.test('an edited file', { skip: noNamespaces }, async (t) => {
  const pod = podAt(t, '10.1.0.5/16');
  const topologyFile = join(pod.folder, 'map.json');
  const write = (...others: string[]) => {
    const subnets = Object.fromEntries(
      ['10.1.0.0/16', ...others].map((cidr) => [cidr, { gw: cidr.replace('.0.0/16', '.0.1') }]),
    );
    writeFileSync(topologyFile, JSON.stringify({ vrf: { site: { subnets } } }));
  };
  write('10.2.0.0/16');
  success(await pod.verb('ADD', { topologyFile }));
  write('10.2.0.0/16', '10.3.0.0/16');
  t.match(
    (await pod.verb('CHECK', { topologyFile })).document,
    { code: 106, msg: /topologyFile \S+map\.json: vrf site: route 10\.3\.0\.0\/16 .* is missing/ },
    'CHECK reports a route that it has gained',
  );
  success(await pod.verb('ADD', { topologyFile }));
  t.strictSame(routesOf(pod).length, 2, 'ADD adds it');
  write('10.3.0.0/16');
  t.match(
    (await pod.verb('CHECK', { topologyFile })).document,
    { code: 106, msg: /topologyFile \S+map\.json: not wanted any more: add route 10\.2\.0\.0\/16/ },
    'CHECK reports a route that it has lost',
  );
  success(await pod.verb('DEL', { topologyFile }));
  t.strictSame(routesOf(pod), [], 'DEL deletes all of them');
});

t.test(
  'two entries of a list, each with a map, pass CHECK, though they have one journal',
  { skip: noNamespaces },
  async (t) => {
    const mapOf = (dst: string, vrf = 'site') => ({
      vrf: { [vrf]: { subnets: { '10.1.0.0/16': { gw: '10.1.0.1' }, [dst]: { gw: '10.9.9.9' } } } },
    });
    const files = (pod: Pod) =>
      ['10.2.0.0/16', '10.3.0.0/16'].map((dst) => {
        const topologyFile = join(pod.folder, `${dst.slice(0, 4)}.json`);
        writeFileSync(topologyFile, JSON.stringify(mapOf(dst)));
        return { topologyFile };
      });
    const lists: [title: string, entries: (pod: Pod) => object[]][] = [
      ['inline', () => [{ topology: mapOf('10.2.0.0/16') }, { topology: mapOf('10.3.0.0/16') }]],
      ['inline, of two vrfs', () => [{ topology: mapOf('10.2.0.0/16') }, { topology: mapOf('10.3.0.0/16', 'other') }]],
      ['inline, the second a part of the first', () => [{ topology: mapOf('10.2.0.0/16') }, { topology: { vrf: {} } }]],
      ['files', files],
      ['a file and inline', (pod) => [files(pod)[0] ?? {}, { topology: mapOf('10.3.0.0/16') }]],
      [
        'with listed routes',
        () => [
          { topology: mapOf('10.2.0.0/16'), routes: [{ dst: '10.4.0.0/16' }] },
          { topology: mapOf('10.3.0.0/16') },
        ],
      ],
    ];
    for (const [title, entriesOf] of lists) {
      const pod = podAt(t, '10.1.0.5/16');
      const before = pod.routes();
      const entries = entriesOf(pod);
      for (const keys of entries) success(await pod.verb('ADD', keys));
      for (const keys of entries) success(await pod.verb('CHECK', keys));
      // A runtime may repeat ADD.
      for (const keys of entries) success(await pod.verb('ADD', keys));
      for (const keys of entries) success(await pod.verb('CHECK', keys));
      for (const keys of entries.toReversed()) success(await pod.verb('DEL', keys));
      t.equal(pod.routes(), before, title);
    }
  },
);

t.test('a journal of a version that did not record which map a route is from', { skip: noNamespaces }, async (t) => {
  const pod = podAt(t, '10.1.0.5/16');
  const before = pod.routes();
  const entries = ['10.2.0.0/16', '10.3.0.0/16'].map((dst) => ({
    topology: { vrf: { site: { subnets: { '10.1.0.0/16': { gw: '10.1.0.1' }, [dst]: { gw: '10.9.9.9' } } } } },
  }));
  for (const keys of entries) success(await pod.verb('ADD', keys));
  const journal = join(pod.folder, 'data/static-route/container-1-net1.json');
  const text = readFileSync(journal, 'utf8');
  t.match(text, /"topology [0-9a-f]{8}: vrf site"/, 'it records the map');
  writeFileSync(journal, text.replaceAll(/"topology [0-9a-f]{8}: vrf site"/g, '"topology: vrf site"'));
  for (const keys of entries) success(await pod.verb('CHECK', keys));
  for (const keys of entries.toReversed()) success(await pod.verb('DEL', keys));
  t.equal(pod.routes(), before);
});

const wrong: [title: string, content: string | undefined, keys: object, msg: RegExp][] = [
  ['is missing', undefined, {}, /^the topology cannot be read: [^:]*map\.yaml: ENOENT: no such file or directory$/],
  ['is not YAML', 'vrf: [', {}, /map\.yaml: /],
  [
    'has a subnet twice',
    'vrf:\n  a:\n    subnets:\n      10.0.0.0/8: {gw: 10.0.0.1}\n      "10.0.0.0/8": {gw: 10.0.0.2}',
    {},
    /map\.yaml: Map keys must be unique at line 5, column 7$/,
  ],
  ['has no vrf', 'vlan: {}', {}, /map\.yaml: vrf: is missing$/],
  [
    'has a subnet with host bits',
    'vrf: {a: {subnets: {10.0.0.1/8: {gw: 10.0.0.1}}}}',
    {},
    /: vrf\.a\.subnets\.10\.0\.0\.1\/8: has bits set beyond/,
  ],
  ['has an invalid subnet', 'vrf: {a: {subnets: {x: {gw: 10.0.0.1}}}}', {}, /: vrf\.a\.subnets\.x: /],
  ['has a gateway of another family', 'vrf: {a: {subnets: {10.0.0.0/8: {gw: "::1"}}}}', {}, /another family/],
  [
    'has a subnet without a gateway',
    'vrf: {a: {subnets: {10.0.0.0/8: {}}}}',
    {},
    /: vrf\.a\.subnets\.10\.0\.0\.0\/8\.gw: is missing/,
  ],
  ['comes with "topology"', TOPOLOGY_YAML, { topology: V6 }, /topologyFile: goes without "topology"/],
];

t.test('ADD is refused with 7, and changes nothing, where the file', { skip: noNamespaces }, async (t) => {
  for (const [title, content, keys, msg] of wrong) {
    const pod = podAt(t, '10.1.0.5/16');
    const before = pod.routes();
    const topologyFile = join(pod.folder, 'map.yaml');
    if (content !== undefined) writeFileSync(topologyFile, content);
    const { document } = await pod.verb('ADD', { topologyFile, ...keys });
    t.match(document, { code: 7, msg }, title);
    t.equal(pod.routes(), before);
  }
});

t.test('a file cannot be named by an attachment’s args', { skip: noNamespaces }, async (t) => {
  const pod = podAt(t, '10.1.0.5/16');
  const { document } = await pod.verb('ADD', { args: { cni: { topologyFile: '/etc/shadow' } } });
  t.match(document, {
    code: 7,
    msg: 'invalid network config: args.cni.topologyFile: can be set in the network config only',
  });
});

t.test('an interface without an address is refused with 101', { skip: noNamespaces }, async (t) => {
  const pod = podAt(t);
  pod.ip('link set net1 addrgenmode none');
  pod.ip('address flush dev net1');
  const { document } = await pod.verb('ADD', { topology: V6 });
  t.match(document, { code: 101, msg: /interface "net1" has no address/ });
});

t.test('a file is parsed again only after an edit, since a large one takes a second', async (t) => {
  const file = join(scratchFolder(t), 'map.yaml');
  const read = () => readTopologyFile(file);
  const write = (gw: string) => writeFileSync(file, `vrf: {a: {subnets: {10.1.0.0/16: {gw: ${gw}}}}}`);
  write('10.1.0.1');
  const first = await read();
  t.equal(await read(), first);
  write('10.1.0.2');
  t.match(await read(), [{ gw: '10.1.0.2' }]);
  const other = join(file, '../other.yaml');
  writeFileSync(other, readFileSync(file));
  t.not(await readTopologyFile(other), await read(), 'each by its own name');
});
