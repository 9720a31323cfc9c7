import { describe } from '../change/change.ts';
import { DumpTooLarge, NetlinkError } from '../netlink/errors.ts';
import { Observation } from '../observation/observation.ts';
import { type HeldChange, heldChanges } from './held.ts';
import { type FinderOptions, NamespaceFinder } from './namespaces.ts';
import { type RecordedAttachment, recordedAttachments } from './records.ts';

/**
 * How an attachment is: `in place`; `drift` if a change of ours does not hold any more; `busy` while somebody is at work on
 * it; `gone` if its namespace is; `unknown` if its namespace cannot be read.
 */
export type AttachmentState = 'in place' | 'drift' | 'busy' | 'gone' | 'unknown';

/** An attachment of this node, as its journal and the kernel have it. */
export type Attachment = Pick<RecordedAttachment, 'plugin' | 'containerID' | 'ifname' | 'network' | 'journal'> & {
  /** `namespace/name`, if it is recorded. */
  readonly pod: string | undefined;
  /** When it was made (ISO 8601), and by which version, if it is recorded. */
  readonly since: string | undefined;
  readonly version: string | undefined;
  /** Where its namespace was found. */
  readonly netns: string | undefined;
  readonly state: AttachmentState;
  /** May there be more changes than the journal tells? */
  readonly isIncomplete: boolean;
  readonly changes: readonly HeldChange[];
};

/** The attachments of a node, and what could not be read. */
export type Inventory = { readonly attachments: readonly Attachment[]; readonly failures: readonly string[] };

/**
 * The attachments that the journals in a data folder record, and whether the namespaces are as recorded. Reads only; no
 * agent is needed. Throws AddonError.
 */
export async function takeInventory(
  dataDir: string,
  plugins: readonly string[],
  options: FinderOptions = { breathe: async () => undefined },
): Promise<Inventory> {
  const first = await look(dataDir, plugins, options);
  // An ADD or a DEL may have been at work while we looked: what does not hold must not hold the second time either.
  return first.attachments.some(({ state }) => state === 'drift') ? look(dataDir, plugins, options) : first;
}

async function look(dataDir: string, plugins: readonly string[], options: FinderOptions): Promise<Inventory> {
  const { attachments, failures } = recordedAttachments(dataDir, plugins);
  const finder = new NamespaceFinder(options);
  const groups = Map.groupBy(attachments, ({ namespace }) => namespace);
  const all: Attachment[] = [];
  for (const [identity, group] of groups) {
    all.push(...(await listGroup(identity, group, finder, failures)));
    await options.breathe();
  }
  return { attachments: all.toSorted(byPod), failures };
}

async function listGroup(
  identity: string,
  group: readonly RecordedAttachment[],
  finder: NamespaceFinder,
  failures: string[],
): Promise<Attachment[]> {
  if (identity === '') return group.map((attachment) => listed(attachment, undefined, 'unknown', unseen(attachment)));
  const said = group.map(({ attached }) => attached?.netns).find((netns) => netns !== undefined);
  const found = await finder.find(identity, said);
  if (typeof found === 'string')
    return group.map((attachment) => listed(attachment, undefined, found, unseen(attachment)));
  try {
    const observed = Observation.of(found.socket);
    return group.map((attachment) => {
      const changes = heldChanges(attachment, group, observed);
      return listed(attachment, found.path, stateOf(attachment, changes), changes);
    });
  } catch (error) {
    if (!(error instanceof NetlinkError || error instanceof DumpTooLarge)) throw error;
    failures.push(`${found.path}: ${error.message}`);
    return group.map((attachment) => listed(attachment, found.path, 'unknown', unseen(attachment)));
  } finally {
    found.socket.close();
  }
}

function stateOf({ isLocked }: RecordedAttachment, changes: readonly HeldChange[]): AttachmentState {
  if (changes.every(({ state }) => state !== 'missing')) return 'in place';
  return isLocked ? 'busy' : 'drift';
}

function listed(
  { plugin, containerID, ifname, network, journal, attached, isIncomplete }: RecordedAttachment,
  netns: string | undefined,
  state: AttachmentState,
  changes: readonly HeldChange[],
): Attachment {
  const { pod, time: since, version } = attached ?? {};
  return { pod, containerID, network, ifname, plugin, version, since, netns, state, isIncomplete, journal, changes };
}

// The names of links are in the namespace.
function unseen({ changes }: RecordedAttachment): HeldChange[] {
  const names = { linkName: (index: number) => `#${index}` };
  return changes.map(({ change, source }) => ({ text: describe(change, names), source, state: 'unknown' }));
}

function byPod(a: Attachment, b: Attachment): number {
  const key = ({ pod, containerID, ifname, network, plugin }: Attachment) =>
    [pod ?? '~', containerID, ifname, network, plugin].join('\0');
  return key(a) < key(b) ? -1 : 1;
}
