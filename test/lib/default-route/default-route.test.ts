import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DefaultRoutes } from '../../../lib/default-route/default-route.ts';
import { scratchFolder, scratchNamespace, settle } from '../../support/namespaces/namespace.ts';

const noRoot = process.geteuid?.() === 0 ? false : 'needs root';

/** A pod with a default route of both families on eth0, and further interfaces with a subnet each, without. */
function podOf(t: Test, ...more: string[]) {
  const pod = scratchNamespace(t);
  const dataDir = join(scratchFolder(t), 'data');
  ['eth0', ...more].forEach((name, index) => {
    pod.ip(`link add ${name} type veth peer name ${name}-peer`);
    pod.ip(`link set ${name}-peer up`);
    pod.ip(`link set ${name} up`);
    pod.ip(`address add 10.${index + 1}.0.7/24 dev ${name}`);
    pod.ip(`-6 address add fd00:${index + 1}::7/64 dev ${name} nodad`);
  });
  pod.ip('route add default via 10.1.0.1 dev eth0');
  pod.ip('-6 route add default via fd00:1::1 dev eth0');
  settle(pod);
  const defaults = () =>
    ['-4', '-6'].flatMap((family) =>
      pod
        .ip(`${family} route show default`)
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => line.replace(/ (proto|pref|metric) \S+/g, '').trim()),
    );
  const attached = (ifname: string) => ({
    network: { name: `of-${ifname}`, cniVersion: '1.0.0' },
    input: { containerID: 'c1', netns: pod.path, ifname, args: [], capabilityArgs: {} },
  });
  const result = (ifname: string, routes: object[] = []) => ({
    cniVersion: '1.0.0',
    interfaces: [{ name: ifname, sandbox: pod.path }],
    routes,
  });
  const routes = new DefaultRoutes({ dataDir });
  const set = (ifname: string, ...gateways: string[]) => routes.set(attached(ifname), gateways, result(ifname));
  const reset = (ifname: string) => routes.reset(attached(ifname));
  const journals = () =>
    existsSync(dataDir) ? readdirSync(join(dataDir, 'default-route')).filter((name) => name.endsWith('.json')) : [];
  return { pod, dataDir, routes, defaults, set, reset, journals, attached, result };
}

const ETH0 = ['default via 10.1.0.1 dev eth0', 'default via fd00:1::1 dev eth0'];

t.test('takes the place of the default routes of its families, and gives them back', { skip: noRoot }, async (t) => {
  const { defaults, set, reset, journals, dataDir } = podOf(t, 'net1');
  await reset('net1');
  t.notOk(existsSync(dataDir), 'what was never set is not looked at');
  const whole = await set('net1', '10.2.0.1', 'fd00:2::1');
  t.strictSame(defaults(), ['default via 10.2.0.1 dev net1', 'default via fd00:2::1 dev net1']);
  t.match(whole.routes, [
    { dst: '0.0.0.0/0', gw: '10.2.0.1' },
    { dst: '::/0', gw: 'fd00:2::1' },
  ]);
  t.strictSame(journals(), ['c1-net1.json']);
  await reset('net1');
  t.strictSame(defaults(), ETH0);
  t.strictSame(journals(), []);
  await reset('net1');
  t.strictSame(defaults(), ETH0, 'again, nothing');
});

t.test('an attachment that took nothing has nothing to give back, whatever its namespace is', async (t) => {
  const dataDir = join(scratchFolder(t), 'data');
  const input = { containerID: 'c1', netns: '/proc/self/ns/net', ifname: 'net1', args: [], capabilityArgs: {} };
  await new DefaultRoutes({ dataDir }).reset({ network: { name: 'blue', cniVersion: '1.0.0' }, input });
});

t.test('leaves the other family alone', { skip: noRoot }, async (t) => {
  const { defaults, set, reset } = podOf(t, 'net1');
  await set('net1', 'fd00:2::1');
  t.strictSame(defaults(), ['default via 10.1.0.1 dev eth0', 'default via fd00:2::1 dev net1']);
  await reset('net1');
  t.strictSame(defaults(), ETH0);
});

t.test('a network that comes later yields, and the one that was chosen goes on', { skip: noRoot }, async (t) => {
  const { pod, routes, defaults, set, reset, attached, result, journals } = podOf(t, 'net1', 'net2');
  await set('net1', '10.2.0.1', 'fd00:2::1');
  // As plugins add theirs (RouteAddEcmp of github.com/vishvananda/netlink): neither replaced nor refused.
  pod.ip('route prepend default via 10.3.0.1 dev net2');
  pod.ip('-6 route append default via fd00:3::1 dev net2');
  const before = [{ dst: '0.0.0.0/0', gw: '10.3.0.1' }, { dst: '::/0', gw: 'fd00:3::1' }, { dst: '10.9.0.0/16' }];
  const whole = await routes.yield(attached('net2'), [4, 6], result('net2', before));
  t.strictSame(defaults(), ['default via 10.2.0.1 dev net1', 'default via fd00:2::1 dev net1']);
  t.match(whole.routes, [{ dst: '10.9.0.0/16' }]);
  t.equal((whole.routes as object[]).length, 1);
  await reset('net1');
  t.strictSame(defaults(), ETH0);
  pod.ip('link delete net2');
  await reset('net2');
  t.strictSame(defaults(), ETH0);
  t.strictSame(journals(), []);
});

t.test('yields only the families that it is asked to, and only what is its own', { skip: noRoot }, async (t) => {
  const { pod, routes, defaults, attached, result } = podOf(t, 'net1');
  pod.ip('-6 route append default via fd00:2::1 dev net1 metric 2048');
  await routes.yield(attached('net1'), [4], result('net1'));
  t.strictSame(defaults(), [...ETH0, 'default via fd00:2::1 dev net1']);
  await routes.yield(attached('net1'), [6], result('net1'));
  t.strictSame(defaults(), ETH0);
});

t.test('the interface may be gone by the time of DEL, and so may the namespace', { skip: noRoot }, async (t) => {
  const { pod, routes, defaults, set, reset, journals, attached } = podOf(t, 'net1', 'net2');
  await set('net1', '10.2.0.1', 'fd00:2::1');
  pod.ip('link delete net1');
  t.strictSame(defaults(), []);
  await reset('net1');
  t.strictSame(defaults(), ETH0);
  await set('net2', '10.3.0.1');
  const gone = attached('net2');
  await routes.reset({ ...gone, input: { ...gone.input, netns: '' } });
  t.strictSame(journals(), []);
});

t.test('a gateway that cannot be is refused, and takes nothing away', { skip: noRoot }, async (t) => {
  const { pod, defaults, set, journals } = podOf(t, 'net1');
  for (const gateways of [['10.9.0.1'], ['10.2.0.1', 'fd00:9::1']]) {
    await t.rejects(set('net1', ...gateways), { code: 104, message: /^default-route: / }, gateways.join());
    t.strictSame(defaults(), ETH0);
    t.strictSame(journals(), []);
  }
  await t.rejects(set('net1', '10.2.0.1', '10.2.0.2'), { code: 7, message: /several of one family/ });
  await t.rejects(set('net1', 'x'), { code: 7 });
  await t.rejects(set('net9', '10.2.0.1'), { code: 100 });
  pod.ip('link set net1 down');
  await t.rejects(set('net1', '10.2.0.1'), { code: 104 });
  t.strictSame(defaults(), ETH0);
});

t.test('a default route that is there as wanted stays, also if somebody else made it', { skip: noRoot }, async (t) => {
  const { pod, routes, defaults, set, reset, attached, result } = podOf(t, 'net1');
  pod.ip('route replace default via 10.2.0.1 dev net1');
  await set('net1', '10.2.0.1');
  t.strictSame(defaults(), ['default via 10.2.0.1 dev net1', ETH0[1]]);
  await reset('net1');
  t.strictSame(defaults(), ['default via 10.2.0.1 dev net1', ETH0[1]]);
  const before = [{ dst: '0.0.0.0/0', gw: '10.2.0.254' }, { dst: '10.9.0.0/16' }, { dst: '::/0', gw: 'fd00:2::fe' }];
  const whole = await routes.set(attached('net1'), ['10.2.0.1'], result('net1', before));
  t.match(whole.routes, [
    { dst: '10.9.0.0/16' },
    { dst: '::/0', gw: 'fd00:2::fe' },
    { dst: '0.0.0.0/0', gw: '10.2.0.1' },
  ]);
});

t.test('an IPv6 default route with several next hops goes and comes back as a whole', { skip: noRoot }, async (t) => {
  const { pod, defaults, set, reset } = podOf(t, 'net1', 'net2');
  pod.ip('-6 route append default via fd00:3::1 dev net2');
  const before = pod.ip('-6 route show default');
  await set('net1', 'fd00:2::1');
  t.strictSame(defaults(), [ETH0[0], 'default via fd00:2::1 dev net1']);
  await reset('net1');
  t.equal(pod.ip('-6 route show default'), before);
});
