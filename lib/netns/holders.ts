import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { NamespaceError, OWN_NAMESPACE, ofProcess } from './netns.ts';

/** A network namespace that somebody holds: its name, which has the inode (`net:[4026531840]`), and where to open it. */
export type Held = { readonly name: string; readonly path: string; readonly isMount: boolean };

/** Lets others run meanwhile. */
export type Breathe = () => Promise<void>;

/** What a process holds is read in slices of so many descriptors. */
const SLICE = 500;

/**
 * The network namespaces of all processes that this one sees, as often as something holds them, the cheapest to find
 * first: those that processes are in, that are mounted where a process sees it, that threads are in, that are open.
 *
 * A path leads there only as long as its holder does not change. A namespace of which nothing is left but sockets is not
 * among them: nobody can enter it any more.
 *
 * Throws NamespaceError if a process may not be inspected (CAP_SYS_PTRACE): then others may be hidden too.
 */
export async function* heldNamespaces(breathe: Breathe): AsyncGenerator<Held> {
  for (const task of processes()) {
    yield* linkAt(`${task}/ns/net`);
    await breathe();
  }
  const seen = new Set<string>();
  for (const task of processes()) {
    yield* mountsSeenBy(task, seen);
    await breathe();
  }
  for (const path of processes()) {
    // A process whose first thread has ended shows what its others hold only here.
    for (const thread of numbersIn(`${path}/task`)) {
      const task = `${path}/task/${thread}`;
      yield* linkAt(`${task}/ns/net`);
      yield* mountsSeenBy(task, seen);
    }
    await breathe();
  }
  for (const path of processes()) {
    const descriptors = numbersIn(`${path}/fd`);
    for (let at = 0; at < descriptors.length; at += SLICE) {
      for (const fd of descriptors.slice(at, at + SLICE)) yield* openAt(`${path}/fd/${fd}`);
      await breathe();
    }
  }
}

function processes(): string[] {
  return numbersIn('/proc').map((pid) => `/proc/${pid}`);
}

function* linkAt(path: string): Generator<Held> {
  const name = ifThere(path, () => readlinkSync(path));
  if (name?.startsWith('net:[')) yield { name, path, isMount: false };
}

// One that was opened where it was mounted, and is mounted there no more, is a root without a name.
function* openAt(path: string): Generator<Held> {
  if (ifThere(path, () => readlinkSync(path)) !== '/') yield* linkAt(path);
  else {
    const stat = ifThere(path, () => statSync(path));
    if (stat?.dev === statSync(OWN_NAMESPACE).dev) yield { name: `net:[${stat.ino}]`, path, isMount: false };
  }
}

// A process shows the mounts below its own root, which need not be all of its mount namespace.
function* mountsSeenBy(task: string, seen: Set<string>): Generator<Held> {
  const view = ifThere(task, () => `${readlinkSync(`${task}/ns/mnt`)} ${readlinkSync(`${task}/root`)}`);
  if (view === undefined || seen.has(view)) return;
  const table = ifThere(task, () => readFileSync(`${task}/mountinfo`, 'utf8'));
  // Not before it was read: the next process that sees the same may live longer.
  if (table === undefined) return;
  seen.add(view);
  for (const [, name = '', point = ''] of table.matchAll(NAMESPACE_MOUNT)) {
    yield { name, path: `${task}/root${point.replace(/\\([0-7]{3})/g, unescaped)}`, isMount: true };
  }
}

/** A line of proc_pid_mountinfo(5), with its root and its mount point. */
const NAMESPACE_MOUNT = /^\d+ \d+ \S+ (net:\[\d+\]) (\S+) .* - nsfs /gm;

function unescaped(_: string, octal: string): string {
  return String.fromCharCode(Number.parseInt(octal, 8));
}

function numbersIn(folder: string): string[] {
  return ifThere(folder, () => readdirSync(folder))?.filter((name) => /^\d+$/.test(name)) ?? [];
}

// What ends while it is looked at holds nothing any more.
function ifThere<T>(path: string, read: () => T): T | undefined {
  try {
    return ofProcess(read);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // EINVAL: a thread that has no memory any more has no mounts either.
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EINVAL') return undefined;
    throw new NamespaceError(path, 'cannot be opened', error);
  }
}
