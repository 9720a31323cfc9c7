import t from 'tap';
import { noNamespaces, run } from '../../support/namespaces/namespace.ts';
import { success } from '../../support/plugins/call.ts';
import {
  address,
  DEFAULT_4,
  FOUR,
  ROUTE_4,
  ROUTE_6,
  SIX,
  USUAL,
  USUAL_6,
  untilItWaits,
  world,
} from '../../support/plugins/gateway-world.ts';

t.test('what is missing', { skip: noNamespaces }, async (t) => {
  type Missing = {
    title: string;
    node: string[];
    pod?: string[];
    keys?: object;
    late: [on: 'node' | 'pod', command: string];
    code: number;
    message: RegExp;
  };
  const table: Missing[] = [
    {
      title: 'a default route of the host',
      node: [address(FOUR.uplink)],
      late: ['node', DEFAULT_4],
      code: 101,
      message: /the host has no default route/,
    },
    {
      title: 'an interface of the host',
      node: [address(FOUR.uplink)],
      keys: { hostInterface: 'renamed0' },
      late: ['node', 'link set uplink0 name renamed0'],
      code: 100,
      message: /hostInterface: the host has no interface "renamed0"/,
    },
    {
      title: 'an address of the host',
      node: ['route add default dev uplink0'],
      late: ['node', address(FOUR.uplink)],
      code: 101,
      message: /no addresses of one family/,
    },
    {
      title: 'an address of the pod',
      node: USUAL,
      pod: [],
      late: ['pod', 'address add 10.131.0.5/23 dev eth0'],
      code: 101,
      message: /no addresses of one family/,
    },
    {
      title: 'an address of the pod for a family that is asked for',
      node: [...USUAL, ...USUAL_6],
      pod: [SIX.pod],
      keys: { families: ['ipv4'] },
      late: ['pod', 'address add 10.131.0.5/23 dev eth0'],
      code: 101,
      message: /the pod's interface "eth0" has no IPv4 address/,
    },
    {
      title: 'an address of the pod, with "hostAddresses"',
      node: [],
      pod: [],
      keys: { hostAddresses: [FOUR.host] },
      late: ['pod', 'address add 10.131.0.5/23 dev eth0'],
      code: 101,
      message: /the pod's interface "eth0" has no IPv4 address/,
    },
  ];
  for (const { title, node, pod, keys = {}, late, code, message } of table) {
    t.test(title, async (t) => {
      const scene = world(t, node, pod);
      const before = scene.pod.routes();
      const refused = async (wait: object, expected: number) => {
        const start = performance.now();
        const { document } = await scene.ask('ADD', { ...keys, ...wait });
        t.match(document, { code: expected, msg: message });
        t.equal(scene.pod.routes(), before, 'the pod is as before');
        t.strictSame(scene.journals(), []);
        return performance.now() - start;
      };
      await refused({}, code);
      const waited = await refused({ waitSeconds: 1.5 }, 107);
      t.ok(waited >= 1500, `107 after ${waited} ms`);

      const waiting = scene.ask('ADD', { ...keys, waitSeconds: 300 });
      await untilItWaits(scene.pod);
      t.strictSame(scene.ours(), []);
      const [on, command] = late;
      scene[on].ip(command);
      success(await waiting);
      t.strictSame(scene.ours(), [ROUTE_4], 'is waited for');
    });
  }
});

t.test('in dual stack, a tentative address of the pod is waited for', { skip: noNamespaces }, async (t) => {
  const scene = world(t, [...USUAL, ...USUAL_6]);
  // Ten minutes of duplicate address detection, unless the test ends it.
  const sysctl = (name: string, value: number) =>
    run('ip', ['netns', 'exec', scene.pod.name, 'sh', '-c', `echo ${value} >/proc/sys/net/ipv6/${name}`]);
  sysctl('conf/all/accept_dad', 1);
  sysctl('conf/eth0/accept_dad', 1);
  sysctl('conf/eth0/dad_transmits', 600);
  scene.pod.ip(`address add ${SIX.pod} dev eth0`);
  t.match(scene.pod.ip('-6 address show dev eth0 tentative'), 'fd00:131::5/64', 'it is tentative');
  t.match((await scene.ask('ADD')).document, { code: 101, msg: /fd00:131::5 is tentative/ });
  t.strictSame(scene.ours(), [], 'without "waitSeconds", ADD fails and adds no route of IPv4 either');

  const waiting = scene.ask('ADD', { waitSeconds: 300 });
  const plugin = await untilItWaits(scene.pod);
  t.strictSame(scene.ours(), []);
  // It must not look between the two commands, when there is no address at all.
  process.kill(plugin, 'SIGSTOP');
  scene.pod.ip(`address del ${SIX.pod} dev eth0`);
  scene.pod.ip(`address add ${SIX.pod} dev eth0 nodad`);
  process.kill(plugin, 'SIGCONT');
  success(await waiting);
  t.strictSame(scene.ours(), [ROUTE_4, ROUTE_6]);
  success(await scene.ask('CHECK'));
});
