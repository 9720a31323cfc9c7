import { join } from 'node:path';
import { type Change, effectOf, inverseOf } from '../change/change.ts';
import { identityOf } from '../change/namespace-identity.ts';
import { putBack } from '../change/transaction.ts';
import type { Pacing } from '../cni/runner.ts';
import { tryLock } from '../files/lock.ts';
import { type RecordedAttachment, recordedAttachments } from '../inventory/records.ts';
import { lockPath } from '../journal/format.ts';
import { DumpTooLarge } from '../netlink/errors.ts';
import type { Route } from '../netlink/route.ts';
import { appendRouteRequest } from '../netlink/route-message.ts';
import { RouteSocket } from '../netlink/socket.ts';
import type { Namespace } from '../netns/netns.ts';
import { Observation } from '../observation/observation.ts';
import { describeHolder, describeLost, lostChanges, lostHops, rivalsOf } from './lost.ts';
import type { OnConflict } from './reconcile.ts';

/** An attachment whose routes and rules are put back when they are lost: those of one plugin. */
export type HealedAttachment = {
  readonly plugin: string;
  /** As it is reached from here. */
  readonly dataDir: string;
  readonly ifname: string;
  /** The network's name, as the journal has it; undefined: whichever it has. */
  readonly network: string | undefined;
  readonly onConflict: OnConflict;
};

/** The pod's namespace, and what is known of it. */
export type HealedPod = {
  readonly containerID: string;
  readonly namespace: Namespace;
  /** The plugins whose journals say what is whose in the pod. */
  readonly plugins: readonly string[];
  readonly pacing: Pacing;
  /** May this change, as JSON, be put back now? */
  readonly mayTry: (key: string) => boolean;
};

/**
 * A route or rule that was lost: the change as JSON, and in the words of `ip`; what is in its place, and whose that is; and
 * why the kernel did not take it.
 */
export type Lost = {
  readonly key: string;
  readonly text: string;
  readonly holder: string | undefined;
  readonly reason: string | undefined;
};

/**
 * What came of healing an attachment that had lost something: what is `back`; what is `taken`, since something of somebody
 * else is in its place; what is `refused` by the kernel, for now; and what is `resting`, since it was not to be tried.
 */
export type Healed = {
  readonly attachment: HealedAttachment;
  readonly back: readonly Lost[];
  readonly taken: readonly Lost[];
  readonly refused: readonly Lost[];
  readonly resting: readonly Lost[];
};

/**
 * `busy`: somebody else is at work on an attachment, which may be why something is missing. `none`: nothing is recorded for
 * these attachments any more.
 */
export type Healing = {
  readonly state: 'whole' | 'busy' | 'lost' | 'none';
  readonly healed: readonly Healed[];
};

/**
 * Puts back the routes and rules of attachments that the pod has lost. The journals say what there was, so neither a config
 * nor a file of the node is read, and nothing is written. What others have put in the place of ours stays, unless
 * `onConflict` is `replace`.
 *
 * Throws NetlinkError, NamespaceError, FileError, DumpTooLarge and AddonError.
 */
export async function heal(attachments: readonly HealedAttachment[], pod: HealedPod): Promise<Healing> {
  const { records, losing, isNone } = await within(pod, async (socket) => {
    const identity = identityOf(pod.namespace, socket);
    const records = recordsOf(attachments, pod, identity);
    const observed = observationOfOurs(socket, records);
    const hasLost = (record: RecordedAttachment) => lostChanges(record, records, observed).length > 0;
    const losing = attachments.filter((attachment) => records.filter(isOf(attachment)).some(hasLost));
    const isNone = !attachments.some((attachment) => records.some(isOf(attachment)));
    return { records: () => recordsOf(attachments, pod, identity), losing, isNone };
  });
  if (isNone) return { state: 'none', healed: [] };
  const healed: Healed[] = [];
  let isBusy = false;
  for (const attachment of losing) {
    const lock = tryLock(lockPath(join(attachment.dataDir, attachment.plugin), { ...pod, ...attachment }));
    isBusy ||= lock === undefined;
    try {
      if (lock !== undefined) healed.push(await healOne(attachment, pod, records()));
    } finally {
      lock?.release();
    }
  }
  const lost = healed.filter(
    ({ back, taken, refused, resting }) => back.length + taken.length + refused.length + resting.length > 0,
  );
  return { state: isBusy ? 'busy' : lost.length > 0 ? 'lost' : 'whole', healed: lost };
}

// What others have in the place of ours is looked for among all routes, unless these are too many to be read: then the
// kernel says no more than that there is something.
async function healOne(
  attachment: HealedAttachment,
  pod: HealedPod,
  records: readonly RecordedAttachment[],
): Promise<Healed> {
  const put = (observe: (socket: RouteSocket) => Observation) =>
    within(pod, (socket) => putBackLost(attachment, pod, socket, records, observe(socket)));
  try {
    return await put((socket) => Observation.of(socket));
  } catch (error) {
    if (!(error instanceof DumpTooLarge)) throw error;
    return put((socket) => observationOfOurs(socket, records));
  }
}

/** A lost change; what has the place of it, or the hops that are missing, if the others are there. */
type Loss = {
  readonly change: Change;
  readonly key: string;
  readonly rivals: readonly Change[];
  readonly hops: Route | undefined;
};

async function putBackLost(
  attachment: HealedAttachment,
  { mayTry, pacing }: HealedPod,
  socket: RouteSocket,
  records: readonly RecordedAttachment[],
  observed: Observation,
): Promise<Healed> {
  const changes = records.filter(isOf(attachment)).flatMap((record) => lostChanges(record, records, observed));
  const losses = changes.map((change): Loss => {
    const hops = lostHops(change, observed);
    const rivals = hops === undefined ? rivalsOf(change, observed) : [];
    return { change, key: JSON.stringify(change), rivals, hops };
  });
  const isTaken = ({ rivals }: Loss) => attachment.onConflict !== 'replace' && rivals.length > 0;
  const free = losses.filter((loss) => !isTaken(loss));
  const tried = free.filter(({ key }) => mayTry(key));
  const isTried = new Set(tried);
  const reasons = new Map([
    ...(await append(
      socket,
      tried.filter(({ hops }) => hops !== undefined),
    )),
    ...(await add(
      tried.filter(({ hops }) => hops === undefined),
      socket,
      observed,
      pacing,
    )),
  ]);
  const about = ({ change, key, rivals }: Loss): Lost => {
    const holder = rivals.map((rival) => describeHolder(rival, observed)).join(' and ');
    return { key, text: describeLost(change, observed), holder: holder || undefined, reason: reasons.get(change) };
  };
  return {
    attachment,
    back: tried.filter(({ change }) => !reasons.has(change)).map(about),
    // What gives way to others at an ADD gives way later, too.
    taken: attachment.onConflict === 'keep' ? [] : losses.filter(isTaken).map(about),
    refused: tried.filter(({ change }) => reasons.has(change)).map(about),
    resting: free.filter((loss) => !isTried.has(loss)).map(about),
  };
}

type Reasons = readonly (readonly [Change, string])[];

async function add(
  losses: readonly Loss[],
  socket: RouteSocket,
  observed: Observation,
  pacing: Pacing,
): Promise<Reasons> {
  const others = losses.flatMap(({ rivals }) => rivals).map(inverseOf);
  const own = new Set(losses.map(({ change }) => change));
  const refused = await putBack(socket, [...others, ...own], observed, pacing);
  return refused.flatMap(({ change, error }) => (own.has(change) ? [[change, error.message] as const] : []));
}

// Without taking away the hops that are left.
async function append(socket: RouteSocket, losses: readonly Loss[]): Promise<Reasons> {
  const requests = losses.flatMap(({ hops }) => (hops === undefined ? [] : appendRouteRequest(hops)));
  const { refusals } = await socket.change(requests, () => 'append to a route', { keepGoing: true });
  return refusals.flatMap(({ index, error }) => {
    const loss = losses[index];
    return loss === undefined ? [] : [[loss.change, error.message] as const];
  });
}

async function within<T>({ namespace, pacing }: HealedPod, work: (socket: RouteSocket) => Promise<T>): Promise<T> {
  const socket = RouteSocket.open(namespace, { dumpBytes: pacing.dumpBytes });
  try {
    return await work(socket);
  } finally {
    socket.close();
  }
}

// The journals of the pod, in this namespace.
function recordsOf(
  attachments: readonly HealedAttachment[],
  { containerID, plugins }: HealedPod,
  identity: string,
): RecordedAttachment[] {
  const folders = new Set(attachments.map(({ dataDir }) => dataDir));
  const all = [...folders].flatMap((folder) => recordedAttachments(folder, plugins, containerID).attachments);
  return all.filter(({ namespace }) => namespace === identity);
}

function isOf({ plugin, dataDir, ifname, network }: HealedAttachment) {
  return (record: RecordedAttachment) =>
    record.plugin === plugin &&
    record.ifname === ifname &&
    (network === undefined || record.network === network) &&
    record.journal.startsWith(`${join(dataDir, plugin)}/`);
}

// A pod may have many routes of its own.
function observationOfOurs(socket: RouteSocket, records: readonly RecordedAttachment[]): Observation {
  const added = records.flatMap(({ changes }) => changes).flatMap(({ change }) => effectOf(change).adds ?? []);
  return Observation.of(socket, new Set(added.map(({ protocol }) => protocol)));
}
