import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parsePrefix } from '../../lib/address/prefix.ts';
import { installed } from '../support/build/single.ts';
import { type FakePod, type HotPlugNode, hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';
import { HOSTILE, PROTECTED, route } from '../support/plugins/hostile-annotations.ts';
import { until } from '../support/until.ts';

// Edits of a running pod's annotation that would lead its packets elsewhere, or are nonsense: nothing changes, and the pod
// has an event that says why. The oracle is `ip -j`. WAYMARK_WRITE_PAGES=1 writes the table of docs/live-routes.md.

const PAGE = join(import.meta.dirname, '../../docs/live-routes.md');
const [START, END] = ['<!-- hostile edits -->\n', '<!-- end of hostile edits -->'];

type Edit = { readonly what: string; readonly ifname: string; readonly networks: unknown; readonly answer: RegExp };

const MINE = { name: 'blue', interface: 'net1' };
const OTHERS = { name: 'green', interface: 'net2' };

/** The selection of both networks, with these arguments for one of them. */
const withArgs = (plugin: string, args: unknown) =>
  plugin === 'static-route' ? [{ ...MINE, 'cni-args': args }, OTHERS] : [MINE, { ...OTHERS, 'cni-args': args }];

// What the network itself has already is not asked for by an edit that says how to come to it.
const HAS_IT = 'by replacing what is there';

const PROTECTED_EDITS = HOSTILE.filter(([what]) => what !== HAS_IT).map(([what, plugin, cni]): Edit => {
  const ifname = plugin === 'static-route' ? 'net1' : 'net2';
  return { what, ifname, networks: withArgs(plugin, cni), answer: /error 108/ };
});

const nonsense = (what: string, args: unknown, answer: RegExp): Edit => {
  return { what, ifname: 'net1', networks: withArgs('static-route', args), answer };
};

const many = (count: number, dst: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => ({ dst: dst(index), gw: '10.244.1.1' }));

const NONSENSE: readonly Edit[] = [
  nonsense(
    'one service behind 3,000 innocent routes',
    { routes: [...many(3000, (i) => `172.${16 + (i >> 8)}.${i & 255}.0/24`), ...many(1, () => '10.96.0.1/32')] },
    /error 108/,
  ),
  nonsense(
    'a map of 3,000 subnets, one of them a node’s',
    {
      topology: {
        vrf: {
          a: {
            subnets: Object.fromEntries([
              ['10.244.1.0/24', { gw: '10.244.1.1' }],
              ...many(3000, (i) => `172.${16 + (i >> 8)}.${i & 255}.0/24`).map(({ dst, gw }) => [dst, { gw }]),
              ['192.168.10.0/28', { gw: '10.244.1.1' }],
            ]),
          },
        },
      },
    },
    /error 108/,
  ),
  nonsense(
    'a file of the node as a map',
    { topologyFile: '/etc/shadow' },
    /error 7\): .*args\.cni\.topologyFile: can be set in the network config only/,
  ),
  nonsense('a folder for the journal', { dataDir: '/etc/cron.d' }, /error 7\): .*args\.cni\.dataDir: can be set/),
  nonsense(
    'a file for the log',
    { logFile: '/etc/passwd', ...route('172.16.0.0/12') },
    /error 7\): .*args\.cni\.logFile: can be set/,
  ),
  nonsense('a path as an interface', { interface: '../../proc/1/ns/net' }, /error 7\): .*args\.cni\.interface/),
  nonsense('an interface of the pod that is not there', { interface: 'net9', ...route('172.16.0.0/12') }, /error 100/),
  nonsense('a path as a link', { routes: [{ dst: '172.16.0.0/12', dev: '/etc' }] }, /error 7/),
  nonsense('a destination that is none', { routes: [{ dst: '../10.96.0.0/12' }] }, /error 7/),
  nonsense(
    'host bits, to look like another network',
    { routes: [{ dst: '10.111.255.255/7', gw: '10.244.1.1' }] },
    /error 7/,
  ),
  nonsense('routes that are no list', { routes: { length: 1 } }, /error 7/),
  { ...nonsense('text that is not JSON', {}, /failed adding interface/), networks: '[{"name": "blue", "cni-args": {' },
  {
    ...nonsense('JSON 50,000 deep', {}, /"cni-args" is nested deeper than 16 levels/),
    networks: `[{"name":"blue","interface":"net1","cni-args":{"routes":${'['.repeat(50_000)}${']'.repeat(50_000)}}},{"name":"green","interface":"net2"}]`,
  },
  {
    ...nonsense('the interface of the cluster’s network', {}, /eth0/),
    networks: [MINE, OTHERS, { name: 'blue', interface: 'eth0' }],
  },
  {
    ...nonsense('a path as an interface’s name', {}, /interface/),
    networks: [MINE, OTHERS, { name: 'blue', interface: '../../etc' }],
  },
  {
    ...nonsense('a path as a network’s name', {}, /name/),
    networks: [MINE, OTHERS, { name: '../secrets/x', interface: 'net5' }],
  },
];

/** What is peculiar to an edit, as text that is not too long. */
function asked(networks: unknown): string {
  const args = Array.isArray(networks) ? networks.flatMap((each) => each['cni-args'] ?? []) : [];
  const meant = args[0] ?? (Array.isArray(networks) ? networks.at(-1) : networks);
  const text = typeof meant === 'string' ? meant : JSON.stringify(meant);
  return `\`${text.length > 100 ? `${text.slice(0, 99)}…` : text}\``;
}

function pictureOf(pod: FakePod): string {
  const shown = ['route show table all', '-6 route show table all', 'rule', '-6 rule', 'address'].map((command) =>
    pod.scratch.ipJson(command),
  );
  // Lifetimes count down.
  return JSON.stringify(shown, (key, value) => (key === 'expires' ? undefined : value));
}

async function nodeWithPods(t: Test, count: number) {
  const node = await hotPlugNode(t, { pacing: { protectedPrefixes: PROTECTED.map(parsePrefix) } });
  installed(t, join(node.folder, 'bin'));
  const define = (name: string, subnet: number, own: object) => {
    const ranges = [[{ subnet: `10.244.${subnet}.0/24` }], [{ subnet: `fd00:244:${subnet}::/64` }]];
    const ipam = { type: 'host-local', dataDir: join(node.folder, 'leases'), ranges };
    const bridge = { type: 'bridge', bridge: `br-${name}`, isGateway: true, ipam };
    node.define(name, { cniVersion: '1.0.0', plugins: [bridge, { dataDir: join(node.folder, 'data'), ...own }] });
  };
  define('blue', 1, { type: 'static-route', routes: [{ dst: '10.99.0.0/16', gw: '10.244.1.1' }] });
  define('green', 2, { type: 'seamless-gateway', hostAddresses: ['192.168.10.1'] });
  const pods = Array.from({ length: count }, (_, index) => node.pod(`web-${index}`, [MINE, OTHERS]));
  for (const pod of pods) {
    await pod.has('net1', 'net2');
    pod.scratch.ip('route add 10.100.0.0/16 via 10.244.1.3');
    // Addresses of IPv6 are tentative for a while.
    await until(() => !pod.scratch.ip('address').includes('tentative'));
  }
  return { node, pods };
}

/** Makes these edits of one pod, one after another; the rows of the table. */
async function editAll(t: Test, node: HotPlugNode, pod: FakePod, edits: readonly Edit[]): Promise<string[]> {
  const before = pictureOf(pod);
  const told = () =>
    ['FailedUpdatingRoutes', 'FailedAddingInterface']
      .flatMap((reason) => node.events(reason))
      .filter((text) => text.startsWith(`pod [default/${pod.name}]`));
  const rows: string[] = [];
  for (const { what, networks, answer } of edits) {
    const known = new Set(told());
    const isTold = () => told().some((text) => !known.has(text));
    pod.select(networks);
    await until(isTold, `nothing is said about ${what}`).catch((error: Error) => t.fail(error.message));
    await until(() => node.controller.status().busy === 0);
    const texts = told().filter((text) => !known.has(text));
    t.match(texts.join('\n'), answer, what);
    t.equal(pictureOf(pod), before, `${what}: the kernel has what it had`);
    const code = /error (\d+)/.exec(texts.join())?.[1];
    rows.push(
      `| ${what} | ${asked(networks)} | ${code === undefined ? 'the annotation is refused' : `error ${code}`} |`,
    );
  }
  return rows;
}

t.test('hostile edits of a running pod’s annotation change nothing', { skip: noReferencePlugins }, async (t) => {
  const edits = [...PROTECTED_EDITS, ...NONSENSE];
  // A pod has no more than some 25 events at a time.
  const parts = Array.from({ length: Math.ceil(edits.length / 15) }, (_, part) =>
    edits.slice(part * 15, part * 15 + 15),
  );
  const { node, pods } = await nodeWithPods(t, parts.length);
  const each = await Promise.all(pods.map((pod, index) => editAll(t, node, pod, parts[index] ?? [])));
  t.strictSame(node.events('RemovedInterface'), [], 'nothing was detached');
  t.strictSame(node.events('UpdatedRoutes'), []);

  const table = [
    '| what the edit would redirect, or is | what it asks for | answer |',
    '| --- | --- | --- |',
    ...each.flat(),
  ].join('\n');
  const page = readFileSync(PAGE, 'utf8');
  const [from, to] = [page.indexOf(START) + START.length, page.indexOf(END)];
  if (process.env.WAYMARK_WRITE_PAGES === '1')
    writeFileSync(PAGE, `${page.slice(0, from)}\n${table}\n\n${page.slice(to)}`);
  t.equal(readFileSync(PAGE, 'utf8').slice(from).split(END)[0]?.trim(), table, 'the table of docs/live-routes.md');

  for (const pod of pods) pod.select([{ ...MINE, 'cni-args': route('172.16.0.0/12') }, OTHERS]);
  const hasHonest = ({ scratch }: FakePod) =>
    scratch.ipJson('route show proto 87').some(({ dst }) => dst === '172.16.0.0/12');
  for (const pod of pods) await until(() => hasHonest(pod), 'an honest edit never arrives');
});
