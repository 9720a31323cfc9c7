import { readdirSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import type { Test } from 'tap';
import type { Cluster } from '../../../scripts/cluster/cluster.ts';
import type { ClusterNode } from '../../../scripts/cluster/node.ts';
import { until } from '../../../scripts/cluster/process.ts';
import { failuresOfOurs, whoForgot } from './forgotten.ts';
import { PLUGINS, podRoutes, type Route, stateOf, untilOnlyIsLeft } from './node-state.ts';
import { type Manifest, networkOf, podOf } from './objects.ts';

// Many pods with two networks each and our three plugins, while something goes wrong.

/** Something that takes longer does not come, even while something is broken again and again. */
const WAIT_SECONDS = 400;

/** The two networks. */
export const NETWORKS: readonly Manifest[] = [
  networkOf(
    'red',
    listOf('red', '10.141.0.0/22', [{ dst: '10.51.0.0/16' }, { dst: '10.52.0.0/16', type: 'blackhole' }]),
  ),
  networkOf('tan', listOf('tan', '10.145.0.0/22', [{ dst: '10.53.0.0/16' }], ['consistent-ifname', 'static-route'])),
];

function listOf(name: string, subnet: string, routes: object[], plugins: readonly string[] = PLUGINS): object {
  const ipam = { type: 'host-local', ranges: [[{ subnet }]] };
  const keys: { [plugin: string]: object } = { 'static-route': { routes } };
  return {
    cniVersion: '1.0.0',
    name,
    plugins: [
      { type: 'bridge', bridge: `wm-${name}`, isGateway: true, ipam },
      ...plugins.map((type) => ({ type, ...keys[type] })),
    ],
  };
}

// What `ip -j` must show of our routes in each pod.
const EXPECTED = [
  'blackhole 10.52.0.0/16',
  'netbda9643ac660 10.0.32.2 10.141.0.1',
  'netbda9643ac660 10.51.0.0/16 10.141.0.1',
  'net5b2d44844982 10.53.0.0/16 10.145.0.1',
].sort();

/** Makes pods of this name and count, on both networks, on the first node. */
export function createPods(cluster: Cluster, name: string, count: number): void {
  const node = cluster.node('node-1').name;
  const items = Array.from({ length: count }, (_, index) =>
    podOf(`${name}-${index + 1}`, 'red,tan', { node, labels: { set: name } }),
  );
  cluster.kubectl(['create', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
}

/** Waits until the pods of a name are ready. Throws with the events of those that are not. */
export async function untilPodsAreReady(cluster: Cluster, name: string): Promise<void> {
  const { status, stderr } = await onPods(cluster, 'wait', name, '--for=condition=Ready');
  if (status !== 0) throw new Error(`${stderr}\n${(await warnings(cluster, name)).slice(-5).join('\n')}`);
}

/** Deletes all pods of a name and waits until they are gone. */
export async function deletePods(cluster: Cluster, name: string): Promise<void> {
  const { status, stderr } = await onPods(cluster, 'delete', name);
  if (status !== 0) throw new Error(stderr);
}

function onPods(cluster: Cluster, verb: string, name: string, ...more: string[]) {
  const args = [verb, 'pods', `-l=set=${name}`, `--timeout=${WAIT_SECONDS}s`, ...more];
  return cluster.tryKubectl(args, { timeoutSeconds: WAIT_SECONDS + 60 });
}

/** Messages of the warnings about pods of a name, without repetitions. */
export async function warnings(cluster: Cluster, name: string): Promise<string[]> {
  const { stdout } = await cluster.tryKubectl(['get', 'events', '--field-selector=type=Warning', '-o=json']);
  const events = (stdout === '' ? [] : JSON.parse(stdout).items) as Manifest[];
  const ours = events.filter(({ involvedObject }) => (involvedObject as { name: string }).name.startsWith(`${name}-`));
  return [...new Set(ours.map(({ message }) => String(message)))];
}

/**
 * Waits until so many pods have every route, and no other namespace has any: a sandbox that was given up half made is cleared
 * away later, by the kubelet.
 */
export async function untilRoutesAreThere(cluster: Cluster, pods: number): Promise<void> {
  const wanted = JSON.stringify([{ pods, routes: EXPECTED }]);
  await until('the pods have their routes', () => {
    const now = JSON.stringify(differentRoutes(cluster));
    if (now !== wanted) throw new Error(now);
    return true;
  });
}

// What our routes in each pod are, in words; pods that have the same are told once.
function differentRoutes(cluster: Cluster): { pods: number; routes: string[] }[] {
  const words = ({ type, dev = '', dst, gateway = '' }: Route) => `${type ?? dev} ${dst} ${gateway}`.trim();
  const all = Object.values(podRoutes(cluster.node('node-1'))).map((routes) => routes.map(words).sort().join('\n'));
  const groups = Map.groupBy(
    all.filter((text) => text !== ''),
    (text) => text,
  );
  return [...groups].map(([text, pods]) => ({ pods: pods.length, routes: text.split('\n') }));
}

/**
 * What goes wrong while pods come, and again while they go: once; or again and again with so many seconds in between; or
 * whenever so many pods have come, or gone.
 */
export type Trouble = { act: () => Promise<void>; when: 'once' | { every: number } | { at: readonly number[] } };

/** Who may leave something behind: Multus always may where its log or its files say so, unless nobody may. */
export type Forgetful = 'nobody' | 'Multus' | 'containerd too';

/**
 * Fifty pods come and go in the midst of trouble: all of them start, each with every route, and nothing is left of them that
 * is ours. Returns how often there was trouble while they came and while they went.
 */
export async function comeAndGoDespite(
  t: Test,
  cluster: Cluster,
  name: string,
  trouble: Trouble,
  forgetful: Forgetful,
): Promise<{ come: number; go: number }> {
  const count = 50;
  const node = cluster.node('node-1');
  const before = stateOf(node);
  const begin = Date.now();
  const come = await during(
    trouble,
    () => namespaces(node) - before.namespaces.length,
    async () => {
      createPods(cluster, name, count);
      await untilPodsAreReady(cluster, name);
    },
  );
  t.comment(`${count} pods came in ${seconds(begin)} s, with ${come} times trouble`);
  await untilRoutesAreThere(cluster, count);
  t.pass('each has every route');

  const end = Date.now();
  const full = namespaces(node);
  const go = await during(
    trouble,
    () => full - namespaces(node),
    () => deletePods(cluster, name),
  );
  t.comment(`they went in ${seconds(end)} s, with ${go} times trouble`);
  const explain =
    forgetful === 'nobody' ? () => undefined : whoForgot(node, { containerd: forgetful === 'containerd too' });
  for (const left of await untilOnlyIsLeft(node, before, explain)) t.comment(left);
  t.pass('nothing of ours is left');

  const messages = await warnings(cluster, name);
  const kinds = Map.groupBy(messages, (message) => message.replace(/"[^"]*"|[\w-]+_default\S*/g, '…').slice(0, 200));
  for (const [kind, { length }] of kinds) t.comment(`${length} events: ${kind}`);
  const ofOurs = messages.filter((message) => PLUGINS.some((plugin) => message.includes(plugin)));
  t.strictSame([...ofOurs, ...failuresOfOurs(node)], [], 'no event and no failed request speaks of our plugins');
  return { come, go };
}

// Seen from outside: counting takes nothing from a busy node, and needs none of what is broken.
function namespaces(node: ClusterNode): number {
  return readdirSync(`/proc/${node.pid}/root/run/netns`).length;
}

// Makes trouble until `goal` is reached; how often. `progress` says how many pods are where they should be.
async function during(trouble: Trouble, progress: () => number, goal: () => Promise<void>): Promise<number> {
  const reached = new AbortController();
  const { signal } = reached;
  const making = makeTrouble(trouble, progress, signal);
  // If it fails before the goal is reached, this is not the moment.
  making.catch(() => undefined);
  try {
    await goal();
  } finally {
    reached.abort();
  }
  return making;
}

async function makeTrouble({ act, when }: Trouble, progress: () => number, signal: AbortSignal): Promise<number> {
  let times = 0;
  const make = async () => {
    await act();
    times++;
  };
  if (when === 'once') await make();
  else if ('at' in when) {
    for (const count of when.at) {
      while (progress() < count && !signal.aborted) await pause(50, signal);
      if (!signal.aborted) await make();
    }
  } else {
    while (!signal.aborted) {
      await make();
      await pause(when.every * 1000, signal);
    }
  }
  return times;
}

function seconds(since: number): string {
  return ((Date.now() - since) / 1000).toFixed(0);
}

// Ends at once when the signal comes.
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return setTimeout(milliseconds, undefined, { signal }).catch(() => undefined);
}
