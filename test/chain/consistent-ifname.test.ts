import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { settle } from '../support/namespaces/namespace.ts';
import {
  BRIDGE,
  type Driver,
  type ListPlugin,
  type Node,
  noCnitool,
  noReferencePlugins,
  scratchNode,
} from '../support/plugins/chain.ts';

// The earlier plugins look the link up by CNI_IFNAME: in CHECK, which reads the result too, and in DEL.

const GREEN = 'net9f27410725ab';
const OURS: ListPlugin = { type: 'consistent-ifname' };
const IPAM = BRIDGE.ipam ?? { type: 'host-local' };
const MACVLAN: ListPlugin = { type: 'macvlan', master: 'eth1', mode: 'bridge', ipam: IPAM };
const PTP: ListPlugin = { type: 'ptp', ipMasq: false, ipam: { ...IPAM, routes: [{ dst: '0.0.0.0/0' }] } };
const TUNING: ListPlugin = {
  type: 'tuning',
  mac: '02:00:00:00:00:77',
  mtu: 1400,
  allmulti: true,
  sysctl: { 'net.ipv4.ip_default_ttl': '77' },
};
/** With the routes to the pod's subnets given back, which sbr moves away and the CHECK of the earlier plugins looks for. */
const SBR: ListPlugin[] = [
  { type: 'sbr' },
  {
    type: 'static-route',
    routes: [
      { dst: '10.131.0.0/23', gw: '10.131.0.1', onlink: true },
      { dst: 'fd00:131::/64', gw: 'fd00:131::1', onlink: true },
    ],
  },
];
const STATIC_ROUTE: ListPlugin = { type: 'static-route', routes: [{ dst: '10.10.0.0/16' }, { dst: '2001:db8::/48' }] };

const CHAINS: [title: string, plugins: ListPlugin[]][] = [
  ['bridge', [BRIDGE, OURS]],
  ['macvlan', [MACVLAN, OURS]],
  ['ptp', [PTP, OURS]],
  ['bridge and tuning', [BRIDGE, TUNING, OURS]],
  ['bridge and sbr', [BRIDGE, ...SBR, OURS]],
  ['macvlan, tuning and sbr', [MACVLAN, TUNING, ...SBR, OURS]],
  ['ptp, tuning and sbr', [{ ...PTP, ipam: IPAM }, TUNING, ...SBR, OURS]],
  ['bridge, static-route and tuning', [BRIDGE, STATIC_ROUTE, TUNING, OURS]],
  ['bridge, with static-route after it', [BRIDGE, OURS, STATIC_ROUTE]],
];

const VERSIONS = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'];

function worldOf(t: Test, plugins: ListPlugin[], cniVersion = '1.1.0'): Node & { before: string } {
  const world = scratchNode(t);
  world.node.ip('link add eth1 type veth peer name switch');
  world.node.ip('link set eth1 up');
  world.node.ip('link set switch up');
  world.writeList({ cniVersion, name: 'green', plugins });
  return { ...world, before: podState(world) };
}

function podState({ pod }: Node): string {
  settle(pod);
  return JSON.stringify([pod.ipJson('link show'), pod.ipJson('address show'), pod.routes(), pod.ipJson('rule show')]);
}

/** Links in the node's namespace that go with the pod's. */
function nodeLinks({ node }: Node): unknown[] {
  return node
    .ipJson('link show')
    .map(({ ifname }) => ifname)
    .filter((name) => !['lo', 'eth1', 'switch', 'br0'].includes(String(name)));
}

for (const cniVersion of VERSIONS) {
  for (const [title, plugins] of CHAINS) {
    t.test(`after ${title}, in a list of ${cniVersion}`, { skip: noCnitool }, async (t) => {
      const results: { [driver: string]: unknown } = {};
      for (const driver of ['cnitool', 'waymark cni'] satisfies Driver[]) {
        const world = worldOf(t, plugins, cniVersion);
        const { pod } = world;
        const result = world.must(driver, 'add', 'green');
        settle(pod);
        const link = pod.ipJson('link show').find(({ ifname }) => ifname === GREEN);
        t.match(
          link,
          { altnames: ['eth0'], operstate: 'UP' },
          `${driver}: the link has its name, and answers to the first`,
        );
        const { interfaces = [], ips = [] } = result;
        const named = interfaces.findIndex(({ name }) => name === GREEN);
        t.match(interfaces[named], { mac: link?.address, sandbox: pod.path });
        t.match(interfaces.at(-1), { name: 'eth0', sandbox: pod.path }, `${driver}: the first name is the last entry`);
        const last = interfaces.length - 1;
        t.ok(ips.length === 2 && ips.every((ip) => ip.interface === last), `${driver}: addresses point at eth0`);
        results[driver] = withoutLot(interfaces.map(({ name }) => name));

        if (cniVersion !== '0.3.1') world.must(driver, 'check', 'green');
        world.must(driver, 'del', 'green');
        t.equal(podState(world), world.before, `${driver}: nothing is left in the pod`);
        t.strictSame(nodeLinks(world), [], `${driver}: no link is left in the node`);
        t.strictSame(world.leftovers(), [], `${driver}: no lease, journal or cached result is left`);
      }
      t.strictSame(results['waymark cni'], results.cnitool, 'both give the same interfaces');
    });
  }
}

t.test('CHECK of the list notices that the link lost its name', { skip: noCnitool }, async (t) => {
  for (const driver of ['cnitool', 'waymark cni'] satisfies Driver[]) {
    const world = worldOf(t, [BRIDGE, OURS]);
    world.must(driver, 'add', 'green');
    world.pod.ip(`link set ${GREEN} name other`);
    const { status, stderr } = world.drive(driver, 'check', 'green');
    t.not(status, 0);
    t.match(stderr, /interface other is not named net9f27410725ab/, driver);
    world.must(driver, 'del', 'green');
    t.equal(podState(world), world.before, driver);
    t.strictSame(nodeLinks(world), []);
  }
});

t.test(
  'after sbr alone, CHECK of the list says what it says without the rename',
  { skip: noReferencePlugins },
  async (t) => {
    const answers = [
      [BRIDGE, { type: 'sbr' }],
      [BRIDGE, { type: 'sbr' }, OURS],
    ].map((plugins) => {
      const world = worldOf(t, plugins);
      world.must('waymark cni', 'add', 'green');
      const { status, stderr } = world.drive('waymark cni', 'check', 'green');
      world.must('waymark cni', 'del', 'green');
      t.equal(podState(world), world.before);
      return { status, stderr: stderr.split('\n').filter((line) => line.includes('failed')) };
    });
    t.match(answers[0], { status: 1, stderr: [/"bridge" failed .*Failed to find Gateway 10\.131\.0\.1/] });
    t.strictSame(answers[1], answers[0]);
  },
);

t.test(
  'a further interface has one entry in the result; with resultNames "both" or "first" the CHECK of an earlier plugin passes',
  { skip: noReferencePlugins },
  async (t) => {
    for (const [resultNames, names, status] of [
      [undefined, [GREEN], 1],
      ['both', [GREEN, 'net1'], 0],
      ['first', ['net1'], 0],
    ] as const) {
      for (const first of [BRIDGE, MACVLAN, PTP]) {
        const world = worldOf(t, [first, { ...OURS, ...(resultNames && { resultNames }) }]);
        const env = { CNI_IFNAME: 'net1' };
        const { interfaces = [], ips = [] } = world.must('waymark cni', 'add', 'green', env);
        const title = `${first.type} ${resultNames}`;
        // Multus writes an item of network-status for each entry with a sandbox.
        const inPod = interfaces.filter(({ sandbox }) => sandbox === world.pod.path).map(({ name }) => name);
        t.strictSame(inPod, names, title);
        t.ok(
          ips.every((ip) => interfaces[ip.interface ?? -1]?.name === names[0]),
          'the addresses point at the first of them',
        );
        t.match(world.pod.ipJson(`link show ${GREEN}`), [{ altnames: ['net1'] }]);
        t.equal(world.drive('waymark cni', 'check', 'green', env).status, status, title);
        world.must('waymark cni', 'del', 'green', env);
        t.equal(podState(world), world.before);
        t.strictSame(world.leftovers(), []);
      }
    }
  },
);

t.test(
  'without the altname the CHECK of an earlier plugin fails, as the README says; DEL does not',
  { skip: noReferencePlugins },
  async (t) => {
    for (const first of [BRIDGE, MACVLAN, PTP]) {
      const world = worldOf(t, [first, { ...OURS, keepAltname: false }]);
      const result = world.must('waymark cni', 'add', 'green');
      t.notOk(result.interfaces?.some(({ name }) => name === 'eth0'));
      const { status, stderr } = world.drive('waymark cni', 'check', 'green');
      t.equal(status, 1);
      t.match(stderr, new RegExp(`"${first.type}" failed`));
      world.must('waymark cni', 'del', 'green');
      t.equal(podState(world), world.before);
      t.strictSame(nodeLinks(world), []);
      t.strictSame(world.leftovers(), []);
    }
  },
);

t.test(
  'sysctls by IFNAME of tuning: /proc/sys knows no altnames, so its CHECK fails after a rename, not with mode "altname"',
  { skip: noReferencePlugins },
  async (t) => {
    const tuning: ListPlugin = { type: 'tuning', sysctl: { 'net.ipv4.conf.IFNAME.arp_filter': '1' } };
    for (const [mode, status] of [
      ['rename', 1],
      ['altname', 0],
    ] as const) {
      const world = worldOf(t, [BRIDGE, tuning, { ...OURS, mode }]);
      world.must('waymark cni', 'add', 'green');
      const check = world.drive('waymark cni', 'check', 'green');
      t.equal(check.status, status, mode);
      if (status === 1) t.match(check.stderr, /"tuning" failed .*conf\/eth0\/arp_filter/);
      world.must('waymark cni', 'del', 'green');
      t.equal(podState(world), world.before);
      t.strictSame(world.leftovers(), []);
    }
  },
);

t.test(
  'DEL without journals gives the name back before the earlier plugins delete by it',
  { skip: noReferencePlugins },
  async (t) => {
    for (const first of [BRIDGE, MACVLAN, PTP]) {
      const world = worldOf(t, [first, TUNING, OURS]);
      world.must('waymark cni', 'add', 'green');
      rmSync(join(world.dataDir, 'consistent-ifname'), { recursive: true });
      world.must('waymark cni', 'del', 'green');
      t.equal(podState(world), world.before, first.type);
      t.strictSame(nodeLinks(world), []);
    }
  },
);

// The names of host interfaces are drawn by lot.
function withoutLot(names: string[]): string[] {
  return names.map((name) => name.replace(/^veth.*/, 'veth'));
}
