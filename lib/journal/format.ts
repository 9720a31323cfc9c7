import { join } from 'node:path';

/** One attachment of a container to a network, as the CNI spec tells them apart. */
export type Attachment = { containerID: string; ifname: string; network: string };

/**
 * One change that an attachment made, or was about to make. The change itself is JSON that this layer does not look
 * into; an entry without one says that the attachment was made, though nothing had to be changed. `network` is in
 * every entry, since two networks can have the same container and interface name. `source` is the place in the config
 * that wanted the change.
 */
export type Entry = { network: string; change?: object; source?: string; attached?: Attached };

/**
 * When an attachment was made (ISO 8601), by which version, where its namespace was, and whose it is (`namespace/name`, where
 * the runtime says it): for people. Undoing needs none of it. An entry without a change may have it.
 */
export type Attached = {
  readonly time: string;
  readonly version: string;
  readonly netns: string;
  readonly pod?: string;
};

/**
 * What was read from a journal. `namespace` is the identity of the namespace that the changes were made in; empty if it
 * cannot be read. `intact` is false if the file was cut short, damaged, or written in a `newer` format than this build
 * knows; then `entries` are those that could be read.
 */
export type JournalContent = { namespace: string; entries: Entry[]; intact: boolean; newer?: true };

/** The name of an attachment's journal. */
export function fileName({ containerID, ifname }: Omit<Attachment, 'network'>): string {
  return `${containerID}-${ifname}.json`;
}

/** The file that stands for the lock of an attachment, beside its journal. */
export function lockPath(folder: string, { containerID, ifname }: Omit<Attachment, 'network'>): string {
  return join(folder, `.${containerID}-${ifname}${LOCK}`);
}

/** How the names of locks end. */
export const LOCK = '.lock';

/** The format that this build writes. */
export const VERSION = 1;

/** The first line; `writer`, see writer.ts, is not in those of older builds. */
export type Head = { version: number; containerID: string; ifname: string; namespace: string; writer?: unknown };

/** What a journal's text says, line by line where the whole cannot be read. */
export function parse(text: string): JournalContent {
  const whole = parseJson(text);
  if (isJournal(whole) && whole.version === VERSION && whole.entries.every(isEntry)) {
    return { namespace: whole.namespace, entries: whole.entries, intact: true };
  }
  const lines = isJournal(whole) ? whole.entries : text.split('\n').map((line) => parseJson(line.replace(/,$/, '')));
  const newer = isNewer(text) && { newer: true as const };
  return { namespace: parseHead(text)?.namespace ?? '', entries: lines.filter(isEntry), intact: false, ...newer };
}

/** The lines that this many entries have in an intact journal; none if they do not have a line each. */
export function linesOf(text: string, entries: number): readonly string[] {
  const lines = text.split('\n');
  // One for the head, one for the end, and the end of that.
  if (lines.length !== entries + 3) return [];
  return lines.slice(1, -2).map((line) => (line.endsWith(',') ? line.slice(0, -1) : line));
}

// A newer format may be laid out otherwise.
/** Whose journal it is: by the first line, closed, which ends with `"entries":[`. */
export function parseHead(text: string): Head | undefined {
  const head = parseJson(`${text.split('\n', 1)[0]}]}`);
  if (isJournal(head)) return head;
  const whole = parseJson(text);
  return isJournal(whole) && whole.version > VERSION ? whole : undefined;
}

/** Is it in a format that this build does not know? */
export function isNewer(text: string): boolean {
  return (parseHead(text)?.version ?? VERSION) > VERSION;
}

function isJournal(value: unknown): value is Head & { entries: unknown[] } {
  const journal = value as Partial<Head & { entries: unknown }> | null | undefined;
  return (
    typeof journal?.version === 'number' &&
    journal.version >= VERSION &&
    typeof journal.containerID === 'string' &&
    typeof journal.ifname === 'string' &&
    typeof journal.namespace === 'string' &&
    Array.isArray(journal.entries)
  );
}

function isEntry(value: unknown): value is Entry {
  const entry = value as Partial<Entry> | null | undefined;
  return typeof entry?.network === 'string' && (entry.change === undefined || isObject(entry.change));
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
