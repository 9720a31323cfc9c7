import { DEFAULT_DATA_DIR } from '../lib/cni/config.ts';
import { FileError } from '../lib/files/files.ts';
import { type Attachment, type Inventory, takeInventory } from '../lib/inventory/inventory.ts';
import { PLUGIN_NAMES } from '../plugins/index.ts';
import { printable } from './status.ts';

export type ListOptions = { pod?: string; drift?: boolean; dataDir?: string; json?: boolean };

/**
 * The attachments of this node: all, those of a pod (`namespace/name`, a name, or the beginning of a container's ID), or
 * those that are not as they should be. Throws FileError if nothing at all could be read, and AddonError.
 */
export async function listNode(options: ListOptions): Promise<Inventory> {
  const dataDir = options.dataDir ?? DEFAULT_DATA_DIR;
  const { attachments, failures } = await takeInventory(dataDir, PLUGIN_NAMES);
  const [first] = failures;
  if (attachments.length === 0 && first !== undefined) throw new FileError(dataDir, `cannot be read: ${first}`);
  const chosen = attachments.filter((attachment) => isOf(options.pod, attachment));
  return { attachments: options.drift ? chosen.filter(isAmiss) : chosen, failures };
}

function isOf(wanted: string | undefined, { pod, containerID }: Attachment): boolean {
  if (wanted === undefined) return true;
  return pod === wanted || pod?.endsWith(`/${wanted}`) === true || containerID.startsWith(wanted);
}

function isAmiss({ state, isIncomplete }: Attachment): boolean {
  return isIncomplete || (state !== 'in place' && state !== 'busy');
}

/** The same for a person to read. */
export function listLines({ attachments, failures }: Inventory): string[] {
  const pods = Map.groupBy(attachments, ({ pod, containerID }) => titleOf(pod, containerID));
  const lines = [...pods].flatMap(([title, own]) => [title, ...own.flatMap(attachmentLines)]);
  const nothing = attachments.length === 0 ? ['no attachments'] : [];
  return [...nothing, ...lines, ...failures.map((text) => `could not be read: ${text}`)].map(printable);
}

function titleOf(pod: string | undefined, containerID: string): string {
  const container = `container ${containerID.slice(0, SHORT_ID)}`;
  return pod === undefined ? container : `${pod} (${container})`;
}

/** As crictl shows it. */
const SHORT_ID = 13;

function attachmentLines({
  ifname,
  network,
  plugin,
  version,
  since,
  state,
  isIncomplete,
  changes,
}: Attachment): string[] {
  const by = [plugin, version].filter((part) => part !== undefined).join(' ');
  const when = since === undefined ? '' : ` since ${since.slice(0, 19)}Z`;
  return [
    `  ${ifname}, network ${network}, by ${by}${when}: ${STATE_TEXTS[state]}`,
    ...(isIncomplete ? ['    the journal is damaged or of a newer version; there may be more changes'] : []),
    ...(changes.length === 0 ? ['    nothing had to be changed'] : []),
    ...changes.map(({ text, state: change }) => `    ${CHANGE_TEXTS[change]}${text}`),
  ];
}

const STATE_TEXTS: { readonly [S in Attachment['state']]: string } = {
  'in place': 'in place',
  drift: 'DRIFT, something has changed the pod',
  busy: 'a call is at work on it',
  gone: 'the namespace is gone; DEL, GC or the agent forgets the journal',
  unknown: 'the namespace cannot be read',
};

const CHANGE_TEXTS: { readonly [S in Attachment['changes'][number]['state']]: string } = {
  holds: '',
  missing: 'MISSING: ',
  replaced: 'replaced by a later change: ',
  returned: 'is there again: ',
  unknown: '',
};
