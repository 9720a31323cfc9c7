import type { Cluster } from '../../cluster/cluster.ts';
import type { Api } from '../cluster/api.ts';
import { deletePods } from '../cluster/pods.ts';
import { type Selection, startPods, untilRight } from './pods.ts';
import type { Side } from './sides.ts';

// The seven cases of multus-dynamic-networks-controller's own end-to-end suite (e2e/e2e_test.go). Theirs look at the status
// annotation alone; these look at the kernel too.

type Case = { readonly title: string; readonly birth: readonly Selection[]; readonly edits: readonly Selection[][] };

const MAC = '02:03:04:05:06:07';
const net1: Selection = { name: 'plain', interface: 'net1' };
const ens58: Selection = { name: 'plain', interface: 'ens58' };
const tenant: Selection = { name: 'tenant', interface: 'ens202', ips: ['10.10.10.111/24'], mac: MAC };

const CASES: readonly Case[] = [
  { title: 'add an interface', birth: [net1], edits: [[net1, ens58]] },
  { title: 'remove an interface', birth: [net1], edits: [[]] },
  { title: 'add and remove in one edit', birth: [net1], edits: [[{ name: 'plain', interface: 'eth321' }]] },
  { title: 'static address and MAC', birth: [net1], edits: [[net1, tenant]] },
  { title: 'the same unplugged', birth: [net1], edits: [[net1, tenant], [net1]] },
  { title: 'a pod with the default network only', birth: [], edits: [[{ ...ens58, mac: MAC }]] },
];

/** Runs the cases on a side, one after another: the reason why each failed, or false. */
export async function runCases(
  cluster: Cluster,
  api: Api,
  side: Side,
  seconds: number,
): Promise<Map<string, string | false>> {
  const outcomes = new Map<string, string | false>();
  for (const [index, { title, birth, edits }] of CASES.entries()) {
    const pod = `case-${index}-${side.node.name}`;
    await startPods(cluster, side, [pod], birth);
    outcomes.set(title, await afterEdits(cluster, api, side, pod, edits, seconds));
    deletePods(cluster, [pod]);
  }
  outcomes.set('an interface without a name, named later', await unnamed(cluster, api, side, seconds));
  return outcomes;
}

async function afterEdits(
  cluster: Cluster,
  api: Api,
  side: Side,
  pod: string,
  edits: readonly Selection[][],
  seconds: number,
): Promise<string | false> {
  for (const edit of edits) {
    await api.select(pod, edit);
    const reason = await untilRight(cluster, side, pod, edit, seconds);
    if (reason) return reason;
  }
  return false;
}

// The peer waits for the names; with them, the first network is to stay as it is.
async function unnamed(cluster: Cluster, api: Api, side: Side, seconds: number): Promise<string | false> {
  const pod = `case-unnamed-${side.node.name}`;
  await startPods(cluster, side, [pod], [{ name: 'plain' } as Selection]);
  await api.select(pod, [{ name: 'plain' } as Selection, { ...ens58, mac: MAC }]);
  await api.select(pod, [net1, { ...ens58, mac: MAC }]);
  const reason = await untilRight(cluster, side, pod, [net1, { ...ens58, mac: MAC }], 2 * seconds);
  deletePods(cluster, [pod]);
  return reason;
}
