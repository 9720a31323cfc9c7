import { readdirSync, statSync } from 'node:fs';
import { identityOf } from '../change/namespace-identity.ts';
import { NetlinkError } from '../netlink/errors.ts';
import { RouteSocket } from '../netlink/socket.ts';
import type { Breathe } from '../netns/holders.ts';
import { NamespaceError, namespaceOfProcess, ofProcess, openNamespace } from '../netns/netns.ts';

/** The root of the node's files as we see them: ours, and that of process 1 where we are in a container. */
const ROOTS = ['', '/proc/1/root'];

/** Where runtimes keep the namespaces of pods. */
const FOLDERS = ['/run/netns', '/run/docker/netns'];

/** A namespace that was found, with a socket in it to close. */
export type FoundNamespace = { readonly path: string; readonly socket: RouteSocket };

export type FinderOptions = {
  /** Lets others run meanwhile. */
  readonly breathe: Breathe;
  /** The largest table to read from one of them; all, unless it is given. */
  readonly dumpBytes?: number | undefined;
};

/** Finds namespaces by their identity: where they are said to be, else where runtimes keep them, else among those that
 * processes are in. */
export class NamespaceFinder {
  readonly #options: FinderOptions;
  #held: Promise<{ paths: Map<string, string>; isComplete: boolean }> | undefined;

  constructor(options: FinderOptions) {
    this.#options = options;
  }

  /** `gone` if it is nowhere that we look, `unknown` if we cannot look everywhere. Throws AddonError. */
  async find(identity: string, said: string | undefined): Promise<FoundNamespace | 'gone' | 'unknown'> {
    const likely = said === undefined || said === '' ? [] : ROOTS.map((root) => root + said);
    for (const path of likely) {
      const found = this.#openIf(path, identity);
      if (found !== undefined) return found;
    }
    this.#held ??= this.#searchHeld();
    const { paths, isComplete } = await this.#held;
    const path = paths.get(identity);
    // A pod that is not where its runtime said is mostly deleted, even if we do not see all that could hold it.
    if (path === undefined) return isComplete || likely.length > 0 ? 'gone' : 'unknown';
    // Whoever held it may have ended meanwhile.
    return this.#openIf(path, identity) ?? 'unknown';
  }

  async #searchHeld(): Promise<{ paths: Map<string, string>; isComplete: boolean }> {
    const paths = new Map<string, string>();
    const seen = new Set<string>();
    let isComplete = true;
    for (const path of candidates()) {
      try {
        const name = inodeOf(path);
        if (name === undefined || seen.has(name)) continue;
        seen.add(name);
      } catch {
        isComplete = false;
        continue;
      }
      const found = this.#open(path);
      found?.socket.close();
      if (found !== undefined) paths.set(found.identity, path);
      await this.#options.breathe();
    }
    return { paths, isComplete };
  }

  #openIf(path: string, wanted: string): FoundNamespace | undefined {
    const found = this.#open(path);
    if (found === undefined || found.identity === wanted) return found && { path, socket: found.socket };
    found.socket.close();
    return undefined;
  }

  #open(path: string): { identity: string; socket: RouteSocket } | undefined {
    try {
      const namespace = openNamespace(path);
      try {
        const socket = RouteSocket.open(namespace, { dumpBytes: this.#options.dumpBytes });
        return { identity: identityOf(namespace, socket), socket };
      } finally {
        namespace.close();
      }
    } catch (error) {
      if (error instanceof NamespaceError || error instanceof NetlinkError) return undefined;
      throw error;
    }
  }
}

function candidates(): string[] {
  const kept = ROOTS.flatMap((root) => FOLDERS.map((folder) => root + folder));
  const pids = namesIn('/proc').filter((name) => /^\d+$/.test(name));
  return [
    ...kept.flatMap((folder) => namesIn(folder).map((name) => `${folder}/${name}`)),
    ...pids.map((pid) => namespaceOfProcess(Number(pid))),
  ];
}

// undefined for a process that has ended meanwhile. Throws for one that may not be inspected.
function inodeOf(path: string): string | undefined {
  const stat = ofProcess(() => statSync(path, { throwIfNoEntry: false }));
  return stat && `${stat.dev}:${stat.ino}`;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
