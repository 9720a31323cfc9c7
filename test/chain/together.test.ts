import t, { type Test } from 'tap';
import { settle } from '../support/namespaces/namespace.ts';
import {
  BRIDGE,
  type ListPlugin,
  type Node,
  noCnitool,
  noReferencePlugins,
  scratchNode,
} from '../support/plugins/chain.ts';

// All three plugins in one list.

const ROUTES = [{ dst: '10.10.0.0/16' }, { dst: '2001:db8:10::/48' }, { dst: '10.40.0.0/16', type: 'blackhole' }];

const OURS: { [name: string]: ListPlugin } = {
  static: { type: 'static-route', routes: ROUTES },
  gateway: { type: 'seamless-gateway' },
  name: { type: 'consistent-ifname' },
};

/** `${name}/${ifname}`, which biome takes for a template. */
const KEY_OF_BOTH = ['name', 'ifname'].map((word) => `$\{${word}}`).join('/');

const SENSIBLE = [
  ['static', 'gateway', 'name'],
  ['static', 'name', 'gateway'],
  ['gateway', 'static', 'name'],
  ['gateway', 'name', 'static'],
  ['name', 'static', 'gateway'],
  ['name', 'gateway', 'static'],
];

function worldOf(t: Test, plugins: ListPlugin[]): Node & { before: string } {
  const world = scratchNode(t);
  world.node.ip('link add uplink0 type veth peer name outside');
  world.node.ip('link set outside up');
  world.node.ip('link set uplink0 up');
  world.node.ip('address add 10.0.32.2/24 dev uplink0');
  world.node.ip('route add default via 10.0.32.1');
  world.writeList({ cniVersion: '1.1.0', name: 'green', plugins });
  return { ...world, before: stateOf(world) };
}

function stateOf({ pod }: Node): string {
  settle(pod);
  return JSON.stringify([pod.ipJson('link show'), pod.routes()]);
}

function pluginsOf(order: string[]): ListPlugin[] {
  return order.flatMap((name) => (name === 'bridge' ? BRIDGE : (OURS[name] ?? [])));
}

for (const order of SENSIBLE) {
  t.test(`bridge, ${order.join(', ')}`, { skip: noReferencePlugins }, async (t) => {
    const world = worldOf(t, pluginsOf(['bridge', ...order]));
    const result = world.must('waymark cni', 'add', 'green');

    t.match(
      world.pod.ipJson('link show dev eth0'),
      [{ ifname: 'net9f27410725ab', altnames: ['eth0'] }],
      'the link has its name, and answers to the first',
    );
    const routes = [...world.pod.ipJson('-4 route show proto 87'), ...world.pod.ipJson('-6 route show proto 87')];
    t.strictSame(
      routes.map(({ dst, gateway, dev, type }) => [type ?? 'unicast', dst, gateway, type ? undefined : dev]).sort(),
      [
        ['blackhole', '10.40.0.0/16', undefined, undefined],
        ['unicast', '10.0.32.2', '10.131.0.1', 'net9f27410725ab'],
        ['unicast', '10.10.0.0/16', '10.131.0.1', 'net9f27410725ab'],
        ['unicast', '2001:db8:10::/48', 'fd00:131::1', 'net9f27410725ab'],
      ],
    );
    t.strictSame(result.interfaces?.[2]?.name, 'net9f27410725ab', 'the result has the name');
    t.strictSame(
      result.ips?.map((ip) => ip.interface),
      [3, 3],
      'the addresses point at eth0, where runtimes look for them',
    );
    t.strictSame(result.routes?.map(({ dst }) => dst).sort(), ['10.0.32.2/32', '10.10.0.0/16', '2001:db8:10::/48']);

    world.must('waymark cni', 'check', 'green');
    world.must('waymark cni', 'del', 'green');
    t.equal(stateOf(world), world.before, 'nothing is left in the pod');
    t.strictSame(world.leftovers(), [], 'nothing is left on the node');
  });
}

t.test('all three by cnitool', { skip: noCnitool }, async (t) => {
  const world = worldOf(t, pluginsOf(['bridge', 'name', 'gateway', 'static']));
  world.must('cnitool', 'add', 'green');
  world.must('cnitool', 'check', 'green');
  world.must('cnitool', 'del', 'green');
  t.equal(stateOf(world), world.before);
  t.strictSame(world.leftovers(), []);
});

const SENSELESS: [order: string[], error: RegExp][] = [
  [['static', 'bridge'], /"static-route" failed \(add\): the pod has no interface "eth0"/],
  [['gateway', 'bridge'], /"seamless-gateway" failed \(add\): the pod has no interface "eth0"/],
  [['name', 'bridge', 'static'], /"consistent-ifname" failed \(add\): the pod has no interface "eth0"/],
];

for (const [order, error] of SENSELESS) {
  t.test(`${order.join(', ')}: refused, with nothing left half done`, { skip: noReferencePlugins }, async (t) => {
    const world = worldOf(t, pluginsOf(order));
    const { status, stderr } = world.drive('waymark cni', 'add', 'green');
    t.equal(status, 1);
    t.match(stderr, error);
    t.equal(stateOf(world), world.before);
    t.strictSame(world.leftovers(), []);
  });
}

t.test(
  'a failure of the last plugin undoes the rename and the routes of those before it',
  { skip: noReferencePlugins },
  async (t) => {
    const impossible = { type: 'static-route', routes: [{ dst: '10.50.0.0/16', gw: '192.0.2.1' }] };
    const world = worldOf(t, [...pluginsOf(['bridge', 'name', 'gateway']), impossible]);
    const { status, stderr } = world.drive('waymark cni', 'add', 'green');
    t.equal(status, 1);
    t.match(stderr, /"static-route" failed \(add\): routes\[0\]: .*ENETUNREACH/);
    t.equal(stateOf(world), world.before);
    t.strictSame(world.leftovers(), []);
  },
);

t.test('two attachments to one network in one pod', { skip: noReferencePlugins }, async (t) => {
  const world = worldOf(t, pluginsOf(['bridge', 'name']));
  world.must('waymark cni', 'add', 'green', { CNI_IFNAME: 'net1' });
  const between = stateOf(world);

  const second = world.drive('waymark cni', 'add', 'green', { CNI_IFNAME: 'net2' });
  t.equal(second.status, 1, 'have one name, which the second does not get');
  t.match(second.stderr, /the name "net9f27410725ab" is taken .*"key": "\$\{name\}\/\$\{ifname\}"/);
  t.equal(stateOf(world), between, 'the first is as before');

  world.writeList({
    cniVersion: '1.1.0',
    name: 'green',
    plugins: [BRIDGE, { ...OURS.name, type: 'consistent-ifname', key: KEY_OF_BOTH }],
  });
  world.must('waymark cni', 'add', 'green', { CNI_IFNAME: 'net2' });
  const names = world.pod.ipJson('link show').map(({ ifname }) => ifname);
  t.equal(new Set(names).size, 3, 'with that key they have two');
  world.must('waymark cni', 'del', 'green', { CNI_IFNAME: 'net2' });
  t.equal(stateOf(world), between);
});
