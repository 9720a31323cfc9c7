import { join } from 'node:path';
import { type Change, parseChange } from '../change/change.ts';
import { FileError, namesIn, readFileIfThere } from '../files/files.ts';
import { isHeld } from '../files/lock.ts';
import { type Attached, type Entry, lockPath, parse, parseHead } from '../journal/format.ts';

/** What a journal records of one attachment to one network. */
export type RecordedAttachment = {
  readonly plugin: string;
  readonly containerID: string;
  readonly ifname: string;
  readonly network: string;
  /** The journal's file. */
  readonly journal: string;
  /** The identity of the namespace; empty if it cannot be read. */
  readonly namespace: string;
  /** Absent in journals of versions that did not record it. */
  readonly attached: Attached | undefined;
  readonly changes: readonly RecordedChange[];
  /** May there be more, since the journal is damaged or has changes of a newer version? */
  readonly isIncomplete: boolean;
  /** Is somebody at work on it? */
  readonly isLocked: boolean;
};

export type RecordedChange = { readonly change: Change; readonly source: string | undefined };

/** The attachments that the journals of these plugins record, of one container if it is given; what could not be read. */
export function recordedAttachments(
  dataDir: string,
  plugins: readonly string[],
  ofContainer?: string,
): { attachments: RecordedAttachment[]; failures: string[] } {
  const failures: string[] = [];
  const prefix = ofContainer === undefined ? '' : `${ofContainer}-`;
  const isJournal = (name: string) => name.startsWith(prefix) && name.endsWith('.json');
  const attachments = plugins.flatMap((plugin) => {
    const folder = join(dataDir, plugin);
    const names = attempt(() => namesIn(folder).filter(isJournal)) ?? [];
    return names.toSorted().flatMap((name) => attempt(() => attachmentsIn(plugin, folder, name)) ?? []);
  });
  const isWanted = ({ containerID }: RecordedAttachment) => ofContainer === undefined || containerID === ofContainer;
  return { attachments: attachments.filter(isWanted), failures };

  function attempt<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      failures.push(error.message);
      return undefined;
    }
  }
}

function attachmentsIn(plugin: string, folder: string, name: string): RecordedAttachment[] {
  const journal = join(folder, name);
  const text = readFileIfThere(journal);
  // It was forgotten meanwhile.
  if (text === undefined) return [];
  const head = parseHead(text);
  if (head === undefined) throw new FileError(journal, 'is damaged, so whose journal it is cannot be read');
  const { containerID, ifname } = head;
  const { namespace, entries, intact } = parse(text);
  const isLocked = isHeld(lockPath(folder, head));
  return [...Map.groupBy(entries, ({ network }) => network)].map(([network, own]) => {
    const changes = own.flatMap(recordedChange);
    const isIncomplete = !intact || changes.length < own.filter(({ change }) => change !== undefined).length;
    const attached = own.map((entry) => entry.attached).find(isAttached);
    return {
      ...{ plugin, containerID, ifname, network, journal, namespace },
      ...{ attached, changes, isIncomplete, isLocked },
    };
  });
}

function recordedChange({ change, source }: Entry): RecordedChange[] {
  const known = change && parseChange(change);
  return known === undefined ? [] : [{ change: known, source }];
}

function isAttached(value: unknown): value is Attached {
  const { time, version, netns, pod } = (value ?? {}) as { [key: string]: unknown };
  return [time, version, netns, pod ?? ''].every((text) => typeof text === 'string');
}
