import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CniError } from '../../../lib/cni/errors.ts';
import { parseStaticRouteConfig } from '../../../plugins/static-route/config.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod, settle } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';
import { dyingCall } from '../../support/plugins/killed.ts';

/** A pod with eth0, and further links with addresses. `run` calls the plugin for one of them, with a previous result. */
function setUp(t: Test, links: { [link: string]: string[] } = { net1: ['10.7.0.5/16', 'fd07::5/64'] }) {
  const pod = scratchPod(t);
  pod.ip('route add default via 10.244.1.1');
  for (const [link, addresses] of Object.entries(links)) {
    pod.ip(`link add ${link} type veth peer name ${link}-peer`);
    pod.ip(`link set ${link}-peer up`);
    pod.ip(`link set ${link} up`);
    for (const address of addresses) pod.ip(`address add ${address} dev ${link}`);
  }
  settle(pod);
  const dataDir = join(scratchFolder(t), 'data');
  const run = (verb: string, keys: object = {}, ips: object[] = [], ifname = 'net1', args: string[] = []) => {
    const prevResult = { interfaces: [{ name: ifname, sandbox: pod.path }], ips };
    const config = {
      cniVersion: '1.1.0',
      name: 'net',
      type: 'static-route',
      dataDir,
      sourceRouting: true,
      ...keys,
      prevResult,
    };
    return call(staticRoute, variables(verb, pod.path, { CNI_IFNAME: ifname }), config, args);
  };
  return { pod, dataDir, run, picture: () => pictureOf(pod) };
}

const GATEWAYS = [
  { address: '10.7.0.5/16', gateway: '10.7.0.1', interface: 0 },
  { address: 'fd07::5/64', gateway: 'fd07::1', interface: 0 },
];

function pictureOf(pod: Scratch): string {
  return [pod.routes(), pod.ip('-d rule'), pod.ip('-d -6 rule')].join('\n');
}

/** The rules of ours in short: source and table. */
function rulesOf(pod: Scratch): string[] {
  return [4, 6].flatMap((family) =>
    pod
      .ipJson(`-d -${family} rule show`)
      .filter(({ protocol }) => protocol === '87')
      .map(({ priority, src, table }) => `${priority} ${src} ${table}`),
  );
}

/** The routes of a table in short. */
function tableOf(pod: Scratch, table: number | string): string[] {
  return [4, 6].flatMap((family) =>
    pod
      .ipJson(`-d -${family} route show table all`)
      .filter((route) => route.table === String(table))
      .map(({ type, dst, gateway, dev, metric }) =>
        [
          type === 'unicast' ? '' : type,
          dst,
          gateway && `via ${gateway}`,
          type === 'unicast' && dev,
          metric && `metric ${metric}`,
        ]
          .filter(Boolean)
          .join(' '),
      ),
  );
}

function indexOf(pod: Scratch, link: string): number {
  return pod.ipJson(`link show dev ${link}`)[0]?.ifindex as number;
}

t.test('sourceRouting', { skip: noNamespaces }, async (t) => {
  t.test('makes a table with subnet and gateway, and a rule for each address, of both families', async (t) => {
    const { pod, run, picture } = setUp(t);
    const before = picture();
    success(await run('ADD', {}, GATEWAYS));
    const table = 87000 + indexOf(pod, 'net1');
    t.strictSame(rulesOf(pod), [`30000 10.7.0.5 ${table}`, `30000 fd07::5 ${table}`]);
    t.strictSame(tableOf(pod, table), [
      'default via 10.7.0.1 net1',
      '10.7.0.0/16 net1',
      'fd07::/64 net1 metric 256',
      'fe80::/64 net1 metric 256',
      'default via fd07::1 net1 metric 1024',
    ]);
    const once = picture();
    success(await run('CHECK', {}, GATEWAYS));
    success(await run('ADD', {}, GATEWAYS));
    t.equal(picture(), once, 'a second ADD changes nothing');
    success(await run('DEL', {}, GATEWAYS));
    t.equal(picture(), before);
  });

  t.test('leaves the result and the main table as they are', async (t) => {
    const { pod, run } = setUp(t);
    const main = tableOf(pod, 'main');
    const result = success(await run('ADD', {}, GATEWAYS));
    t.equal(result.routes, undefined);
    t.strictSame(tableOf(pod, 'main'), main);
  });

  t.test(
    'takes the gateway of the main table, else the first address of the subnet, where the result names none',
    async (t) => {
      const { pod, run } = setUp(t);
      pod.ip('route add default via 10.7.0.9 dev net1 metric 50');
      success(await run('ADD'));
      const table = 87000 + indexOf(pod, 'net1');
      t.ok(tableOf(pod, table).includes('default via 10.7.0.9 net1'));
      t.ok(tableOf(pod, table).includes('default via fd07::1 net1 metric 1024'));
      pod.ip('route del default via 10.7.0.9 dev net1 metric 50');
      success(await run('CHECK'));
    },
  );

  t.test('keeps to the gateway that was, once flushgateway has taken it out of result and main table', async (t) => {
    const { pod, run, picture } = setUp(t);
    pod.ip('route add default via 10.7.0.9 dev net1 metric 50');
    const before = picture();
    const named = [{ address: '10.7.0.5/16', gateway: '10.7.0.8', interface: 0 }];
    const result = success(await run('ADD', { flushgateway: true }, named));
    t.strictSame(result.ips?.[0]?.gateway, '0.0.0.0');
    success(await run('CHECK', { flushgateway: true }, result.ips));
    t.ok(tableOf(pod, 87000 + indexOf(pod, 'net1')).includes('default via 10.7.0.8 net1'));
    success(await run('DEL', { flushgateway: true }, result.ips));
    t.equal(picture(), before);
  });

  t.test('copies what leads out of the interface, and the listed routes that name no table', async (t) => {
    const { pod, run, picture } = setUp(t);
    pod.ip('route add 10.20.0.0/16 via 10.7.0.7 dev net1 metric 9');
    pod.ip('route add 10.21.0.0/16 via 10.244.1.7');
    pod.ip('route add 10.22.0.0/16 nexthop via 10.7.0.7 dev net1 nexthop via 10.244.1.7 dev eth0');
    const before = picture();
    const routes = [
      { dst: '10.30.0.0/16' },
      { dst: '10.31.0.0/16', gw: '10.7.0.3', mtu: 1300 },
      { dst: '10.32.0.0/16', table: 254 },
      { dst: '10.33.0.0/16', table: 500 },
      { dst: '10.34.0.0/16', dev: 'eth0', gw: '10.244.1.1' },
      { dst: '10.35.0.0/16', type: 'blackhole' },
    ];
    success(await run('ADD', { routes }, GATEWAYS));
    const table = tableOf(pod, 87000 + indexOf(pod, 'net1'));
    t.strictSame(
      table.filter((line) => !line.includes(':')),
      [
        'default via 10.7.0.1 net1',
        '10.7.0.0/16 net1',
        '10.20.0.0/16 via 10.7.0.7 net1 metric 9',
        '10.30.0.0/16 via 10.7.0.1 net1',
        '10.31.0.0/16 via 10.7.0.3 net1',
        'blackhole 10.35.0.0/16',
      ],
    );
    t.ok(tableOf(pod, 'main').includes('10.30.0.0/16 via 10.7.0.1 net1'), 'which stay in the main table too');
    success(await run('CHECK', { routes }, GATEWAYS));
    // Somebody adds a route later, or takes one back.
    pod.ip('route add 10.40.0.0/16 via 10.7.0.7');
    pod.ip('route del 10.20.0.0/16');
    success(await run('CHECK', { routes }, GATEWAYS));
    pod.ip('route del 10.40.0.0/16');
    pod.ip('route add 10.20.0.0/16 via 10.7.0.7 dev net1 metric 9');
    success(await run('DEL', { routes }, GATEWAYS));
    t.equal(picture(), before);
  });

  t.test('has a listed default route in the place of the gateway', async (t) => {
    const { pod, run } = setUp(t, { net1: ['10.7.0.1/16'] });
    t.match((await run('ADD')).document, {
      code: 102,
      msg: 'sourceRouting: no gateway can be computed from 10.7.0.1/16: it would be the pod itself; list a default route',
    });
    success(await run('ADD', { routes: [{ dst: 'default', gw: '10.7.0.3', priority: 70 }] }));
    t.ok(tableOf(pod, 87000 + indexOf(pod, 'net1')).includes('default via 10.7.0.3 net1 metric 70'));
  });

  t.test('routes several addresses, each by its own gateway', async (t) => {
    const { pod, run, picture } = setUp(t, {
      net1: ['10.7.0.5/16', '10.7.0.6/16', '10.8.0.5/24', 'fd07::5/64', 'fd08::5/64'],
    });
    const before = picture();
    const ips = [
      { address: '10.7.0.5/16', gateway: '10.7.0.1', interface: 0 },
      { address: '10.7.0.6/16', gateway: '10.7.0.1', interface: 0 },
      { address: '10.8.0.5/24', gateway: '10.8.0.1', interface: 0 },
      { address: 'fd07::5/64', gateway: 'fd07::1', interface: 0 },
      { address: 'fd08::5/64', gateway: 'fd07::1', interface: 0 },
    ];
    success(await run('ADD', {}, ips));
    const table = 87000 + indexOf(pod, 'net1');
    const further = table + 100000;
    t.strictSame(rulesOf(pod).sort(), [
      `30000 10.7.0.5 ${table}`,
      `30000 10.7.0.6 ${table}`,
      `30000 10.8.0.5 ${further}`,
      `30000 fd07::5 ${table}`,
      `30000 fd08::5 ${table}`,
    ]);
    for (const [number, gw] of [
      [table, '10.7.0.1'],
      [further, '10.8.0.1'],
    ]) {
      const lines = tableOf(pod, number ?? '').filter((line) => !line.includes(':'));
      t.strictSame(lines, [`default via ${gw} net1`, '10.7.0.0/16 net1', '10.8.0.0/24 net1']);
    }
    success(await run('CHECK', {}, ips));
    success(await run('ADD', {}, ips));
    success(await run('DEL', {}, ips));
    t.equal(picture(), before);
  });

  t.test('gives every attachment of a pod a table of its own, also those of one subnet', async (t) => {
    const { pod, run, picture } = setUp(t, { net1: ['10.7.0.5/16'], net2: ['10.7.0.6/16'], net3: ['10.9.0.5/16'] });
    const before = picture();
    const names = ['net1', 'net2', 'net3'];
    for (const name of names) success(await run('ADD', {}, [], name));
    const tables = rulesOf(pod).map((line) => line.split(' ')[2]);
    t.equal(new Set(tables).size, 3);
    for (const name of names) success(await run('CHECK', {}, [], name));
    for (const name of names) success(await run('DEL', {}, [], name));
    t.equal(picture(), before);
  });

  t.test(
    'does not take a table that has routes, that a rule leads to, that the config names, or that another attachment recorded',
    async (t) => {
      const { pod, run, picture } = setUp(t, { net1: ['10.7.0.5/16'] });
      const first = 87000 + indexOf(pod, 'net1');
      pod.ip(`-6 route add blackhole 2001:db8::/32 table ${first}`);
      pod.ip(`rule add from 10.99.0.1 lookup ${first + 100000} pref 7`);
      const before = picture();
      const keys = { routes: [{ dst: '10.60.0.0/16', gw: '10.7.0.1', table: first + 200000 }] };
      // An attachment whose routes have gone with its link.
      const table = { table: first + 300000 };
      pod.ip('link add gone type veth peer name gone-peer');
      pod.ip('link set gone up');
      pod.ip('address add 10.66.0.5/16 dev gone');
      success(await run('ADD', { sourceRouting: table }, [], 'gone'));
      pod.ip('rule del from 10.66.0.5');
      pod.ip('link del gone');
      success(await run('ADD', keys));
      t.strictSame(rulesOf(pod), [`30000 10.7.0.5 ${first + 400000}`]);
      success(await run('CHECK', keys));
      success(await run('DEL', keys));
      t.equal(picture(), before);
    },
  );

  t.test('keeps its table, whatever came into it or took its rule since', async (t) => {
    const { pod, run } = setUp(t);
    success(await run('ADD', {}, GATEWAYS));
    const rules = rulesOf(pod);
    pod.ip('rule del from 10.7.0.5');
    pod.ip('-6 rule del from fd07::5');
    const { document } = await run('CHECK', {}, GATEWAYS);
    t.match(document, { code: 106 });
    t.equal(document?.details?.split('\n').length, 2, 'only the rules are missing');
    success(await run('ADD', {}, GATEWAYS));
    t.strictSame(rulesOf(pod), rules);
  });

  t.test(
    'takes the table and the priority that are asked for, and says when another attachment has the table',
    async (t) => {
      const { pod, run, picture } = setUp(t, { net1: ['10.7.0.5/16'], net2: ['10.8.0.5/16'] });
      const keys = { sourceRouting: { table: 100, priority: 200 } };
      success(await run('ADD', keys));
      t.strictSame(rulesOf(pod), ['200 10.7.0.5 100']);
      const once = picture();
      t.match((await run('ADD', keys, [], 'net2')).document, {
        code: 103,
        msg: /^sourceRouting: 0\.0\.0\.0\/0 via 10\.8\.0\.1 dev net2 table 100 is wanted, but 0\.0\.0\.0\/0 via 10\.7\.0\.1 dev net1 table 100 is there/,
      });
      t.equal(picture(), once, 'and changes nothing then');
    },
  );

  t.test('without a journal, DEL takes away what the rules that are there lead to', async (t) => {
    const { pod, run, picture, dataDir } = setUp(t);
    const before = picture();
    pod.ip(`route add blackhole 10.1.0.0/16 table ${87000 + indexOf(pod, 'net1')}`);
    success(await run('ADD', {}, GATEWAYS));
    rmSync(dataDir, { recursive: true });
    success(await run('DEL', {}, GATEWAYS));
    pod.ip(`route del blackhole 10.1.0.0/16 table ${87000 + indexOf(pod, 'net1')}`);
    t.equal(picture(), before);
  });

  t.test('needs an address', async (t) => {
    const { run } = setUp(t, { net1: [] });
    t.match((await run('ADD')).document, { code: 101, msg: 'sourceRouting: interface "net1" has no address' });
  });

  t.test('false is the same as without it', async (t) => {
    const { run, picture } = setUp(t, { net1: [] });
    const before = picture();
    success(await run('ADD', { sourceRouting: false }));
    t.equal(picture(), before);
  });

  t.test('is said by --noop in lines', async (t) => {
    const { pod, run, picture } = setUp(t, { net1: ['10.7.0.5/16'] });
    const before = picture();
    const table = 87000 + indexOf(pod, 'net1');
    t.strictSame((await run('ADD', {}, [], 'net1', ['--noop'])).document?.changes, [
      `add route 10.7.0.0/16 dev net1 table ${table} src 10.7.0.5`,
      `add route 0.0.0.0/0 via 10.7.0.1 dev net1 table ${table}`,
      `add rule priority 30000 from 10.7.0.5/32 lookup ${table}`,
    ]);
    t.equal(picture(), before);
  });

  t.test('is all or nothing, wherever it is killed', async (t) => {
    const { pod, run, picture, dataDir } = setUp(t);
    const before = picture();
    const routes = [{ dst: '10.30.0.0/16' }];
    const prevResult = { interfaces: [{ name: 'net1', sandbox: pod.path }], ips: GATEWAYS };
    const config = {
      cniVersion: '1.1.0',
      name: 'net',
      type: 'static-route',
      dataDir,
      sourceRouting: true,
      routes,
      prevResult,
    };
    const die = (verb: string, made: number) =>
      dyingCall('static-route', made, variables(verb, pod.path, { CNI_IFNAME: 'net1' }), config);
    success(await run('ADD', { routes }, GATEWAYS));
    const added = picture();
    success(await run('DEL', { routes }, GATEWAYS));
    // A route in two tables, two subnets, link-local addresses, two gateways, two rules.
    for (let made = 1; made < 9; made++) {
      t.equal(die('ADD', made), 'SIGKILL');
      success(await run('DEL', { routes }, GATEWAYS));
      t.equal(picture(), before, `DEL after ${made} changes of ADD`);
      die('ADD', made);
      success(await run('ADD', { routes }, GATEWAYS));
      t.equal(picture(), added, `ADD after ${made} changes of ADD`);
      t.equal(die('DEL', made), 'SIGKILL');
      success(await run('DEL', { routes }, GATEWAYS));
      t.equal(picture(), before, `DEL after ${made} changes of DEL`);
    }
    t.strictSame(readdirSync(join(dataDir, 'static-route')), []);
  });
});

const WRONG: [sourceRouting: unknown, message: string][] = [
  [{ table: 254 }, 'sourceRouting.table: is the kernel\'s table "main"; a table of its own is needed'],
  [{ table: 0 }, 'sourceRouting.table: a whole number from 1 to 4294967295 is needed'],
  [{ priority: 0 }, 'sourceRouting.priority: a whole number from 1 to 4294967295 is needed'],
  [{ gateway: '10.0.0.1' }, 'sourceRouting.gateway: is not a known key'],
  ['yes', 'sourceRouting: must be an object, not a string'],
];

for (const [sourceRouting, message] of WRONG) {
  t.test(`${JSON.stringify(sourceRouting)} is error 7`, async (t) => {
    try {
      parseStaticRouteConfig({ cniVersion: '1.1.0', name: 'net', type: 'static-route', sourceRouting });
      t.fail('it is taken');
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      t.match(error, { code: 7, message: `invalid network config: ${message}` });
    }
  });
}
