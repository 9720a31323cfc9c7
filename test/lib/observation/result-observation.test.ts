import t from 'tap';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';
import { Observation } from '../../../lib/observation/observation.ts';
import { observationOfResult } from '../../../lib/observation/result-observation.ts';
import { noNamespaces, scratchPod } from '../../support/namespaces/namespace.ts';

const SANDBOX = '/run/netns/pod';

t.test('a result tells what the pod that it is of has', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  // As the reference plugins add the routes of a result.
  for (const route of ['default via 10.244.1.1', '10.8.0.0/16 via 10.244.1.9 mtu 1400', '-6 2001:db8::/32 dev eth0']) {
    const [family, text] = route.startsWith('-6 ') ? ['-6 ', route.slice(3)] : ['', route];
    pod.ip(`${family}route add ${text}`);
  }
  const namespace = openNamespace(pod.path);
  const socket = RouteSocket.open(namespace);
  t.teardown(() => {
    socket.close();
    namespace.close();
  });
  const thought = observationOfResult(
    {
      interfaces: [{ name: 'cni0' }, { name: 'eth0', sandbox: SANDBOX }],
      ips: [
        { address: '10.244.1.5/24', gateway: '10.244.1.1', interface: 1 },
        { address: 'fd00:244:1::5/64', interface: 1 },
      ],
      routes: [{ dst: '0.0.0.0/0' }, { dst: '10.8.0.0/16', gw: '10.244.1.9', mtu: 1400 }, { dst: '2001:db8::/32' }],
    },
    'eth0',
  );
  const picture = (of: Observation) => {
    const link = of.linkNamed('eth0')?.index ?? -1;
    // The kernel gives every link an address of its own for IPv6.
    const routes = ([4, 6] as const).flatMap((family) => of.routesIn(family, 254));
    const own = routes.filter(({ dst, hops }) => dst !== 'fe80::/64' && hops.some(({ oif }) => oif === link));
    return {
      addresses: of.addresses(link).flatMap(({ prefix, scope }) => (scope === 0 ? [prefix] : [])),
      routes: own
        .map((route) => JSON.stringify({ ...route, hops: route.hops.map((hop) => ({ ...hop, oif: 0 })) }))
        .sort(),
      isDefault: of.defaultRoutes(4)[0]?.hops[0]?.gw,
    };
  };
  t.strictSame(picture(thought), picture(Observation.of(socket)));
});

t.test('interfaces of the host are not in the pod, and their addresses neither', async (t) => {
  const pod = observationOfResult(
    {
      interfaces: [{ name: 'cni0' }],
      ips: [{ address: '10.0.0.1/24', interface: 0 }],
      routes: [{ dst: '10.1.0.0/16' }],
    },
    'eth0',
  );
  t.strictSame(
    pod.links().map(({ name }) => name),
    ['lo'],
  );
  t.strictSame(pod.routesIn(4, 254), []);
});

t.test('an entry with a known hardware address is another name of that link', async (t) => {
  const mac = '02:00:00:00:00:AA';
  const pod = observationOfResult(
    {
      interfaces: [
        { name: 'blue', mac, sandbox: SANDBOX },
        { name: 'eth0', mac: mac.toLowerCase(), sandbox: SANDBOX },
        { name: 'eth1', mac: '02:00:00:00:00:bb', sandbox: SANDBOX },
      ],
      ips: [
        { address: '10.0.0.5/24', interface: 1 },
        { address: '10.0.1.5/24', interface: 2 },
        { address: 'fd00::5/64' },
      ],
    },
    'eth0',
  );
  t.match(pod.linkNamed('eth0'), { name: 'blue', altnames: ['eth0'] });
  const addressesOf = (name: string) =>
    pod.addresses(pod.linkNamed(name)?.index ?? -1).map(({ prefix }) => prefix.address);
  t.strictSame(addressesOf('blue'), ['10.0.0.5', 'fd00::5'], 'what points nowhere is the attachment’s');
  t.strictSame(addressesOf('eth1'), ['10.0.1.5']);
});

t.test('what points nowhere is the attachment’s, by whichever of its names and wherever it is listed', async (t) => {
  const [first, second] = ['02:00:00:00:00:aa', '02:00:00:00:00:bb'];
  for (const ifname of ['blue', 'eth1']) {
    const result = {
      interfaces: [
        { name: 'eth0', mac: first, sandbox: SANDBOX },
        { name: 'blue', mac: second, sandbox: SANDBOX },
        { name: 'eth1', mac: second, sandbox: SANDBOX },
      ],
      ips: [{ address: '10.0.0.5/24' }],
      routes: [{ dst: '10.8.0.0/16' }],
    };
    const pod = observationOfResult(result, ifname);
    t.match(pod.links(), [
      { name: 'lo', index: 1, loopback: true },
      { name: 'eth0', index: 2, loopback: false },
      { name: 'blue', index: 3, loopback: false },
    ]);
    t.equal(pod.addresses(3).length, 1, ifname);
    for (const { hops } of pod.routesIn(4, 254)) t.strictSame(hops, [{ oif: 3 }]);
  }
});

t.test('a route has what the result says of it, and what it does not say is as the kernel would have it', async (t) => {
  const route = { dst: '10.8.0.0/16', gw: '10.0.0.1', table: 7, priority: 5, scope: 253, mtu: 1400, advmss: 1360 };
  const result = { interfaces: [{ name: 'eth0', sandbox: SANDBOX }], routes: [route, { dst: 'fd00:8::/64' }] };
  const pod = observationOfResult(result, 'eth0');
  const { gw, ...rest } = route;
  t.strictSame(pod.routesIn(4, 7), [{ family: 4, type: 'unicast', protocol: 3, ...rest, hops: [{ gw, oif: 2 }] }]);
  t.strictSame(pod.routesIn(6, 254), [
    {
      family: 6,
      dst: 'fd00:8::/64',
      type: 'unicast',
      table: 254,
      priority: 1024,
      protocol: 3,
      scope: 0,
      hops: [{ oif: 2 }],
    },
  ]);
});

t.test('where the result does not know the attachment by its name, it is the first in the pod', async (t) => {
  const interfaces = ['cni0', 'a', 'b'].map((name) => ({ name, ...(name !== 'cni0' && { sandbox: SANDBOX }) }));
  const pod = observationOfResult({ interfaces, ips: [{ address: '10.0.0.5/24' }] }, 'eth0');
  t.strictSame(
    [2, 3].map((link) => pod.addresses(link).length),
    [1, 0],
  );
});

t.test('a result without interfaces is about CNI_IFNAME', async (t) => {
  const pod = observationOfResult({ ips: [{ address: '10.0.0.5/32' }] }, 'net1');
  t.match(pod.links(), [
    { name: 'lo', index: 1 },
    { name: 'net1', index: 2 },
  ]);
  t.equal(pod.addresses(2).length, 1);
  t.strictSame(pod.routesIn(4, 254), [], 'no subnet, no route to it');
});
