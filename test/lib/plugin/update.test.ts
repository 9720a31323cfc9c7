import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { run as runPlugin } from '../../../lib/cni/runner.ts';
import { updating } from '../../../lib/plugin/update.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, type Document, success, variables } from '../../support/plugins/call.ts';

type Keys = { [key: string]: unknown };

/** Routes and rules of others, some of them in the way of ours. */
const OTHERS = [
  'route add 10.50.0.0/16 via 10.244.1.77 mtu 1300',
  '-6 route add 2001:db8:50::/48 via fd00:244:1::77',
  'route add 10.51.0.0/16 via 10.244.1.78',
  'rule add from 10.52.0.0/16 table 52 pref 60 proto static',
];

function setUp(t: Test) {
  const pod = scratchPod(t);
  for (const other of OTHERS) pod.ip(other);
  const dataDir = join(scratchFolder(t), 'data');
  const configOf = (keys: Keys, result?: object) => ({
    cniVersion: '1.1.0',
    name: 'net',
    type: 'static-route',
    dataDir,
    onConflict: 'replace',
    ...keys,
    prevResult: result ?? {
      interfaces: [{ name: 'eth0', sandbox: pod.path }],
      ips: [
        { address: '10.244.1.5/24', gateway: '10.244.1.1', interface: 0 },
        { address: 'fd00:244:1::5/64', gateway: 'fd00:244:1::1', interface: 0 },
      ],
    },
  });
  return {
    pod,
    dataDir,
    configOf,
    run: (verb: string, keys: Keys, result?: object) =>
      call(staticRoute, variables(verb, pod.path), configOf(keys, result)),
    update: (keys: Keys, result?: object, others: Keys[] = [], args: string[] = []) =>
      call(
        updating(
          staticRoute.definition,
          others.map((other) => configOf(other, result)),
        ),
        variables('ADD', pod.path),
        configOf(keys, result),
        args,
      ),
    picture: () => pictureOf(pod),
  };
}

function pictureOf(pod: Scratch): string {
  return [pod.routes(), pod.ip('-d rule'), pod.ip('-d -6 rule')].join('\n');
}

const via = (dst: string, gw = '10.244.1.1', more: object = {}) => ({ dst, gw, ...more });

/** An edit: what it says before and after, and the changes that it makes, as --noop says them. */
const EDITS: [what: string, before: Keys, after: Keys, ...changes: string[]][] = [
  ['nothing', { routes: [via('10.1.0.0/16')] }, { routes: [via('10.1.0.0/16')] }],
  [
    'the order',
    { routes: [via('10.1.0.0/16'), via('10.2.0.0/16')] },
    { routes: [via('10.2.0.0/16'), via('10.1.0.0/16')] },
  ],
  [
    'a route more',
    { routes: [via('10.1.0.0/16')] },
    { routes: [via('10.1.0.0/16'), via('10.2.0.0/16')] },
    'add route 10.2.0.0/16 via 10.244.1.1 dev eth0',
  ],
  [
    'a route less',
    { routes: [via('10.1.0.0/16'), via('10.2.0.0/16')] },
    { routes: [via('10.1.0.0/16')] },
    'delete route 10.2.0.0/16 via 10.244.1.1 dev eth0',
  ],
  [
    'another gateway',
    { routes: [via('10.1.0.0/16'), via('10.2.0.0/16')] },
    { routes: [via('10.1.0.0/16'), via('10.2.0.0/16', '10.244.1.9')] },
    'delete route 10.2.0.0/16 via 10.244.1.1 dev eth0',
    'add route 10.2.0.0/16 via 10.244.1.9 dev eth0',
  ],
  [
    'a route that took the place of another’s, which comes back',
    { routes: [via('10.50.0.0/16')] },
    { routes: [] },
    'delete route 10.50.0.0/16 via 10.244.1.1 dev eth0',
    'add route 10.50.0.0/16 via 10.244.1.77 dev eth0 mtu 1300',
  ],
  [
    'a route that now takes the place of another’s',
    { routes: [] },
    { routes: [via('10.50.0.0/16')] },
    'delete route 10.50.0.0/16 via 10.244.1.77 dev eth0 mtu 1300',
    'add route 10.50.0.0/16 via 10.244.1.1 dev eth0',
  ],
  [
    'another gateway of a route that took the place of another’s, which stays away',
    { routes: [via('10.50.0.0/16')] },
    { routes: [via('10.50.0.0/16', '10.244.1.9')] },
    'delete route 10.50.0.0/16 via 10.244.1.1 dev eth0',
    'add route 10.50.0.0/16 via 10.244.1.9 dev eth0',
  ],
  [
    'IPv6, several next hops, tables and types',
    { routes: [via('2001:db8:1::/48', 'fd00:244:1::1'), via('10.3.0.0/16', '10.244.1.1', { table: 100 })] },
    {
      routes: [
        { dst: '2001:db8:1::/48', nexthops: [{ gw: 'fd00:244:1::1' }, { gw: 'fd00:244:1::2' }] },
        { dst: '10.3.0.0/16', type: 'blackhole', table: 100 },
      ],
    },
    'delete route 10.3.0.0/16 via 10.244.1.1 dev eth0 table 100',
    'delete route 2001:db8:1::/48 via fd00:244:1::1 dev eth0',
    'add route 2001:db8:1::/48 nexthop via fd00:244:1::1 dev eth0 weight 1 nexthop via fd00:244:1::2 dev eth0 weight 1',
    'add route blackhole 10.3.0.0/16 table 100',
  ],
  [
    'rules',
    {
      rules: [
        { from: '10.52.0.0/16', table: 7, priority: 60 },
        { fwmark: 5, to: '10.0.0.0/8', table: 8 },
      ],
    },
    { rules: [{ fwmark: 5, to: '10.0.0.0/8', table: 9 }] },
    'delete rule priority 20000 from all to 10.0.0.0/8 fwmark 0x5 lookup 8',
    'delete rule priority 60 from 10.52.0.0/16 lookup 7',
    'add rule priority 60 from 10.52.0.0/16 lookup 52',
    'add rule priority 20000 from all to 10.0.0.0/8 fwmark 0x5 lookup 9',
  ],
  [
    'a map',
    {
      topology: {
        vrf: { a: { subnets: { '10.244.1.0/24': { gw: '10.244.1.1' }, '10.60.0.0/16': { gw: '10.60.0.1' } } } },
      },
    },
    {
      topology: {
        vrf: { a: { subnets: { '10.244.1.0/24': { gw: '10.244.1.1' }, '10.61.0.0/16': { gw: '10.61.0.1' } } } },
      },
    },
    'delete route 10.60.0.0/16 via 10.244.1.1 dev eth0',
    'add route 10.61.0.0/16 via 10.244.1.1 dev eth0',
  ],
  [
    'a flush, which gives back what it took',
    { flushroutes: true, routes: [via('10.1.0.0/16')] },
    { routes: [via('10.1.0.0/16')] },
    'add route 2001:db8:50::/48 via fd00:244:1::77 dev eth0',
    'add route 10.51.0.0/16 via 10.244.1.78 dev eth0',
    'add route 10.50.0.0/16 via 10.244.1.77 dev eth0 mtu 1300',
  ],
];

t.test('an edit of a running attachment', { skip: noNamespaces }, async (t) => {
  for (const [what, before, after, ...changes] of EDITS) {
    await t.test(`of ${what}: makes the difference, and is then as a new ADD`, async (t) => {
      const { pod, run, update, picture } = setUp(t);
      const bare = picture();
      const fresh = success(await run('ADD', after));
      const wanted = picture();
      success(await run('DEL', after));
      const result = success(await run('ADD', before));
      const old = picture();

      t.strictSame(success(await update(after, result, [], ['--noop'])).changes, changes);
      t.equal(picture(), old, '--noop changes nothing');
      const updated = success(await update(after, result));
      t.equal(sorted(picture()), sorted(wanted));
      t.strictSame(sortedRoutes(updated), sortedRoutes(fresh), 'with the result of one');
      success(await run('CHECK', after, updated));
      t.strictSame(success(await update(after, updated, [], ['--noop'])).changes, [], 'a second one has nothing to do');
      success(await run('DEL', after, updated));
      t.equal(sorted(picture()), sorted(bare), 'DEL leaves all as before');
      t.equal(pod.ip('route show proto 87'), '');
    });
  }
});

function sortedRoutes({ routes = [] }: Document): string[] {
  return routes.map((route) => JSON.stringify(route)).sort();
}

// Rules of one priority stand in the order in which they were added, routes of some kinds too.
function sorted(picture: string): string {
  return picture
    .replaceAll('},{', '}\n{')
    .split('\n')
    .map((line) => line.replace(/^\[|\]$/g, ''))
    .sort()
    .join('\n');
}

t.test('source routing comes, keeps its table, and goes', { skip: noNamespaces }, async (t) => {
  const { run, update, picture } = setUp(t);
  const bare = picture();
  const result = success(await run('ADD', { routes: [via('10.1.0.0/16')] }));
  const without = picture();
  const keys = { routes: [via('10.1.0.0/16')], sourceRouting: true };
  success(await update(keys, result));
  const with_ = picture();
  t.match(with_, /30000:\tfrom 10\.244\.1\.5 lookup 87\d+ proto 87/);
  success(await run('CHECK', keys, result));
  const more = { ...keys, routes: [...keys.routes, via('10.2.0.0/16')] };
  t.equal((success(await update(more, result, [], ['--noop'])).changes ?? []).length, 2, 'a route in two tables');
  const updated = success(await update(more, result));
  success(await run('CHECK', more, updated));
  t.equal(picture().match(/lookup 87\d+/)?.[0], with_.match(/lookup 87\d+/)?.[0]);
  const back = success(await update({ routes: [via('10.1.0.0/16')] }, updated));
  t.equal(picture(), without);
  success(await run('DEL', { routes: [] }, back));
  t.equal(picture(), bare);
});

t.test('what was lost comes back with an update', { skip: noNamespaces }, async (t) => {
  const { pod, run, update, picture } = setUp(t);
  const keys = { routes: [via('10.1.0.0/16'), via('10.2.0.0/16')], rules: [{ fwmark: 5, table: 8 }] };
  const result = success(await run('ADD', keys));
  const before = picture();
  pod.ip('route flush proto 87');
  pod.ip('-6 rule del fwmark 5');
  success(await update(keys, result));
  t.equal(picture(), before);
});

t.test('routes of two entries of a list that share a journal', { skip: noNamespaces }, async (t) => {
  const { run, update, picture } = setUp(t);
  const bare = picture();
  const first = { routes: [via('10.1.0.0/16')] };
  success(await run('ADD', first));
  const result = success(await run('ADD', { routes: [via('10.2.0.0/16')] }));
  const edited = { routes: [via('10.3.0.0/16')] };
  t.strictSame(success(await update(first, result, [edited], ['--noop'])).changes, [
    'delete route 10.2.0.0/16 via 10.244.1.1 dev eth0',
    'add route 10.3.0.0/16 via 10.244.1.1 dev eth0',
  ]);
  const updated = success(await update(first, result, [edited]));
  t.strictSame(
    updated.routes?.map(({ dst }) => dst).sort(),
    ['10.1.0.0/16', '10.3.0.0/16'],
    'the result has what there is',
  );
  success(await run('DEL', first));
  t.equal(picture(), bare);
});

t.test('a refused edit leaves the pod as it was, and its journal', { skip: noNamespaces }, async (t) => {
  const { run, update, picture } = setUp(t);
  const bare = picture();
  const before = { routes: [via('10.50.0.0/16'), via('10.1.0.0/16')], rules: [{ fwmark: 5, table: 8 }] };
  const result = success(await run('ADD', before));
  const old = picture();
  const impossible = { routes: [via('10.1.0.0/16', '10.244.1.9'), via('10.2.0.0/16', '203.0.113.1')] };
  t.match((await update(impossible, result)).document, { code: 104, msg: /^routes\[1\]: the kernel refused/ });
  t.equal(sorted(picture()), sorted(old));
  t.match((await update({ routes: [{ dst: 'x' }] }, result)).document, { code: 7 });
  t.match((await update({ routes: [via('10.51.0.0/16')], onConflict: 'fail' }, result)).document, { code: 103 });
  t.equal(sorted(picture()), sorted(old));
  success(await run('CHECK', before, result));
  success(await run('DEL', before, result));
  t.equal(sorted(picture()), sorted(bare));
});

t.test('an attachment of which nobody knows what is ours is not touched', { skip: noNamespaces }, async (t) => {
  const { run, update, picture, dataDir } = setUp(t);
  const result = success(await run('ADD', { routes: [via('10.1.0.0/16')] }));
  const before = picture();
  rmSync(dataDir, { recursive: true });
  t.match((await update({ routes: [] }, result)).document, { code: 999, msg: /its journal is missing/ });
  const lost = { ...result, ips: [{ address: '10.244.1.5/24', gateway: '0.0.0.0', interface: 0 }] };
  success(await run('ADD', { routes: [via('10.1.0.0/16')] }));
  t.match((await update({ routes: [] }, lost)).document, { code: 999, msg: /has lost the gateways/ });
  t.equal(picture(), before);
});

const route = fc.record({
  dst: fc.constantFrom('10.1.0.0/16', '10.2.0.0/16', '10.50.0.0/16', '10.51.0.0/16'),
  gw: fc.constantFrom('10.244.1.1', '10.244.1.2', '10.244.1.77'),
  priority: fc.constantFrom(undefined, 5),
  table: fc.constantFrom(undefined, 100),
});
const keys = fc.record({
  routes: fc.uniqueArray(route, {
    maxLength: 3,
    selector: ({ dst, priority, table }) => `${dst} ${priority} ${table}`,
  }),
  rules: fc.uniqueArray(
    fc.record({
      from: fc.constantFrom('10.52.0.0/16', '10.53.0.5'),
      table: fc.constantFrom(52, 7),
      priority: fc.constantFrom(60, 61),
    }),
    { maxLength: 2, selector: ({ from, priority }) => `${from} ${priority}` },
  ),
  sourceRouting: fc.boolean(),
  flushroutes: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});

t.test('random edits, killed after any change', { skip: noNamespaces }, async (t) => {
  const { pod, run, update, picture, configOf, dataDir } = setUp(t);
  const bare = sorted(picture());
  const die = async (after: Keys, result: object, changes: number) => {
    let slices = 0;
    await runPlugin(updating(staticRoute.definition), {
      env: variables('ADD', pod.path),
      args: [],
      readStdin: () => Buffer.from(JSON.stringify(configOf(after, result))),
      writeStdout: () => {},
      writeStderr: () => {},
      pacing: {
        sliceBytes: 1,
        breathe: async () => {
          slices++;
          if (slices === changes) throw new Error('the process dies here');
        },
      },
    });
  };
  const same = (wanted: string, when: string) => {
    const found = sorted(picture());
    if (found !== wanted) throw new Error(`${when}: found\n${found}\nwanted\n${wanted}`);
  };
  const plain = (each: Keys): Keys => JSON.parse(JSON.stringify(each));
  const property = fc.asyncProperty(keys, keys, fc.nat(), async (one, other, at) => {
    const [before, after] = [plain(one), plain(other)];
    success(await run('ADD', after));
    const wanted = sorted(picture());
    success(await run('DEL', after));
    const result = success(await run('ADD', before));
    const changes = success(await update(after, result, [], ['--noop'])).changes ?? [];
    success(await update(after, result));
    same(wanted, 'an update');
    success(await update(before, result));
    if (changes.length > 1) {
      const dead = 1 + (at % (changes.length - 1));
      await die(after, result, dead);
      success(await update(after, result));
      same(wanted, `an update after one that died after ${dead} changes`);
      success(await update(before, result));
      await die(after, result, dead);
    }
    success(await run('DEL', after, result));
    same(bare, 'DEL');
  });
  const copied = { routes: [], rules: [], sourceRouting: true, flushroutes: false };
  const other = { dst: '10.50.0.0/16', gw: '10.244.1.77', priority: undefined, table: undefined } as const;
  const flushed = { ...copied, routes: [other], flushroutes: true };
  await fc.assert(property, { numRuns: 60, examples: [[flushed, copied, 6]] });
  t.strictSame(readdirSync(join(dataDir, 'static-route')), []);
});
