import { join } from 'node:path';
import type { Request } from '../cni/request.ts';
import { FileError } from '../files/files.ts';
import type { Attached, Entry, JournalContent } from '../journal/format.ts';
import { Journal } from '../journal/journal.ts';
import type { RouteSocket } from '../netlink/socket.ts';
import type { Namespace } from '../netns/netns.ts';
import { type Change, kindOf, type Planned, parseChange } from './change.ts';
import { identityOf } from './namespace-identity.ts';
import type { Detours } from './rename.ts';

/**
 * What a journal is worth to DEL: `complete`; `missing`, as after a failed ADD; `damaged`, so that there may be more;
 * `newer`, with changes that this build does not know; or written `elsewhere`, in another namespace.
 */
export type JournalState = 'complete' | 'missing' | 'damaged' | 'newer' | 'elsewhere';

/** The journal of one attachment, in the terms of changes, and tied to the namespace that they were made in. */
export class AttachmentJournal {
  readonly #journal: Journal;
  readonly #network: string;
  readonly #identity: string;
  #content: { readonly of: JournalContent | undefined } | undefined;

  private constructor(journal: Journal, network: string, identity: string) {
    this.#journal = journal;
    this.#network = network;
    this.#identity = identity;
  }

  /** Without a namespace, the journal can be forgotten, but has nothing to undo. */
  static of(
    plugin: string,
    dataDir: string,
    { containerID, ifname, network }: Request,
    namespace: Namespace | undefined,
    socket: RouteSocket | undefined,
  ): AttachmentJournal {
    const journal = new Journal(join(dataDir, plugin), { containerID, ifname, network });
    const identity = namespace && socket ? identityOf(namespace, socket) : '';
    return new AttachmentJournal(journal, network, identity);
  }

  get path(): string {
    return this.#journal.path;
  }

  /**
   * Records changes that are about to be made, after those of an earlier ADD: one that was killed, or the same one
   * again. Returns what was recorded before. Entries of a namespace that is gone are dropped. Of several `attached`, the
   * first one stays.
   */
  record(changes: readonly (Pick<Planned, 'change'> & Partial<Planned>)[], attached?: Attached): Entry[] {
    const before = this.#entriesHere()?.entries ?? [];
    const textOf = (entry: Entry) => this.#journal.textOf(entry);
    const known = new Set(before.map(textOf));
    // A change without a source, as DEL has them, is known whichever source wanted it: DEL must not need room on the disk.
    if (changes.some(({ source }) => source === undefined))
      for (const { source: _, attached: __, ...entry } of before) known.add(JSON.stringify(entry));
    const isAttached = before.some((entry) => entry.network === this.#network && entry.change === undefined);
    const entries: Entry[] = [
      ...(isAttached ? [] : [{ network: this.#network, ...(attached !== undefined && { attached }) }]),
      ...changes.map(({ change, source }) => ({ ...this.#entry(change), ...(source !== undefined && { source }) })),
    ];
    const added = known.size === 0 ? entries : entries.filter((entry) => !known.has(textOf(entry)));
    if (added.length > 0) this.#write([...before, ...added]);
    return before;
  }

  /**
   * How these changes, in their order, differ from those that are recorded: the `entries` that they have or will have, those of
   * them that are not recorded (`fresh`), and the changes that are recorded and are none of them (`stale`). Of 10,000 routes
   * an edit leaves most as they are, so only what is between the ends that are alike is looked up.
   */
  compare(changes: readonly Planned[]): { entries: Entry[]; fresh: Entry[]; stale: Change[] } {
    const recorded = this.#recorded();
    const { head, tail } = alikeEnds(recorded, changes);
    const [ours, wanted] = [recorded.slice(head, recorded.length - tail), changes.slice(head, changes.length - tail)];
    const known = new Map(ours.map((entry) => [textOf(entry), entry]));
    const kept = new Set(wanted.map(textOf));
    const between = wanted.map((planned) => {
      const { change, source } = planned;
      const entry = known.get(textOf(planned));
      return entry?.source === source ? entry : { ...this.#entry(change), change, source };
    });
    return {
      entries: [...recorded.slice(0, head), ...between, ...recorded.slice(recorded.length - tail)],
      fresh: between.filter((entry) => !known.has(textOf(entry))),
      stale: ours.filter((entry) => !kept.has(textOf(entry))).map(({ change }) => change),
    };
  }

  /** Records entries that are about to come true, after the others. Returns what was recorded before. */
  append(entries: readonly Entry[]): Entry[] {
    const before = this.#entriesHere()?.entries ?? [];
    if (entries.length > 0) this.#write([...before, ...entries]);
    return before;
  }

  /** Writes down these entries, and no others, as this attachment's: what their changes took the place of has gone. */
  replace(entries: readonly Entry[]): void {
    // What says that, and when, it was attached stays.
    const kept = (this.#entriesHere()?.entries ?? []).filter(
      ({ network, change }) => network !== this.#network || change === undefined,
    );
    this.#write([...kept, ...entries]);
  }

  /** After a failed ADD: what was recorded before it, and what it could not take back or put back. */
  restore(before: readonly Entry[], notUndone: readonly Change[]): void {
    const entries = [...before, ...[...notUndone, ...this.unfinished()].map((change) => this.#entry(change))];
    if (entries.length === 0) this.forget();
    else this.#write(entries);
  }

  /** The changes to undo, in the order in which they were made, as far as the journal has them: see JournalState. */
  changes(): { changes: Change[]; state: JournalState } {
    const content = this.#read();
    if (content === undefined) return { changes: [], state: 'missing' };
    if (!this.#isHere(content)) return { changes: [], state: 'elsewhere' };
    const own = content.entries.filter(({ network }) => network === this.#network);
    const changes = own.flatMap(({ change }) => (change && parseChange(change)) ?? []);
    if (content.newer || own.some(({ change }) => change && !isKnown(change))) return { changes, state: 'newer' };
    if (!content.intact) return { changes, state: 'damaged' };
    return { changes, state: own.length > 0 ? 'complete' : 'missing' };
  }

  #recorded(): RecordedEntry[] {
    const own = (this.#entriesHere()?.entries ?? []).filter(({ network }) => network === this.#network);
    return own.filter((entry): entry is RecordedEntry => entry.change !== undefined && isKnown(entry.change));
  }

  /** Recorded changes that an earlier ADD or DEL was killed in the middle of, and that must be finished. */
  unfinished(): Change[] {
    return this.changes().changes.filter((change) => kindOf(change).isHalfMade?.(change));
  }

  /** Writes down links that go down to be renamed, and that they are up again. */
  detours(): Detours {
    const end = (change: Change) => {
      try {
        this.#writeProgress(change);
      } catch (error) {
        // The journal says more than is left to do, which does no harm: it is finished once more.
        if (!(error instanceof FileError)) throw error;
      }
    };
    return { begin: (change) => this.#writeProgress(change), end };
  }

  // In the place of the change that is recorded, how far it is.
  #writeProgress(underWay: Change): void {
    const entries = this.#entriesHere()?.entries ?? [];
    const updated = entries.map((entry) => {
      const recorded = entry.change && parseChange(entry.change);
      if (recorded === undefined || entry.network !== this.#network || recorded.op !== underWay.op) return entry;
      const change = kindOf(recorded).progress?.(recorded, underWay);
      return change === undefined ? entry : { ...entry, change };
    });
    this.#write(updated);
  }

  /** The changes that are recorded for this attachment from a source, or from a part of it: `<source>: <part>`. */
  changesFrom(source: string): Change[] {
    const entries = this.#entriesHere()?.entries ?? [];
    const own = entries.filter(
      (entry) => entry.network === this.#network && `${entry.source}: `.startsWith(`${source}: `),
    );
    return own.flatMap(({ change }) => (change && parseChange(change)) ?? []);
  }

  /** What other attachments of this namespace, of whichever container, say is theirs. */
  claimsOfOthers(): Change[] {
    return this.#journal.claimsOfOthers(this.#identity).flatMap((change) => parseChange(change) ?? []);
  }

  /** Forgets what this build knows, and returns how many changes it does not know, which stay. */
  forget(): number {
    this.#content = undefined;
    return this.#journal.forget(isKnown);
  }

  // Read once, since nobody else writes while the attachment is locked.
  #read(): JournalContent | undefined {
    this.#content ??= { of: this.#journal.read() };
    return this.#content.of;
  }

  #write(entries: readonly Entry[]): void {
    this.#content = undefined;
    this.#journal.write(this.#identity, entries);
    this.#content = { of: { namespace: this.#identity, entries: [...entries], intact: true } };
  }

  #entriesHere(): JournalContent | undefined {
    const content = this.#read();
    return content !== undefined && this.#isHere(content) ? content : undefined;
  }

  // Another namespace can have had the same container id: cnitool makes it from the path. A journal that is too damaged
  // to say where it belongs is taken for this one's.
  #isHere({ namespace }: JournalContent): boolean {
    return namespace === '' || namespace === this.#identity;
  }

  #entry(change: Change): Entry {
    return { network: this.#network, change };
  }
}

/** An entry with a change that this build knows. */
type RecordedEntry = Entry & { readonly change: Change };

// How many of both are alike at the beginning, and how many of the others at the end.
function alikeEnds(entries: readonly RecordedEntry[], changes: readonly Planned[]): { head: number; tail: number } {
  const most = Math.min(entries.length, changes.length);
  const isAlike = (entry: RecordedEntry | undefined, planned: Planned | undefined) =>
    entry !== undefined &&
    planned !== undefined &&
    entry.source === planned.source &&
    textOf(entry) === textOf(planned);
  let head = 0;
  while (head < most && isAlike(entries[head], changes[head])) head++;
  let tail = 0;
  while (tail < most - head && isAlike(entries.at(-1 - tail), changes.at(-1 - tail))) tail++;
  return { head, tail };
}

function textOf({ change }: { readonly change: Change }): string {
  return JSON.stringify(change);
}

/** Does this build know the change, so that it can undo it? */
export function isKnown(change: object): boolean {
  return parseChange(change) !== undefined;
}
