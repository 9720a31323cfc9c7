import type { ClusterNode } from '../../../scripts/cluster/node.ts';
import { until } from '../../../scripts/cluster/process.ts';
import { Cri } from '../containerd/cri.ts';

// What pods leave on a node, as the kernel and the disk have it.

/** Names of what is there because of pods. */
export type NodeState = {
  readonly [kind in 'namespaces' | 'leases' | 'results' | 'journals']: readonly string[];
};

/** All that pods have on a node: to compare before and after. A lease is listed with its container's ID. */
export function stateOf(node: ClusterNode): NodeState {
  const files = (...folders: string[]) => linesOf(node, `find ${folders.join(' ')} -type f 2>/dev/null || true`);
  return {
    namespaces: linesOf(node, 'ls /run/netns'),
    // The first line of host-local's files is the container's id; other files there are its own.
    leases: linesOf(node, "grep -rHm 1 -E '^[0-9a-f]{64}' /var/lib/cni/networks 2>/dev/null | tr -d '\\r'; true"),
    results: files('/var/lib/cni/results', '/var/lib/cni/multus'),
    journals: files(...PLUGINS.map((plugin) => `/run/waymark/${plugin}`)),
  };
}

/** What a program on the node prints, line by line, in order. */
export function linesOf(node: ClusterNode, script: string): string[] {
  return node
    .run(['sh', '-c', script])
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}

/** The plugins that keep journals. */
export const PLUGINS = ['static-route', 'seamless-gateway', 'consistent-ifname'];

/** Waits until a node has what it had before, and nothing else. Throws with what is left. */
export async function untilStateIs(node: ClusterNode, before: NodeState): Promise<void> {
  await untilOnlyIsLeft(node, before, () => undefined);
}

/**
 * The same, where something may be left that `explain` has a reason for. Returns the reasons, each with what is left because
 * of it; what an earlier fault has left may be gone by now.
 */
export async function untilOnlyIsLeft(
  node: ClusterNode,
  before: NodeState,
  explain: (left: string) => string | undefined,
): Promise<string[]> {
  let explained: [line: string, reason: string][] = [];
  await until(`nothing is left on ${node.name}`, () => {
    const lines = difference(stateOf(node), before).map((line) => [line, explain(line)] as const);
    const left = lines.filter(([, reason]) => reason === undefined).map(([line]) => line);
    if (left.length > 0) throw new Error(left.join('\n'));
    explained = lines.flatMap(([line, reason]) => (reason === undefined ? [] : [[line, reason]]));
    return true;
  });
  const kindOf = ([line]: [string, string]) => line.split(':')[0];
  return [...Map.groupBy(explained, ([, reason]) => reason)].map(
    ([reason, lines]) =>
      `${[...Map.groupBy(lines, kindOf)].map(([kind, { length }]) => `${kind}: ${length}`).join(', ')}; ${reason}`,
  );
}

/** Kills the node's agent, as soon as there is one. */
export async function killAgent(node: ClusterNode): Promise<void> {
  const kill = ['pkill', '-KILL', '-f', '^/opt/waymark/bin/waymark agent'];
  await until('an agent is there, to be killed', async () => (await node.finish(kill)).status === 0);
}

/** Waits until containerd has read the network list of the node's pods, which is the first in the folder. */
export async function untilListIsRead(node: ClusterNode): Promise<void> {
  const cri = new Cri(`/proc/${node.pid}/root/run/containerd/containerd.sock`);
  const list = ['sh', '-c', 'cd /etc/cni/net.d && cat "$(ls | grep conf | head -n 1)"'];
  try {
    await until(`containerd of ${node.name} has read the first network list`, async () => {
      const { info } = await cri.status();
      const { Networks = [] } = JSON.parse(info.cniconfig ?? '{}') as { Networks?: { Config: { Name: string } }[] };
      return Networks.at(-1)?.Config.Name === JSON.parse(node.run(list)).name;
    });
  } finally {
    cri.close();
  }
}

function difference(now: NodeState, before: NodeState): string[] {
  return (Object.keys(now) as (keyof NodeState)[]).flatMap((kind) => [
    ...now[kind].filter((name) => !before[kind].includes(name)).map((name) => `new in ${kind}: ${name}`),
    ...before[kind].filter((name) => !now[kind].includes(name)).map((name) => `gone from ${kind}: ${name}`),
  ]);
}

/** A route as `ip -j route` has it. */
export type Route = { dst: string; gateway?: string; dev?: string; type?: string; protocol?: string };

/** The routes of every network namespace of a node's pods, by namespace: those of our protocol, both families. */
export function podRoutes(node: ClusterNode): { [namespace: string]: Route[] } {
  const each = 'echo "$name $(ip -j -n "$name" -4 route show proto 87) $(ip -j -n "$name" -6 route show proto 87)"';
  const printed = node.run(['sh', '-c', `for name in $(ls /run/netns); do ${each}; done`]);
  const lines = printed.split('\n').filter((line) => line !== '');
  return Object.fromEntries(
    lines.map((line) => {
      const [, name = '', ipv4 = '[]', ipv6 = '[]'] = /^(\S+) (\[.*\]) (\[.*\])$/.exec(line) ?? [];
      return [name, [...JSON.parse(ipv4), ...JSON.parse(ipv6)] as Route[]];
    }),
  );
}
