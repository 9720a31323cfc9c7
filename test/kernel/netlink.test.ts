import { join } from 'node:path';
import t, { type Test } from 'tap';
import { staticRoute } from '../../plugins/static-route/main.ts';
import { batch, lacks } from '../support/kernel/kinds.ts';
import { noNamespaces, run, type Scratch, scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { type Answer, call, success, variables } from '../support/plugins/call.ts';

// Routes of others that not every kernel shows or takes in one way: by nexthop objects, by several next hops, in tables above
// 255, in a VRF.

type World = { pod: Scratch; ask(verb: string, keys: object): Promise<Answer> };

function worldOf(t: Test, ...commands: string[]): World {
  const pod = scratchPod(t);
  batch(pod, commands);
  const dataDir = join(scratchFolder(t), 'data');
  const prevResult = { interfaces: [{ name: 'eth0', sandbox: pod.path }] };
  const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, prevResult };
  const ask: World['ask'] = (verb, keys) => call(staticRoute, variables(verb, pod.path), { ...config, ...keys });
  return { pod, ask };
}

/** ADD and DEL with these keys; what `ip route` has after ADD. All must be as before afterwards. */
async function addAndDelete(t: Test, { pod, ask }: World, keys: object): Promise<string> {
  const before = routesOf(pod);
  success(await ask('ADD', keys));
  const added = routesOf(pod);
  success(await ask('CHECK', keys));
  success(await ask('DEL', keys));
  t.equal(routesOf(pod), before, 'after DEL all is as before');
  return added;
}

// The kernel lists the hops of IPv6 in no particular order.
function routesOf(pod: Scratch): string {
  pod.routes();
  const lines = ['-4', '-6'].flatMap((family) => pod.ip(`${family} -o -d route show table all`).trim().split('\n'));
  const words = (line: string) => [...line.replaceAll('\\', '').split(/(?=nexthop)/)].map((part) => part.trim());
  return lines.map((line) => [words(line)[0], ...words(line).slice(1).sort()].join(' ')).join('\n');
}

const OBJECTS = [
  'nexthop add id 7 via 10.244.1.1 dev eth0',
  'nexthop add id 8 via 10.244.1.2 dev eth0',
  'nexthop add id 9 group 7/8',
  'nexthop add id 17 via fd00:244:1::1 dev eth0',
  'route add 10.15.0.0/16 nhid 7',
  'route add 10.16.0.0/16 nhid 9',
  'route add 2001:db8:15::/48 nhid 17',
];
const IN_THEIR_WAY = [
  { dst: '10.15.0.0/16', gw: '10.244.1.9' },
  { dst: '10.16.0.0/16', gw: '10.244.1.9' },
  { dst: '2001:db8:15::/48', gw: 'fd00:244:1::9' },
];

t.test('routes by nexthop objects', { skip: noNamespaces }, async (t) => {
  // Without it the kernel shows the object's id, and no hops.
  for (const compatible of [1, 0]) {
    t.test(`with nexthop_compat_mode ${compatible}`, async (t) => {
      const world = worldOf(t, ...OBJECTS);
      const { pod } = world;
      const file = '/proc/sys/net/ipv4/nexthop_compat_mode';
      run('ip', ['netns', 'exec', pod.name, 'sh', '-c', `echo ${compatible} >${file}`]);

      const beside = await addAndDelete(t, world, { routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }] });
      t.match(beside, /10\.15\.0\.0\/16 nhid 7 /);
      t.match(beside, /10\.9\.0\.0\/16 via 10\.244\.1\.1 dev eth0 table main proto 87/, 'stay beside ours');

      const before = routesOf(pod);
      const refused = await world.ask('ADD', { routes: IN_THEIR_WAY });
      t.match(refused.document, { code: 103 }, 'are a conflict');
      t.match(refused.document?.details, 'nhid 7');
      t.equal(routesOf(pod), before);
      t.equal(await addAndDelete(t, world, { routes: IN_THEIR_WAY, onConflict: 'keep' }), before, 'are kept');

      const replaced = await addAndDelete(t, world, { routes: IN_THEIR_WAY, onConflict: 'replace' });
      t.notMatch(replaced, 'nhid', 'are replaced, and DEL gives them back by their objects');
      t.match(replaced, /10\.16\.0\.0\/16 via 10\.244\.1\.9 dev eth0/);
    });
  }

  t.test('are flushed, and come back', async (t) => {
    const flushed = await addAndDelete(t, worldOf(t, ...OBJECTS), { flushroutes: true });
    t.notMatch(flushed, 'nhid');
  });
});

const TWO_HOPS = { dst: '2001:db8:7::/48', nexthops: [{ gw: 'fd00:244:1::1' }, { gw: 'fd00:244:1::2' }] };

t.test('IPv6 routes with several next hops', { skip: noNamespaces }, async (t) => {
  const forms = {
    'added hop by hop': [
      'route add 2001:db8:7::/48 via fd00:244:1::3 dev eth0',
      'route append 2001:db8:7::/48 via fd00:244:1::4 dev eth0',
    ],
    'added at once': [
      'route add 2001:db8:7::/48 nexthop via fd00:244:1::3 dev eth0 nexthop via fd00:244:1::4 dev eth0 weight 3',
    ],
  };
  for (const [form, commands] of Object.entries(forms)) {
    t.test(`${form}, are replaced and given back`, async (t) => {
      const world = worldOf(t, ...commands);
      const before = routesOf(world.pod);
      t.match((await world.ask('ADD', { routes: [TWO_HOPS] })).document, { code: 103 });
      t.equal(await addAndDelete(t, world, { routes: [TWO_HOPS], onConflict: 'keep' }), before);
      const replaced = await addAndDelete(t, world, { routes: [TWO_HOPS], onConflict: 'replace' });
      t.notMatch(replaced, /fd00:244:1::[34]\b/);
      t.match(replaced, /nexthop via fd00:244:1::1 dev eth0.*nexthop via fd00:244:1::2 dev eth0/);
    });
  }

  t.test('of ours: a hop that somebody takes away is reported, and DEL takes the other', async (t) => {
    const { pod, ask } = worldOf(t);
    const before = routesOf(pod);
    success(await ask('ADD', { routes: [TWO_HOPS] }));
    pod.ip('route del 2001:db8:7::/48 via fd00:244:1::1');
    t.match((await ask('CHECK', { routes: [TWO_HOPS] })).document, { code: 106 });
    success(await ask('DEL', { routes: [TWO_HOPS] }));
    t.equal(routesOf(pod), before);
  });
});

t.test('tables above 255, one of the highest number too', { skip: noNamespaces }, async (t) => {
  const table = 4_294_967_295;
  const routes = [
    { dst: '10.9.0.0/16', gw: '10.244.1.1', table: 256 },
    { dst: '2001:db8:9::/48', gw: 'fd00:244:1::1', table },
  ];
  const added = await addAndDelete(t, worldOf(t, 'route add 10.9.0.0/16 dev eth0 table 257'), { routes });
  t.match(added, /10\.9\.0\.0\/16 via 10\.244\.1\.1 dev eth0 table 256/);
  t.match(added, new RegExp(`2001:db8:9::/48 via fd00:244:1::1 dev eth0 table ${table}`));
});

t.test('a refusal carries the words of the kernel', { skip: noNamespaces }, async (t) => {
  const { pod, ask } = worldOf(t);
  const before = routesOf(pod);
  const { document } = await ask('ADD', { routes: [{ dst: '10.9.0.0/16', gw: '192.0.2.1' }] });
  t.match(document, { code: 104, msg: /ENETUNREACH.*Nexthop has invalid gateway/ });
  t.equal(routesOf(pod), before);
});

t.test('an interface in a VRF', { skip: lacks('vrf table 7') }, async (t) => {
  const join = ['link add red type vrf table 1001', 'link set red up', 'link set eth0 master red'];
  // The kernel has deleted the IPv6 addresses.
  const world = worldOf(t, ...join, 'address replace fd00:244:1::5/64 dev eth0 nodad');
  const { pod, ask } = world;
  batch(pod, [
    'route add 10.77.0.0/16 via 10.244.1.1 table 1001',
    'route add 10.78.0.0/16 via 10.244.1.1 onlink dev eth0',
  ]);
  const before = routesOf(pod);
  const keys = {
    routes: [
      { dst: '10.9.0.0/16', gw: '10.244.1.1' },
      { dst: '2001:db8:9::/48', gw: 'fd00:244:1::1' },
      { dst: '10.10.0.0/16', gw: '10.244.1.1', table: 254, onlink: true },
    ],
    flushroutes: true,
  };
  const { routes } = success(await ask('ADD', keys));
  t.match(routes, [
    { dst: '10.9.0.0/16', table: 1001 },
    { dst: '2001:db8:9::/48', table: 1001 },
    { dst: '10.10.0.0/16' },
  ]);
  t.match(
    pod.ip('route get 10.9.0.1 vrf red'),
    /via 10\.244\.1\.1 dev eth0/,
    'what is sent by the VRF takes our route',
  );
  t.match(pod.ip('-6 route get 2001:db8:9::1 vrf red'), /via fd00:244:1::1 dev eth0/);
  t.match(pod.ip('route show 10.10.0.0/16'), /via 10\.244\.1\.1 dev eth0/, 'a table that is named is that table');
  t.equal(pod.ip('route show 10.77.0.0/16 table 1001'), '', 'what is flushed is in the table of the VRF');
  t.match(pod.ip('route show 10.78.0.0/16'), /via/, 'and not in the main one');
  success(await ask('CHECK', keys));
  success(await ask('DEL', keys));
  t.equal(routesOf(pod), before);
});
