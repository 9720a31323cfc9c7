import type { ClusterNode } from '../../../scripts/cluster/node.ts';
import { linesOf } from './node-state.ts';

// What others forget when something goes wrong in a cluster, and why it is theirs. The evidence is Multus' own: its files and
// its log. What has no such evidence is ours.

/** The reasons, as a test tells them. */
export const REASONS = {
  neverDeleted:
    'Multus still has its files of the container: its shim reports success for a DEL while the daemon is away',
  overtaken: 'Multus was still at the container’s ADD when it was asked for the last DEL',
  containerd: 'containerd makes namespaces, and forgets one when it is killed before it has written down the sandbox',
  earlier: 'left by an earlier fault, and gone by now',
} as const;

/** Why something that is left on a node, as `untilOnlyIsLeft` tells it, is not ours; undefined if it is. */
export function whoForgot(node: ClusterNode, { containerd = false } = {}): (left: string) => string | undefined {
  return (left) => {
    if (left.startsWith('gone from')) return REASONS.earlier;
    if (containerd && left.startsWith('new in namespaces')) return REASONS.containerd;
    const [id] = /[0-9a-f]{64}/.exec(left) ?? [];
    if (id === undefined) return undefined;
    if (linesOf(node, `ls /var/lib/cni/multus /var/lib/cni/multus/results | grep ${id}; true`).length > 0)
      return REASONS.neverDeleted;
    return wasOvertaken(node, id) ? REASONS.overtaken : undefined;
  };
}

// Multus (thick) runs ADD and DEL of one container at once. The last DEL may so have found nothing, or half of it.
function wasOvertaken(node: ClusterNode, id: string): boolean {
  const { added, deletions } = requestsFor(node, id);
  return (deletions.at(-1) ?? -1) < added;
}

/**
 * Requests that Multus could not fulfil because of one of our plugins, where neither it deleted the interface meanwhile nor
 * the container runtime had given the sandbox up, with its namespace.
 */
export function failuresOfOurs(node: ClusterNode): string[] {
  const ours =
    "grep 'finished CNI request' | grep -v 'err: <nil>' | grep -E 'static-route|seamless-gateway|consistent-ifname'";
  return linesOf(node, `cat ${MULTUS_LOGS} | ${ours}; true`).filter((line) => {
    const id = /ContainerID:"([0-9a-f]{64})"/.exec(line)?.[1] ?? '';
    const { adding, added, deletions } = requestsFor(node, id);
    const isOvertaken = line.includes('ADD finished') && deletions.some((begun) => begun > adding && begun < added);
    return !isOvertaken && !wasGivenUp(node, id, line);
  });
}

// A kubelet that is killed takes its request with it: containerd kills the shim that waits for Multus' daemon, which goes on.
function wasGivenUp(node: ClusterNode, id: string, ended: string): boolean {
  const killed = `failed to setup network for sandbox \\"${id}\\"`;
  return node
    .readLog('containerd')
    .split('\n')
    .filter((line) => line.includes(killed) && line.includes('signal: killed'))
    .flatMap((line) => /^time="([^"]+)"/.exec(line)?.[1] ?? [])
    .some((time) => padded(time) < padded(ended));
}

// Places in the order of Multus' log, which has the begin and the end of each request: its only ADD for a container, and all
// beginnings of DEL.
function requestsFor(node: ClusterNode, id: string): { adding: number; added: number; deletions: number[] } {
  const requests = linesOf(node, `cat ${MULTUS_LOGS} | grep 'CNI request ContainerID:"${id}"'; true`)
    .map(padded)
    .sort();
  return {
    adding: requests.findIndex((line) => line.includes('ADD starting')),
    added: requests.findIndex((line) => line.includes('ADD finished')),
    deletions: requests.flatMap((line, index) => (line.includes('DEL starting') ? [index] : [])),
  };
}

const MULTUS_LOGS = '/var/log/pods/kube-system_kube-multus-ds-*/kube-multus/*.log';

// The times at the begin of the lines have no zeros at their ends.
function padded(line: string): string {
  return line.replace(/^(\S+\.)(\d+)Z/, (_, time: string, fraction: string) => `${time}${fraction.padEnd(9, '0')}Z`);
}
