import { join } from 'node:path';
import { ensureFolder, FileError, namesIn, readFileIfThere, removeFile, replaceFile } from '../files/files.ts';
import { removeOrphans, tryLock } from '../files/lock.ts';
import {
  type Attachment,
  type Entry,
  fileName,
  type JournalContent,
  LOCK,
  linesOf,
  lockPath,
  parse,
  parseHead,
  VERSION,
} from './format.ts';
import { writer } from './writer.ts';

/** Which entries may be forgotten: those whose changes this build knows. */
export type IsKnown = (change: object) => boolean;

/**
 * The write-ahead record of an attachment's changes: `<folder>/<containerID>-<ifname>.json`.
 *
 * The file is one JSON document with one change on each line, so that a damaged one can still be read line by line.
 */
export class Journal {
  readonly path: string;
  readonly #folder: string;
  readonly #attachment: Attachment;
  #file: JournalFile | undefined;
  // It can have 10,000 entries, which are compared and written again and again.
  readonly #lines = new Map<Entry, string>();

  /** `folder` is the plugin's, within the data folder. The names must be validated: they become the file's name. */
  constructor(folder: string, attachment: Attachment) {
    this.#folder = folder;
    this.#attachment = attachment;
    this.path = join(folder, fileName(attachment));
  }

  /** What the journal holds, for all networks of the container and interface name; undefined if there is none. */
  read(): JournalContent | undefined {
    this.#file = undefined;
    const { content, isAnothers } = this.#load();
    return isAnothers ? undefined : content;
  }

  /** The line that an entry has, or will have, in the file. */
  textOf(entry: Entry): string {
    const known = this.#lines.get(entry);
    if (known !== undefined) return known;
    const text = JSON.stringify(entry);
    this.#lines.set(entry, text);
    return text;
  }

  /**
   * Replaces the journal. Throws FileError, also for one in a newer format, which would be lost; then the journal is as
   * before.
   */
  write(namespace: string, entries: readonly Entry[]): void {
    ensureFolder(this.#folder);
    const { containerID, ifname } = this.#attachment;
    const { isAnothers, isNewer } = this.#load();
    if (isAnothers) {
      throw new FileError(this.path, 'is the journal of another container and interface with the same file name');
    }
    if (isNewer) throw new FileError(this.path, 'was written by a newer version of Waymark, in a format of its own');
    // What an update is about to add is written before it is made, and mostly is all that changes.
    if (this.#hasWritten(namespace, entries)) return;
    const head = JSON.stringify({ version: VERSION, containerID, ifname, namespace, writer: writer() }).slice(0, -1);
    const lines = entries.map((entry) => this.textOf(entry)).join(',\n');
    this.#file = undefined;
    replaceFile(this.path, `${head},"entries":[\n${lines}\n]}\n`);
    const content = { namespace, entries: [...entries], intact: true };
    this.#file = { content, isAnothers: false, isNewer: false, isWritten: true };
  }

  #hasWritten(namespace: string, entries: readonly Entry[]): boolean {
    const content = this.#file?.isWritten ? this.#file.content : undefined;
    return (
      content?.namespace === namespace &&
      content.entries.length === entries.length &&
      content.entries.every((entry, index) => entry === entries[index])
    );
  }

  /**
   * Forgets the entries of this attachment's network, but for changes that this build does not know; the file goes when
   * none are left. Returns how many entries stay because they are not known. A file in a newer format stays as it is.
   */
  forget(isKnown: IsKnown = () => true): number {
    const { content = NOTHING, isAnothers, isNewer } = this.#load();
    if (isAnothers) return 0;
    const { rest, unknown } = withoutNetwork(content, this.#attachment.network, isKnown);
    if (isNewer) return unknown;
    if (rest.length === 0) {
      this.#file = undefined;
      removeFile(this.path);
    } else this.write(content.namespace, rest);
    return unknown;
  }

  // What was read stays, until it is written: nobody else writes while the attachment is locked.
  #load(): JournalFile {
    if (this.#file !== undefined) return this.#file;
    const { text = '', ...file } = load(this.path, this.#attachment);
    const { entries = [], intact = false } = file.content ?? {};
    const lines = intact ? linesOf(text, entries.length) : [];
    for (const [index, line] of lines.entries()) this.#lines.set(entries[index] as Entry, line);
    this.#file = file;
    return file;
  }

  /**
   * The changes that other attachments have recorded in this folder for the namespace with this identity, whichever
   * container they are of. Journals that cannot be read, or whose namespace cannot, count if they are this container's.
   */
  claimsOfOthers(namespace: string): object[] {
    const { containerID, network } = this.#attachment;
    return namesIn(this.#folder).flatMap((name) => {
      const path = join(this.#folder, name);
      const content = readIfReadable(path);
      const isOfContainer = content?.namespace === '' && name.startsWith(`${containerID}-`);
      if (content === undefined || (content.namespace !== namespace && !isOfContainer)) return [];
      const others = content.entries.filter((entry) => path !== this.path || entry.network !== network);
      return others.flatMap(({ change }) => change ?? []);
    });
  }
}

/** A journal's file as it was found; no `content` if there is none. */
type JournalFile = {
  readonly content: JournalContent | undefined;
  /**
   * Names may have dashes, so `a-b` on `c` and `a` on `b-c` have one file name. Whoever comes first has the file.
   */
  readonly isAnothers: boolean;
  readonly isNewer: boolean;
  /** By us, and not read since. */
  readonly isWritten?: true;
};

const NOTHING: JournalContent = { namespace: '', entries: [], intact: true };

function load(path: string, { containerID, ifname }: Attachment): JournalFile & { readonly text?: string } {
  const text = readFileIfThere(path);
  if (text === undefined) return { content: undefined, isAnothers: false, isNewer: false };
  const head = parseHead(text);
  const isAnothers = head !== undefined && (head.containerID !== containerID || head.ifname !== ifname);
  return { text, content: parse(text), isAnothers, isNewer: head !== undefined && head.version > VERSION };
}

/** What came of forgetting: the files that were removed or shortened, and those that could not be, with the reason. */
export type Forgotten = { readonly files: string[]; readonly failures: Error[] };

/**
 * Forgets what is recorded for attachments to `network` that are not in `valid`, but for changes that this build does not
 * know. Files whose owner cannot be read are left alone. One that cannot be read or written does not keep the others.
 */
export function forgetInvalid(
  folder: string,
  network: string,
  valid: readonly Omit<Attachment, 'network'>[],
  isKnown: IsKnown = () => true,
): Forgotten {
  const validNames = new Set(valid.map(fileName));
  const files: string[] = [];
  const failures: Error[] = removeOrphans(folder, LOCK);
  for (const name of namesIn(folder).filter((name) => !validNames.has(name))) {
    const path = join(folder, name);
    try {
      if (forgetNetwork(folder, path, network, isKnown)) files.push(path);
    } catch (error) {
      failures.push(error as Error);
    }
  }
  return { files, failures };
}

function forgetNetwork(folder: string, path: string, network: string, isKnown: IsKnown): boolean {
  const head = parseHead(readFileIfThere(path) ?? '');
  // A copy that somebody made is not the journal of the attachment that it names.
  if (head === undefined || join(folder, fileName(head)) !== path) return false;
  if (head.version > VERSION || !hasNetwork(path, network, isKnown)) return false;
  const lock = tryLock(lockPath(folder, head));
  // An attachment that somebody is at work on is not one to forget.
  if (lock === undefined) return false;
  try {
    new Journal(folder, { ...head, network }).forget(isKnown);
    return true;
  } finally {
    lock.release();
  }
}

function hasNetwork(path: string, network: string, isKnown: IsKnown): boolean {
  const { entries } = parse(readFileIfThere(path) ?? '');
  return withoutNetwork({ entries }, network, isKnown).rest.length < entries.length;
}

function withoutNetwork({ entries }: Pick<JournalContent, 'entries'>, network: string, isKnown: IsKnown) {
  const isUnknown = (entry: Entry) => entry.change !== undefined && !isKnown(entry.change);
  const rest = entries.filter((entry) => entry.network !== network || isUnknown(entry));
  const unknown = rest.filter((entry) => entry.network === network).length;
  return { rest, unknown };
}

function readIfReadable(path: string): JournalContent | undefined {
  try {
    const text = readFileIfThere(path);
    return text === undefined ? undefined : parse(text);
  } catch (error) {
    if (error instanceof FileError) return undefined;
    throw error;
  }
}
