import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { BRIDGE, type Driver, noCnitool, noReferencePlugins, scratchNode } from '../support/plugins/chain.ts';

const STATIC_ROUTE = {
  type: 'static-route',
  routes: [
    { dst: '10.10.0.0/16' },
    { dst: '10.20.0.0/16', gw: '10.131.0.9', priority: 200, mtu: 1400 },
    { dst: '10.30.0.0/16', nexthops: [{ gw: '10.131.0.2', weight: 3 }, { gw: '10.131.0.3' }] },
    { dst: '10.40.0.0/16', type: 'blackhole' },
    { dst: '2001:db8:10::/48' },
    { dst: 'default', gw: 'auto' },
  ],
};

const VERSIONS = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'];

const ROUTES = [
  '10.10.0.0/16 via 10.131.0.1',
  '10.20.0.0/16 via 10.131.0.9 metric 200',
  '10.30.0.0/16 nexthop 10.131.0.2 weight 3 nexthop 10.131.0.3 weight 1',
  '10.40.0.0/16 blackhole',
  '2001:db8:10::/48 via fd00:131::1 metric 1024',
  'default via 10.131.0.1',
];

type IpRoute = {
  type?: string;
  dst?: string;
  gateway?: string;
  metric?: number;
  nexthops?: { gateway: string; weight: number }[];
};

// `ip -j route` in short.
function shown(routes: IpRoute[]): string[] {
  return routes
    .map(({ type, dst, gateway, metric, nexthops = [] }) =>
      [
        dst,
        type === 'blackhole' ? 'blackhole' : '',
        gateway ? `via ${gateway}` : '',
        ...nexthops.map((hop) => `nexthop ${hop.gateway} weight ${hop.weight}`),
        metric ? `metric ${metric}` : '',
      ]
        .filter((word) => word !== '')
        .join(' '),
    )
    .sort();
}

for (const cniVersion of VERSIONS) {
  t.test(`bridge and static-route in a list of ${cniVersion}`, { skip: noCnitool }, async (t) => {
    const results: { [driver: string]: unknown } = {};
    for (const driver of ['cnitool', 'waymark cni'] satisfies Driver[]) {
      const world = scratchNode(t);
      const { pod } = world;
      world.writeList({ cniVersion, name: 'net', plugins: [BRIDGE, STATIC_ROUTE] });
      const before = pod.routes();

      const { dns: _, interfaces = [], ...result } = world.must(driver, 'add', 'net');
      // MAC addresses and the names of host interfaces are drawn by lot.
      results[driver] = { ...result, interfaces: interfaces.map(({ name }) => name.replace(/^veth.*/, 'veth')) };
      const routes = [...pod.ipJson('-4 -d route show proto 87'), ...pod.ipJson('-6 -d route show proto 87')];
      t.strictSame(shown(routes), ROUTES, `${driver}: the routes`);
      if (cniVersion !== '0.3.1') {
        world.must(driver, 'check', 'net');
        pod.ip('route del blackhole 10.40.0.0/16');
        const check = world.drive(driver, 'check', 'net');
        t.not(check.status, 0);
        t.match(check.stderr, /routes\[3\]: route blackhole 10\.40\.0\.0\/16 is missing/, `${driver}: CHECK notices`);
      }
      world.must(driver, 'del', 'net');
      t.equal(pod.routes(), before, `${driver}: nothing is left in the pod`);
      t.strictSame(world.leftovers(), [], `${driver}: nothing is left on the node`);
    }
    t.strictSame(results['waymark cni'], results.cnitool, 'both give the same result');
  });
}

t.test('what one driver added the other checks and deletes', { skip: noCnitool }, async (t) => {
  for (const [first, second] of [
    ['cnitool', 'waymark cni'],
    ['waymark cni', 'cnitool'],
  ] satisfies [Driver, Driver][]) {
    const world = scratchNode(t);
    world.writeList({ cniVersion: '1.1.0', name: 'net', plugins: [BRIDGE, STATIC_ROUTE] });
    const before = world.pod.routes();
    world.must(first, 'add', 'net');
    world.must(second, 'check', 'net');
    world.must(second, 'status', 'net');
    world.must(second, 'del', 'net');
    t.equal(world.pod.routes(), before, `${first}, then ${second}`);
    t.strictSame(world.leftovers(), []);
  }
});

t.test('GC removes every attachment', { skip: noCnitool }, async (t) => {
  for (const driver of ['cnitool', 'waymark cni'] satisfies Driver[]) {
    const world = scratchNode(t);
    world.writeList({ cniVersion: '1.1.0', name: 'net', plugins: [BRIDGE, STATIC_ROUTE] });
    const before = world.pod.routes();
    world.must('cnitool', 'add', 'net');
    world.must(driver, 'gc', 'net');
    t.equal(world.pod.routes(), before, driver);
    t.strictSame(world.leftovers(), [], driver);
  }
});

t.test('a failed ADD', { skip: noReferencePlugins }, async (t) => {
  const world = scratchNode(t);
  const impossible = { ...STATIC_ROUTE, routes: [...STATIC_ROUTE.routes, { dst: '10.50.0.0/16', gw: '192.0.2.1' }] };
  world.writeList({ cniVersion: '1.1.0', name: 'net', plugins: [BRIDGE, impossible] });
  const before = world.pod.routes();
  const { status, stdout, stderr } = world.drive('waymark cni', 'add', 'net');
  t.equal(status, 1);
  t.equal(stdout, '');
  t.match(stderr, /plugin type="static-route" failed \(add\): routes\[6\]: .*ENETUNREACH/);
  t.equal(world.pod.routes(), before, 'is undone by DEL of the whole list');
  t.strictSame(
    world.pod.ipJson('link show').map(({ ifname }) => ifname),
    ['lo'],
    'the bridge’s link is gone too',
  );
  t.strictSame(world.leftovers(), []);
});

t.test(
  'args of an attachment, unchained, on an interface that is there already',
  { skip: noReferencePlugins },
  async (t) => {
    const world = scratchNode(t);
    world.writeList({ cniVersion: '1.1.0', name: 'net', plugins: [BRIDGE] });
    const routes = [{ dst: '10.60.0.0/16', gw: '10.131.0.1' }];
    // As Multus calls a NetworkAttachmentDefinition with our plugin alone: for net1, which no plugin makes.
    world.writeList({
      cniVersion: '1.0.0',
      name: 'alone',
      plugins: [{ type: 'static-route', args: { cni: { routes } } }],
    });
    world.must('waymark cni', 'add', 'net');
    const before = world.pod.routes();
    const result = world.must('waymark cni', 'add', 'alone', { CNI_IFNAME: 'net1' });
    t.match(result, {
      interfaces: [{ name: 'eth0', sandbox: world.pod.path }],
      ips: [{ address: '10.131.0.2/23', interface: 0 }, {}],
      routes,
    });
    t.match(world.pod.ipJson('route show 10.60.0.0/16'), [{ gateway: '10.131.0.1', dev: 'eth0' }]);
    world.must('waymark cni', 'check', 'alone', { CNI_IFNAME: 'net1' });
    world.must('waymark cni', 'del', 'alone', { CNI_IFNAME: 'net1' });
    t.equal(world.pod.routes(), before);
    t.notOk(existsSync(join(world.dataDir, 'static-route', 'cnitool-net1.json')));
  },
);
