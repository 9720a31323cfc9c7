import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { run, type Scratch, scratchNamespace } from '../support/namespaces/namespace.ts';
import { ANSWER_BYTES, fetchFrom, sentBytes, serve } from '../support/namespaces/tcp.ts';
import { bundleOf } from '../support/plugins/call.ts';
import { type ListPlugin, noCnitool, REFERENCE_FOLDER, scratchNode } from '../support/plugins/chain.ts';

// Pods with two and three networks, and a client in a network of its own, behind the node. Real connections show by which
// interface the pod answers, beside the reference plugin `sbr` and the example that Spiderpool publishes.

type Network = { readonly name: string; readonly ifname: string; readonly ipv4: string; readonly ipv6: string };

// The addresses of https://github.com/spidernet-io/spiderpool/blob/main/docs/usage/multi-interfaces-annotation.md.
const NETWORKS: readonly [Network, Network, Network] = [
  { name: 'net-a', ifname: 'eth0', ipv4: '10.6.168.172', ipv6: 'fd06::172' },
  { name: 'net-b', ifname: 'net1', ipv4: '10.7.168.173', ipv6: 'fd07::173' },
  { name: 'net-c', ifname: 'net2', ipv4: '10.8.168.174', ipv6: 'fd08::174' },
];
const CLIENT = ['192.0.2.2', '2001:db8:99::2'];
/** Addresses of nobody, in the second network. */
const NEIGHBORS = ['10.7.0.9', 'fd07::9'];

const SBR: ListPlugin = { type: 'sbr' };
const OURS: ListPlugin = { type: 'static-route', sourceRouting: true };
// The reference plugins' CHECK looks for the first name.
const NAME: ListPlugin = { type: 'consistent-ifname', resultNames: 'both' };

const gatewayOf = (address: string) =>
  address.includes(':') ? `${address.slice(0, 4)}::1` : `${address.slice(0, 4)}.0.1`;
const familyFlag = (address: string) => (address.includes(':') ? '-6' : '-4');
const addressesOf = ({ ipv4, ipv6 }: Network) => [ipv4, ipv6];

/** A bridge with the network's gateways, on the node, and the pod's addresses; the first network has the default routes. */
function bridgeOf({ ifname, ipv4, ipv6 }: Network): ListPlugin {
  const addresses = [
    { address: `${ipv4}/16`, gateway: gatewayOf(ipv4) },
    { address: `${ipv6}/64`, gateway: gatewayOf(ipv6) },
  ];
  const routes = ifname === 'eth0' ? [{ dst: '0.0.0.0/0' }, { dst: '::/0' }] : [];
  return { type: 'bridge', bridge: `br-${ifname}`, isGateway: true, ipam: { type: 'static', addresses, routes } };
}

/** Attaches the networks in their order, each with these plugins behind its bridge, but for the first. */
function worldOf(t: Test, networks: readonly Network[], plugins: readonly ListPlugin[]) {
  const world = scratchNode(t);
  const { node, pod } = world;
  const client = scratchNamespace(t);
  node.ip(`link add c0 type veth peer name eth0 netns ${client.name}`);
  for (const [place, link, last] of [
    [node, 'c0', '1'],
    [client, 'eth0', '2'],
  ] as const) {
    place.ip(`link set ${link} up`);
    place.ip(`address add 192.0.2.${last}/24 dev ${link}`);
    place.ip(`address add 2001:db8:99::${last}/64 dev ${link}`);
  }
  client.ip('route add default via 192.0.2.1');
  client.ip('-6 route add default via 2001:db8:99::1');
  for (const network of networks) {
    const behind = network.ifname === 'eth0' ? [] : plugins;
    world.writeList({ cniVersion: '1.0.0', name: network.name, plugins: [bridgeOf(network), ...behind] });
  }
  const must = (command: string, { name, ifname }: Network) =>
    world.must('cnitool', command, name, { CNI_IFNAME: ifname });
  const attach = () => {
    for (const network of networks) must('add', network);
  };
  return { ...world, must, client, attach, picture: () => pictureOf(pod) };
}

function pictureOf(pod: Scratch): string {
  return [pod.routes(), pod.ip('-d rule'), pod.ip('-d -6 rule'), JSON.stringify(pod.ipJson('link show'))].join('\n');
}

/** The interface that a packet leaves by, as the kernel says: to an address, from another or from none in particular. */
function leavesBy(pod: Scratch, to: string, from?: string): unknown {
  return pod.ipJson(`${familyFlag(to)} route get ${to}${from === undefined ? '' : ` from ${from}`}`)[0]?.dev;
}

/** The interface by which the pod sends what a client gets that connects to an address of it; `nothing` if nothing comes. */
function answersBy(pod: Scratch, client: Scratch, address: string): string {
  const before = sentBytes(pod);
  if (fetchFrom(client, address) !== ANSWER_BYTES) return 'nothing';
  const after = sentBytes(pod);
  return Object.keys(after)
    .filter((link) => (after[link] ?? 0) - (before[link] ?? 0) > ANSWER_BYTES / 2)
    .join();
}

for (const count of [2, 3]) {
  const networks = NETWORKS.slice(0, count);
  t.test(`a pod with ${count} networks`, { skip: noCnitool }, async (t) => {
    const reached: { [plugin: string]: unknown } = {};

    t.test('without source routing answers by its first interface, whatever was asked', async (t) => {
      const { pod, client, attach } = worldOf(t, networks, []);
      attach();
      await serve(t, pod);
      for (const address of networks.flatMap(addressesOf)) t.equal(answersBy(pod, client, address), 'eth0', address);
    });

    for (const plugin of [SBR, OURS]) {
      t.test(`with ${plugin.type} answers by the interface that was asked`, async (t) => {
        const { node, pod, client, attach } = worldOf(t, networks, [plugin]);
        attach();
        await serve(t, pod);
        // A node that takes packets only from where it would send the answers to, as many are set up.
        for (const place of [node, pod]) {
          const files = 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 >$f; done';
          run('ip', ['netns', 'exec', place.name, 'sh', '-c', files]);
        }
        for (const network of networks) {
          for (const address of addressesOf(network)) {
            t.equal(answersBy(pod, client, address), network.ifname, `${address} answers by ${network.ifname}`);
          }
        }
        reached[plugin.type] = networks.flatMap((network) =>
          CLIENT.flatMap((to, i) => [leavesBy(pod, to), leavesBy(pod, to, addressesOf(network)[i])]),
        );
      });
    }

    t.test('has the same reachability with both', async (t) => {
      t.strictSame(reached['static-route'], reached.sbr);
      t.strictSame(new Set(reached.sbr as string[]), new Set(networks.map(({ ifname }) => ifname)));
    });

    t.test('is checked, and as it was after its networks are gone, in whatever order', async (t) => {
      const { pod, must, attach, leftovers } = worldOf(t, networks, [OURS]);
      const [first, ...others] = networks;
      if (first === undefined) throw new Error('there are networks');
      must('add', first);
      const before = pictureOf(pod);
      for (const order of [others, others.toReversed()]) {
        for (const network of others) must('add', network);
        for (const network of networks) must('check', network);
        t.equal(tablesOf(pod).length, count - 1, 'each has a table of its own');
        for (const network of order) must('del', network);
        t.equal(pictureOf(pod), before);
      }
      must('del', first);
      t.strictSame(leftovers(), []);
      attach();
    });
  });
}

/** The tables that rules of ours lead to. */
function tablesOf(pod: Scratch): unknown[] {
  const rules = [4, 6].flatMap((family) => pod.ipJson(`-d -${family} rule show`));
  return [...new Set(rules.flatMap(({ protocol, table }) => (protocol === '87' ? [table] : [])))];
}

for (const [what, plugins] of [
  ['before', [NAME, OURS]],
  ['behind', [OURS, NAME]],
] as const) {
  t.test(`consistent-ifname ${what} it`, { skip: noCnitool }, async (t) => {
    const networks = NETWORKS.slice(0, 2);
    const { pod, client, must } = worldOf(t, networks, plugins);
    const [first, second] = NETWORKS;
    must('add', first);
    const before = pictureOf(pod);
    must('add', second);
    await serve(t, pod);
    const name = pod.ipJson('link show dev net1')[0]?.ifname as string;
    t.match(name, /^net[0-9a-f]{12}$/);
    for (const address of addressesOf(second)) t.equal(answersBy(pod, client, address), name);
    must('check', second);
    must('del', second);
    t.equal(pictureOf(pod), before);
  });
}

t.test('behind ptp, whose subnet is not on the link', { skip: noCnitool }, async (t) => {
  const { pod, client, must, writeList } = worldOf(t, NETWORKS.slice(0, 1), []);
  const ranges = [[{ subnet: '10.9.0.0/24' }], [{ subnet: 'fd09::/64' }]];
  const second = { ...NETWORKS[1], name: 'net-p' };
  writeList({
    cniVersion: '1.0.0',
    name: 'net-p',
    plugins: [{ type: 'ptp', ipam: { type: 'host-local', ranges } }, OURS],
  });
  must('add', NETWORKS[0]);
  const before = pictureOf(pod);
  must('add', second);
  await serve(t, pod);
  for (const address of ['10.9.0.2', 'fd09::2']) {
    t.equal(answersBy(pod, client, address), 'net1');
    const to = address.includes(':') ? 'fd09::9' : '10.9.0.9';
    t.match(pod.ipJson(`${familyFlag(to)} route get ${to} from ${address}`), [{ dev: 'net1', gateway: /1$/ }]);
  }
  must('check', second);
  must('del', second);
  t.equal(pictureOf(pod), before);
});

t.test('the faults of sbr, in both families', { skip: noCnitool }, async (t) => {
  const networks = NETWORKS.slice(0, 2);
  const second = NETWORKS[1];
  const both = () => ({ sbr: worldOf(t, networks, [SBR]), ours: worldOf(t, networks, [OURS]) });
  // The plugin by itself, as a runtime calls it for some addresses of the second network.
  const again = (
    verb: string,
    { pod, dataDir }: ReturnType<typeof worldOf>,
    plugin: ListPlugin,
    { addresses = addressesOf(second), gateway = gatewayOf } = {},
  ) => {
    const ips = addresses.map((address) => ({
      address: `${address}/${address.includes(':') ? 64 : 16}`,
      gateway: gateway(address),
      interface: 0,
    }));
    const prevResult = { cniVersion: '1.0.0', interfaces: [{ name: 'net1', sandbox: pod.path }], ips };
    const program = plugin === SBR ? [join(REFERENCE_FOLDER, 'sbr')] : [process.execPath, bundleOf(plugin.type)];
    return spawnSync(program[0] ?? '', program.slice(1), {
      encoding: 'utf8',
      input: JSON.stringify({ cniVersion: '1.0.0', name: second.name, dataDir, ...plugin, prevResult }),
      env: {
        CNI_COMMAND: verb,
        CNI_CONTAINERID: containerOf(pod),
        CNI_NETNS: pod.path,
        CNI_IFNAME: 'net1',
        CNI_PATH: '/',
      },
    }).status;
  };
  // The second network's interface without source routing, so that it stays when a plugin is called by itself.
  const attachBare = ({ must, folder }: ReturnType<typeof worldOf>) => {
    const list = { cniVersion: '1.0.0', name: 'bare', plugins: [bridgeOf(second)] };
    writeFileSync(join(folder, 'net.d', 'bare.conflist'), JSON.stringify(list));
    must('add', NETWORKS[0]);
    must('add', { ...second, name: 'bare' });
  };

  t.test(
    'the main table loses the subnet: what has no address yet goes next door through the other network',
    async (t) => {
      const { sbr, ours } = both();
      for (const { attach } of [sbr, ours]) attach();
      for (const neighbor of NEIGHBORS) {
        t.equal(leavesBy(sbr.pod, neighbor), 'eth0', neighbor);
        t.equal(leavesBy(ours.pod, neighbor), 'net1', neighbor);
      }
      const tables = (pod: Scratch) => new Set(addressesOf(second).flatMap((address) => tablesFor(pod, address)));
      t.equal(tables(sbr.pod).size, 2, 'each address has a table of its own');
      t.equal(tables(ours.pod).size, 1, 'ours: the attachment has one');
    },
  );

  t.test('CHECK does not notice that rules are gone', async (t) => {
    const { sbr, ours } = both();
    for (const { attach, pod } of [sbr, ours]) {
      attach();
      for (const address of addressesOf(second)) pod.ip(`${familyFlag(address)} rule del from ${address}`);
    }
    t.equal(again('CHECK', sbr, SBR), 0);
    const { status, stderr } = ours.drive('cnitool', 'check', second.name, { CNI_IFNAME: 'net1' });
    t.not(status, 0);
    for (const address of addressesOf(second)) t.match(stderr, `sourceRouting: rule priority 30000 from ${address}/`);
    t.match(stderr, /lookup \d+ is missing/);
  });

  t.test('a second ADD fails, and leaves rules that lead to empty tables', async (t) => {
    const { sbr, ours } = both();
    for (const { attach } of [sbr, ours]) attach();
    const once = ours.picture();
    for (const address of addressesOf(second)) {
      t.strictSame(emptyTables(sbr.pod, address), []);
      t.not(again('ADD', sbr, SBR, { addresses: [address] }), 0);
      t.equal(emptyTables(sbr.pod, address).length, 1);
    }
    t.equal(again('ADD', ours, OURS), 0);
    t.equal(ours.picture(), once, 'ours finds nothing to do');
  });

  t.test('an ADD that fails in the middle leaves what it made', async (t) => {
    const { sbr, ours } = both();
    for (const world of [sbr, ours]) attachBare(world);
    const before = ours.picture();
    for (const address of addressesOf(second)) {
      // Nobody on the link has such a network.
      const gateway = () => (address.includes(':') ? '2001:db8:5::1' : '203.0.113.1');
      t.not(again('ADD', sbr, SBR, { addresses: [address], gateway }), 0);
      t.equal(emptyTables(sbr.pod, address).length, 1);
      t.not(again('ADD', ours, OURS, { addresses: [address], gateway }), 0);
      t.equal(ours.picture(), before, 'ours leaves all as it was');
    }
  });

  t.test('DEL takes rules of somebody else away, and leaves its tables', async (t) => {
    const { sbr, ours } = both();
    for (const world of [sbr, ours]) {
      attachBare(world);
      world.pod.ip(`rule add from ${second.ipv4} to 10.9.0.0/16 table 9 pref 5 proto static`);
      world.pod.ip(`-6 rule add from ${second.ipv6} to fd09::/64 table 9 pref 5 proto static`);
    }
    const before = ours.picture();
    t.equal(again('ADD', sbr, SBR), 0);
    const tables = addressesOf(second).map((address) => tablesFor(sbr.pod, address).filter((table) => table !== '9'));
    t.equal(again('DEL', sbr, SBR), 0);
    for (const [index, address] of addressesOf(second).entries()) {
      const flag = familyFlag(address);
      t.strictSame(sbr.pod.ipJson(`${flag} rule show pref 5`), [], 'the rule of somebody else is gone');
      const [table, ...more] = tables[index] ?? [];
      t.not(sbr.pod.ip(`${flag} route show table ${table}`).trim(), '', 'its table stays');
      t.strictSame(more, []);
    }
    for (const neighbor of NEIGHBORS) t.equal(leavesBy(sbr.pod, neighbor), 'eth0', 'the subnet did not come back');
    t.equal(again('ADD', ours, OURS), 0);
    t.not(ours.picture(), before);
    t.equal(again('DEL', ours, OURS), 0);
    t.equal(ours.picture(), before, 'ours leaves all as it was');
  });
});

/** The tables that rules for packets from an address lead to. */
function tablesFor(pod: Scratch, address: string): string[] {
  const rules = pod.ipJson(`${familyFlag(address)} rule show from ${address}`);
  return [...new Set(rules.map(({ table }) => String(table)))];
}

/** Those of them that have no route. */
function emptyTables(pod: Scratch, address: string): string[] {
  // Asked for one that never was, `ip` fails.
  const routes = pod.ip(`${familyFlag(address)} route show table all`);
  return tablesFor(pod, address).filter((table) => !routes.includes(` table ${table} `));
}

// cnitool makes it from the path of the namespace.
function containerOf({ path }: Scratch): string {
  return `cnitool-${run('sh', ['-c', `printf %s ${path} | sha512sum`]).slice(0, 20)}`;
}

/** What Spiderpool's coordinator makes, as its documentation prints it: rules of the pod, and its table 100. */
const SPIDERPOOL = {
  rules: ['from 10.7.168.173 lookup 100 pref 32764', 'to 10.7.0.0/16 lookup 100 pref 32765'],
  table: [
    '10.7.0.0/16 dev net1 scope link src 10.7.168.173',
    '10.6.168.123 dev veth0 scope link',
    'default via 10.7.0.1 dev net1',
    '10.96.0.0/12 via 10.6.168.123 dev veth0',
  ],
};

t.test('the example that Spiderpool publishes', { skip: noCnitool }, async (t) => {
  const networks = NETWORKS.slice(0, 2);
  // Services are reached through the node, by a pair of its own, whatever the source.
  const routes = [
    { dst: '10.6.168.123/32', dev: 'veth0', table: 100 },
    { dst: '10.96.0.0/12', gw: '10.6.168.123', dev: 'veth0', table: 100 },
  ];
  const withVeth = (plugins: ListPlugin[]) => {
    const world = worldOf(t, networks, plugins);
    world.pod.ip('link add veth0 type veth peer name veth0-host');
    for (const link of ['veth0', 'veth0-host']) world.pod.ip(`link set ${link} up`);
    world.pod.ip('address add 10.6.168.172/32 dev veth0');
    world.attach();
    return world;
  };
  const theirs = withVeth([]);
  for (const route of SPIDERPOOL.table) theirs.pod.ip(`route add ${route} table 100`);
  for (const rule of SPIDERPOOL.rules) theirs.pod.ip(`rule add ${rule}`);
  const ours = withVeth([{ type: 'static-route', sourceRouting: { table: 100 }, routes }]);

  const table = ({ pod }: typeof ours) =>
    pod
      .ip('route show table 100')
      .replaceAll(' proto 87', '')
      .split('\n')
      .map((line) => line.trim())
      .sort();
  t.strictSame(table(ours), table(theirs), 'has this table');
  for (const to of ['192.0.2.2', '10.7.0.9', '10.6.0.9', '10.96.0.10', '10.6.168.123']) {
    for (const from of [undefined, '10.6.168.172', '10.7.168.173']) {
      t.equal(
        leavesBy(ours.pod, to, from),
        leavesBy(theirs.pod, to, from),
        `and leads to ${to} from ${from} the same way`,
      );
    }
  }
  for (const { pod, client } of [theirs, ours]) {
    await serve(t, pod);
    t.equal(answersBy(pod, client, '10.7.168.173'), 'net1');
    t.equal(answersBy(pod, client, '10.6.168.172'), 'eth0');
  }
});
