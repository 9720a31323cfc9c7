import type { Cluster } from '../../cluster/cluster.ts';
import { until } from '../../cluster/process.ts';
import { startPods as startSleeping } from '../cluster/pods.ts';
import { linksIn, namespaceOf } from './monitor.ts';
import type { Side } from './sides.ts';

// Pods whose networks are edited.

/** A selection that names its interface, without which the peer does not look at the pod. */
export type Selection = { name: string; interface: string; mac?: string; ips?: string[] };

/** Pods that sleep on a side's node, with these networks; until they are ready. Their names. */
export async function startPods(
  cluster: Cluster,
  { node }: Side,
  names: readonly string[],
  selections: readonly Selection[],
): Promise<void> {
  const annotations = { 'k8s.v1.cni.cncf.io/networks': JSON.stringify(selections) };
  await startSleeping(cluster, names, { node: node.name, annotations, spec: { terminationGracePeriodSeconds: 1 } });
}

type Entry = { name: string; interface: string; ips?: string[]; mac?: string; default?: boolean };

/** Why a pod is not as these selections want it, by kernel and status; or false. */
export function wrong(cluster: Cluster, side: Side, pod: string, wanted: readonly Selection[]): string | false {
  const links = linksIn(side.node, namespaceOf(cluster, side.node, pod));
  const path = 'jsonpath={.metadata.annotations.k8s\\.v1\\.cni\\.cncf\\.io/network-status}';
  const status = JSON.parse(cluster.kubectl(['get', 'pod', pod, '-o', path]) || '[]') as Entry[];
  const said = status.filter((entry) => entry.default !== true);
  const list = (items: Iterable<string>) => [...items].sort().join();
  const inKernel = list(links.keys());
  const names = list(wanted.map((selection) => selection.interface));
  if (inKernel !== names) return `${pod}: wanted ${names}, the kernel has ${inKernel}`;
  const entries = list(said.map((entry) => `${entry.name.replace('default/', '')}@${entry.interface}`));
  const selected = list(wanted.map((selection) => `${selection.name}@${selection.interface}`));
  if (entries !== selected) return `${pod}: wanted ${selected}, the status says ${entries}`;
  for (const { interface: ifname, mac, ips = [] } of wanted) {
    const link = links.get(ifname);
    if (mac !== undefined && link?.mac !== mac) return `${pod}: ${ifname} has ${link?.mac}, not ${mac}`;
    const missing = ips.filter((ip) => !link?.ips.includes(ip.replace(/\/.*/, '')));
    if (missing.length > 0) return `${pod}: ${ifname} lacks ${missing}`;
  }
  return false;
}

/** Waits until a pod is as it should be; the reason why it is not, after that many seconds. */
export async function untilRight(
  cluster: Cluster,
  side: Side,
  pod: string,
  wanted: readonly Selection[],
  seconds: number,
): Promise<string | false> {
  let reason: string | false = '';
  const isRight = () => {
    reason = wrong(cluster, side, pod, wanted);
    return reason === false;
  };
  await until(pod, isRight, { seconds, pauseMilliseconds: 200 }).catch(() => undefined);
  return reason;
}
