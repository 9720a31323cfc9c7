import type { Cluster } from '../../cluster/cluster.ts';
import type { Api } from '../cluster/api.ts';
import { deletePods } from '../cluster/pods.ts';
import { ALONE_ADDRESS, PluginsAlone } from './alone.ts';
import { Monitor, namespaceOf } from './monitor.ts';
import { type Selection, startPods } from './pods.ts';
import type { Side } from './sides.ts';

// The same edits of a pod of each side in turn; and in between what the plugins take alone, in a pod that nobody edits.

/** What takes longer never comes: all take well below a second. */
const EDIT_SECONDS = 5;
/** Not counted: the first edits load what the others find loaded. */
const WARM_UP = 3;
/** Between two edits of a pod: the peer loses those that come before its status of the last one. */
const PAUSE_MS = 700;
const net1: Selection = { name: 'plain', interface: 'net1' };
const net2: Selection = { name: 'tenant', interface: 'net2', ips: ['10.10.10.111/24'] };

/** From the request of the edit, or the start of the first plugin, to the kernel's notification, in milliseconds. */
export type Times = { readonly attach: number[]; readonly detach: number[]; readonly failed: string[] };

type Subject = {
  readonly monitor: Monitor;
  readonly address: string;
  /** Have the network attached or detached; the answer is when this began. */
  attach(): Promise<number> | number;
  detach(): Promise<number> | number;
};

/** So many edits of each kind: the times of each side, and of the plugins alone. */
export async function editInTurn(
  cluster: Cluster,
  api: Api,
  sides: readonly [Side, Side],
  edits: number,
): Promise<readonly [Times, Times, Times]> {
  const [ours] = sides;
  const edited = await Promise.all(sides.map((side) => editedPod(cluster, api, side)));
  const alone = await podAlone(cluster, ours);
  const subjects = [...edited, alone];
  const none = () => subjects.map((): Times => ({ attach: [], detach: [], failed: [] }));
  let times = none();
  for (let round = 0; round < WARM_UP + edits; round++) {
    if (round === WARM_UP) times = none();
    for (const kind of ['attach', 'detach'] as const) {
      // Whoever comes first finds a machine that was idle, and the next one what the first still has to do.
      for (const place of [round, round + 1, round + 2]) {
        const index = place % subjects.length;
        await timed(subjects[index] as Subject, kind, times[index] as Times);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
  for (const { monitor } of subjects) monitor.close();
  deletePods(cluster, [...sides.map(podOf), ALONE]);
  return times as [Times, Times, Times];
}

const podOf = ({ node }: Side) => `turns-${node.name}`;

async function editedPod(cluster: Cluster, api: Api, side: Side): Promise<Subject> {
  const pod = podOf(side);
  await startPods(cluster, side, [pod], [net1]);
  const select = async (selections: readonly Selection[]) => (await api.select(pod, selections)).sent;
  return {
    monitor: new Monitor(side.node, namespaceOf(cluster, side.node, pod)),
    address: '10.10.10.111',
    attach: () => select([net1, net2]),
    detach: () => select([net1]),
  };
}

const ALONE = 'turns-alone';

async function podAlone(cluster: Cluster, side: Side): Promise<Subject> {
  await startPods(cluster, side, [ALONE], [net1]);
  const namespace = namespaceOf(cluster, side.node, ALONE);
  const plugins = new PluginsAlone(cluster, side.node, namespace);
  return {
    monitor: new Monitor(side.node, namespace),
    address: ALONE_ADDRESS,
    attach: () => plugins.attach(),
    detach: () => plugins.detach(),
  };
}

async function timed(subject: Subject, kind: 'attach' | 'detach', { failed, ...took }: Times): Promise<void> {
  const { monitor, address } = subject;
  const pattern = kind === 'attach' ? new RegExp(`net2 +inet ${address.replaceAll('.', '\\.')}`) : /Deleted \d+: net2/;
  const seen = monitor.next(pattern, EDIT_SECONDS).catch((error: Error) => error.message);
  const began = await subject[kind]();
  const time = await seen;
  if (typeof time === 'number') took[kind].push(time - began);
  else failed.push(time);
}
