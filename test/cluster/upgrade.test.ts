import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { VERSION } from '../../lib/version.ts';
import { installNetworkDefinition } from '../../scripts/cluster/addons.ts';
import type { Cluster } from '../../scripts/cluster/cluster.ts';
import { clusterTier } from '../support/cluster/cluster-tier.ts';
import { seen, select } from '../support/cluster/hot-plug.ts';
import { linesOf, stateOf, untilStateIs } from '../support/cluster/node-state.ts';
import { apply, get, type Manifest, networkOf, podOf, remove, untilReady } from '../support/cluster/objects.ts';
import { changeTo, thisVersion, uninstall, type Version, versionOf } from '../support/cluster/versions.ts';
import { greenList } from '../support/containerd/pod-network.ts';

// A cluster is upgraded from an earlier version to this one and rolled back, as docs/upgrade.md says, while pods of every plugin
// run. What a pod has is what `ip` prints in its namespace. WAYMARK_UPGRADE_FROM=0.1.0 asks for it; a commit does too, if it
// has that number.

/** The last commit of 0.1.0. */
const RELEASE = '4f79d11fa3d0';
const NUMBER = '0.1.0';

const { WAYMARK_UPGRADE_FROM: from = '' } = process.env;
const title = `from ${NUMBER} to ${VERSION} and back: pods keep their networks, and either version deletes what the other made`;

/** With `multi-network` as the cluster's entry if that version has it, else with Multus (thick) as in pods.test.ts. */
async function upgraded(earlier: Version): Promise<void> {
  const isEntry = existsSync(join(earlier.manifests, 'overlays/multi-network'));
  const overlay = isEntry ? 'multi-network' : 'agent';
  const onCluster = await clusterTier(t, { nodes: 1, ...(!isEntry && { multus: 'thick' }) }, async (cluster) => {
    if (isEntry) await installNetworkDefinition(cluster);
    apply(cluster, ...NETWORKS);
    await changeTo(cluster, earlier, overlay);
  });
  await onCluster(title, (t, cluster) => thereAndBack(t, cluster, earlier, overlay));
}

const bridge = (name: string, index: number) => ({
  type: 'bridge',
  bridge: `br-${name}`,
  isGateway: true,
  ipam: { type: 'host-local', ranges: [[{ subnet: `10.78.${index}.0/24` }], [{ subnet: `fd00:78:${index}::/64` }]] },
});
const list = (name: string, index: number, ...plugins: readonly object[]) =>
  networkOf(name, { cniVersion: '1.0.0', name, plugins: [bridge(name, index), ...plugins] });

const ROUTES = [
  { dst: '10.10.0.0/16' },
  { dst: '10.20.0.0/16', gw: '10.78.0.9', priority: 200, mtu: 1400 },
  { dst: '10.30.0.0/16', nexthops: [{ gw: '10.78.0.2', weight: 3 }, { gw: '10.78.0.3' }] },
  { dst: '10.40.0.0/16', type: 'blackhole' },
  { dst: '10.70.0.0/16', table: 100 },
  { dst: '2001:db8:10::/48', gw: 'fd00:78::9' },
];
const MAP = { vrf: { a: { subnets: { '10.78.0.0/24': { gw: '10.78.0.1' }, '10.80.0.0/16': { gw: '10.80.0.1' } } } } };

/** One for each plugin of 0.1.0, and one with all of them. */
const NETWORKS: readonly Manifest[] = [
  list('routes', 0, { type: 'static-route', routes: ROUTES, topology: MAP }),
  list('gateway', 1, { type: 'seamless-gateway' }),
  list('names', 2, { type: 'consistent-ifname' }),
  networkOf('green', greenList()),
];
const NAMES = NETWORKS.map(({ metadata }) => metadata.name);

/** What 0.1.0 does not know. */
const NEWER = list('newer', 3, {
  type: 'static-route',
  routes: [{ dst: '10.11.0.0/16' }],
  rules: [{ fwmark: '0x15', table: 100 }],
  sourceRouting: true,
});

const podsOf = (set: string): Manifest[] => NAMES.map((name) => podOf(`${set}-${name}`, name));
const namesOf = (pods: readonly Manifest[]) => pods.map(({ metadata }) => metadata.name);

async function start(cluster: Cluster, pods: readonly Manifest[]): Promise<void> {
  apply(cluster, ...pods);
  await untilReady(cluster, ...namesOf(pods));
}

/** By pod: what `ip` prints in its namespace, once addresses are no longer tentative. */
async function pictures(cluster: Cluster, pods: readonly Manifest[]): Promise<{ [pod: string]: string }> {
  const names = namesOf(pods);
  const addresses = get(cluster, 'pods')
    .filter(({ metadata }) => names.includes(metadata.name))
    .map(({ metadata, status }) => [metadata.name, (status as { podIP: string }).podIP] as const);
  const shows = ['address', 'route show table all', '-6 route show table all', 'rule', '-6 rule'];
  const script = shows.map((show) => `ip -n "$name" ${show}`).join('; ');
  return seen('no address is tentative', () => {
    const printed = cluster
      .node('node-1')
      .run(['sh', '-c', `for name in $(ls /run/netns); do echo "== $name"; ${script}; done`]);
    if (printed.includes('tentative')) throw new Error(printed);
    const each = printed.split(/^== .*\n/m);
    return Object.fromEntries(
      addresses.map(([name, address]) => [name, each.find((text) => text.includes(` ${address}/`)) ?? '']),
    );
  });
}

async function thereAndBack(t: Test, cluster: Cluster, earlier: Version, overlay: string): Promise<void> {
  const node = cluster.node('node-1');
  const nothing = stateOf(node);
  const [kept, ended, fresh, later] = ['kept', 'ended', 'fresh', 'later'].map(podsOf) as [
    Manifest[],
    Manifest[],
    Manifest[],
    Manifest[],
  ];
  const newest = podOf('newest', 'newer');

  await start(cluster, kept);
  if (overlay === 'multi-network') {
    select(cluster, 'kept-routes', 'routes,gateway');
    await seen('a network that came later', () => {
      if (!cluster.kubectl(['exec', 'kept-routes', '--', 'ip', 'link']).includes('net2')) throw new Error('net2');
    });
  }
  const ofKept = stateOf(node);
  await start(cluster, ended);
  const before = await pictures(cluster, [...kept, ...ended]);
  for (const [pod, picture] of Object.entries(before)) t.match(picture, /^\d+: net/m, `${pod} has a second network`);

  await changeTo(cluster, thisVersion(), overlay);
  t.strictSame(await pictures(cluster, [...kept, ...ended]), before, 'after the upgrade, pods have what they had');
  attached(t, cluster);
  remove(cluster, ...ended);
  await untilStateIs(node, ofKept);
  t.pass(`${VERSION} leaves nothing of pods of ${NUMBER}`);

  apply(cluster, NEWER);
  await start(cluster, [...fresh, newest]);
  const running = [...kept, ...fresh, newest];
  const upgradedTo = await pictures(cluster, running);
  attached(t, cluster);

  await changeTo(cluster, earlier, overlay);
  t.strictSame(await pictures(cluster, running), upgradedTo, 'after the rollback, pods have what they had');
  await start(cluster, later);
  remove(cluster, ...running, ...later);
  await untilStateIs(node, nothing);
  t.pass(`${NUMBER} leaves nothing of pods of ${VERSION}`);
  // That of builds before 0.2.0 cannot start where our list is the first one.
  if (overlay === 'agent') await uninstall(cluster, earlier, 'uninstall');
  else await uninstall(cluster, thisVersion(), `uninstall-${overlay}`);
  const executables = linesOf(node, 'ls /opt/cni/bin | grep -E "waymark|route|gateway|ifname|network"; true');
  t.strictSame(executables, [], 'nothing of either version is left');
}

/** This version reads every journal, and finds what it says. */
function attached(t: Test, cluster: Cluster): void {
  const node = cluster.node('node-1');
  const { attachments, failures } = JSON.parse(node.run(['/opt/cni/bin/waymark', 'list', '--json'])) as {
    attachments: { state: string; journal: string }[];
    failures: unknown[];
  };
  t.strictSame(failures, [], 'every journal can be read');
  const others = attachments.filter(({ state }) => state !== 'in place');
  t.strictSame(others, [], 'every attachment is in place');
  t.equal(attachments.length, stateOf(node).journals.length, 'each journal is an attachment');
  const { status, stdout } = node.end(['/opt/cni/bin/waymark', 'doctor']);
  t.not(status, 2, 'the doctor finds no problem', { stdout });
}

if (from === '') t.test(title, { skip: 'takes too long; WAYMARK_UPGRADE_FROM=0.1.0 asks for it' }, async () => {});
else await upgraded(versionOf(from === NUMBER ? RELEASE : from, NUMBER));
