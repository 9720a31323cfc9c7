import { join } from 'node:path';
import { ensureFolder, FileError, namesIn, readFileIfThere, removeFile, replaceFile } from '../files/files.ts';

/** One attachment of a container to a network, as the CNI spec tells them apart. */
export type Attachment = { containerID: string; ifname: string; network: string };

/**
 * One change that an attachment made, or was about to make. The change itself is JSON that this layer does not look
 * into; an entry without one says that the attachment was made, though nothing had to be changed. `network` is in
 * every entry, since two networks can have the same container and interface name. `source` is the place in the config
 * that wanted the change.
 */
export type Entry = { network: string; change?: object; source?: string };

/**
 * What was read from a journal. `namespace` is the identity of the namespace that the changes were made in.
 * `intact` is false if the file was cut short or damaged; then `entries` are those that could be read.
 */
export type JournalContent = { namespace: string; entries: Entry[]; intact: boolean };

/**
 * The write-ahead record of an attachment's changes: `<folder>/<containerID>-<ifname>.json`.
 *
 * The file is one JSON document with one change on each line, so that a damaged one can still be read line by line.
 */
export class Journal {
  readonly path: string;
  readonly #folder: string;
  readonly #attachment: Attachment;

  /** `folder` is the plugin's, within the data folder. The names must be validated: they become the file's name. */
  constructor(folder: string, attachment: Attachment) {
    this.#folder = folder;
    this.#attachment = attachment;
    this.path = join(folder, `${attachment.containerID}-${attachment.ifname}.json`);
  }

  /** What the journal holds, for all networks of the container and interface name; undefined if there is none. */
  read(): JournalContent | undefined {
    const text = readFileIfThere(this.path);
    return text === undefined || this.#isAnothers(text) ? undefined : parse(text);
  }

  /** Replaces the journal. Throws FileError; then the journal is as before. */
  write(namespace: string, entries: readonly Entry[]): void {
    ensureFolder(this.#folder);
    const { containerID, ifname } = this.#attachment;
    if (this.#isAnothers(readFileIfThere(this.path) ?? '')) {
      throw new FileError(this.path, 'is the journal of another container and interface with the same file name');
    }
    const head = JSON.stringify({ version: VERSION, containerID, ifname, namespace }).slice(0, -1);
    const lines = entries.map((entry) => JSON.stringify(entry)).join(',\n');
    replaceFile(this.path, `${head},"entries":[\n${lines}\n]}\n`);
  }

  /** Forgets the entries of this attachment's network; the file goes when none are left. */
  forget(): void {
    const text = readFileIfThere(this.path) ?? '';
    if (this.#isAnothers(text)) return;
    const content = parse(text);
    const rest = content.entries.filter(({ network }) => network !== this.#attachment.network);
    if (rest.length === 0) removeFile(this.path);
    else this.write(content.namespace, rest);
  }

  // Names may have dashes, so `a-b` on `c` and `a` on `b-c` have one file name. Whoever comes first has the file.
  #isAnothers(text: string): boolean {
    if (text === '') return false;
    const head = parseHead(text);
    const { containerID, ifname } = this.#attachment;
    return head !== undefined && (head.containerID !== containerID || head.ifname !== ifname);
  }

  /** The changes that other attachments of the same container have recorded in this folder. */
  claimsOfOthers(): object[] {
    const { containerID, network } = this.#attachment;
    return namesIn(this.#folder)
      .filter((name) => name.startsWith(`${containerID}-`))
      .flatMap((name) => {
        const path = join(this.#folder, name);
        const entries = parse(readFileIfThere(path) ?? '').entries;
        return entries.filter((entry) => path !== this.path || entry.network !== network);
      })
      .flatMap(({ change }) => change ?? []);
  }
}

/**
 * Forgets what is recorded for attachments to `network` that are not in `valid`. Returns the files that were removed
 * or shortened. Files that cannot be read at all are left alone: it is not known whose they are.
 */
export function forgetInvalid(
  folder: string,
  network: string,
  valid: readonly Omit<Attachment, 'network'>[],
): string[] {
  const validNames = new Set(valid.map(({ containerID, ifname }) => `${containerID}-${ifname}.json`));
  return namesIn(folder)
    .filter((name) => !validNames.has(name))
    .map((name) => join(folder, name))
    .filter((path) => forgetNetwork(path, network));
}

const VERSION = 1;

type Head = { containerID: string; ifname: string; namespace: string };

function forgetNetwork(path: string, network: string): boolean {
  const text = readFileIfThere(path);
  const head = text === undefined ? undefined : parseHead(text);
  if (text === undefined || head === undefined) return false;
  const { entries } = parse(text);
  const rest = entries.filter((entry) => entry.network !== network);
  if (rest.length === entries.length) return false;
  if (rest.length === 0) removeFile(path);
  else new Journal(join(path, '..'), { ...head, network }).write(head.namespace, rest);
  return true;
}

function parse(text: string): JournalContent {
  const whole = parseJson(text);
  if (isJournal(whole)) return { namespace: whole.namespace, entries: whole.entries, intact: true };
  const entries = text
    .split('\n')
    .map((line) => parseJson(line.replace(/,$/, '')))
    .filter(isEntry);
  return { namespace: parseHead(text)?.namespace ?? '', entries, intact: false };
}

// The first line, closed: it ends with `"entries":[`.
function parseHead(text: string): Head | undefined {
  const head = parseJson(`${text.split('\n', 1)[0]}]}`);
  return isJournal(head) ? head : undefined;
}

function isJournal(value: unknown): value is Head & { entries: Entry[] } {
  const journal = value as Partial<Head & { version: number; entries: unknown }> | null | undefined;
  return (
    journal?.version === VERSION &&
    typeof journal.containerID === 'string' &&
    typeof journal.ifname === 'string' &&
    typeof journal.namespace === 'string' &&
    Array.isArray(journal.entries) &&
    journal.entries.every(isEntry)
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
