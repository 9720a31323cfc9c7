import type { ClusterNode } from '../../../scripts/cluster/node.ts';
import { until } from '../../../scripts/cluster/process.ts';

// What pods leave on a node, as the kernel and the disk have it.

/** Names of what is there because of pods. */
export type NodeState = {
  readonly [kind in 'namespaces' | 'leases' | 'results' | 'journals']: readonly string[];
};

/** All that pods have on a node: to compare before and after. A lease is told with its container's id. */
export function stateOf(node: ClusterNode): NodeState {
  const lines = (script: string) =>
    node
      .run(['sh', '-c', script])
      .split('\n')
      .filter((line) => line !== '')
      .sort();
  const files = (...folders: string[]) => lines(`find ${folders.join(' ')} -type f 2>/dev/null || true`);
  // The first line of host-local's files is the container's id; other files there are its own.
  const leases = lines("grep -rHm 1 -E '^[0-9a-f]{64}' /var/lib/cni/networks 2>/dev/null | tr -d '\\r'; true");
  return {
    namespaces: lines('ls /run/netns'),
    leases,
    results: files('/var/lib/cni/results', '/var/lib/cni/multus'),
    journals: files(...PLUGINS.map((plugin) => `/run/waymark/${plugin}`)),
  };
}

const PLUGINS = ['static-route', 'seamless-gateway', 'consistent-ifname'];

/**
 * Waits until a node has what it had before, and nothing else. Throws with what is left. With `except: 'lost by Multus'`
 * files of containers do not count that Multus still has a result of, so that it has never asked for their deletion: its
 * shim reports success for a DEL while the daemon is away, and its daemon goes on with an ADD whose caller was killed.
 */
export async function untilStateIs(node: ClusterNode, before: NodeState, except?: 'lost by Multus'): Promise<void> {
  await until(`nothing is left on ${node.name}`, 180, () => {
    const now = stateOf(node);
    const lost = except === undefined ? [] : lostByMultus(now);
    const left = difference(now, before).filter((line) => !lost.some((id) => line.includes(id)));
    if (left.length > 0) throw new Error(left.join('\n'));
    return true;
  });
}

// The containers of Multus' cached results, /var/lib/cni/multus/results/<network>-<container>-<interface>.
function lostByMultus({ results }: NodeState): string[] {
  return results.flatMap((path) => /\/multus\/results\/.*-([0-9a-f]{64})-/.exec(path)?.[1] ?? []);
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
