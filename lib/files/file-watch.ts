import { createHash } from 'node:crypto';
import { constants, type FSWatcher, readFileSync, realpathSync, statSync, watch } from 'node:fs';
import { dirname } from 'node:path';

export type FileWatchOptions = {
  /** How a file is reached from here. */
  readonly pathOf: (path: string) => string;
  /** Called with those who use a file whose content has changed. */
  readonly changed: (users: readonly string[], path: string) => void;
  /** How often it looks for what no notification tells of, such as a folder that comes later. */
  readonly everyMs?: number;
};

type Watched = {
  readonly users: Set<string>;
  /** The content that its users were told of, and how the file was when it was read. */
  content: string;
  seen: Seen | undefined;
  watchers: { readonly folder: string; readonly watcher: FSWatcher }[];
  timer: NodeJS.Timeout | undefined;
};

type Seen = { readonly stat: string; readonly content: string };

/** An editor writes a file in several steps. */
const SETTLE_MS = 30;
const DEFAULT_EVERY_MS = 10_000;

/** Within the time that a file's own times cannot tell apart, two contents of it can look the same from outside. */
const TICK_MS = 100;

/**
 * Watches files by their content, however they are replaced: written in place, renamed, or behind symbolic links that are
 * swapped, as in a volume of a ConfigMap. Only changes of the content are told, so a file that is touched is none.
 */
export class FileWatch {
  readonly #options: FileWatchOptions;
  readonly #files = new Map<string, Watched>();
  #regular: NodeJS.Timeout | undefined;

  constructor(options: FileWatchOptions) {
    this.#options = options;
  }

  /**
   * What these files contain now, by their paths, as a text that is short and another one for another content. They are
   * watched for `user`, and no others.
   */
  use(user: string, paths: readonly string[]): ReadonlyMap<string, string> {
    for (const [path, file] of this.#files) {
      if (paths.includes(path)) continue;
      file.users.delete(user);
      if (file.users.size === 0) this.#leave(path, file);
    }
    return new Map(paths.map((path) => [path, this.#use(user, path)]));
  }

  close(): void {
    for (const [path, file] of this.#files) this.#leave(path, file);
  }

  #use(user: string, path: string): string {
    const known = this.#files.get(path);
    if (known !== undefined) {
      known.users.add(user);
      const content = this.#contentOf(path, known);
      // The others have not been told yet.
      if (content !== known.content) this.#soon(path, known);
      return content;
    }
    const file: Watched = { users: new Set([user]), content: '', seen: undefined, watchers: [], timer: undefined };
    this.#files.set(path, file);
    this.#regular ??= setInterval(() => this.#lookAtAll(), this.#options.everyMs ?? DEFAULT_EVERY_MS).unref();
    // Before the first look, so that nothing is missed in between.
    this.#watch(path, file);
    file.content = this.#contentOf(path, file);
    return file.content;
  }

  #leave(path: string, file: Watched): void {
    clearTimeout(file.timer);
    for (const { watcher } of file.watchers) watcher.close();
    this.#files.delete(path);
    if (this.#files.size > 0) return;
    clearInterval(this.#regular);
    this.#regular = undefined;
  }

  #lookAtAll(): void {
    for (const [path, file] of this.#files) this.#look(path, file);
  }

  #soon(path: string, file: Watched): void {
    file.timer ??= setTimeout(() => this.#look(path, file), SETTLE_MS);
  }

  #look(path: string, file: Watched): void {
    clearTimeout(file.timer);
    file.timer = undefined;
    this.#watch(path, file);
    const content = this.#contentOf(path, file);
    if (content === file.content) return;
    file.content = content;
    this.#options.changed([...file.users], path);
  }

  // The folder that has the file's name, and the one that has the file that a link leads to.
  #watch(path: string, file: Watched): void {
    const named = attempt(() => this.#options.pathOf(dirname(path)));
    const real = attempt(() => dirname(realpathSync(this.#options.pathOf(path))));
    const wanted = new Map(
      [named, real].flatMap((folder) => (folder === undefined ? [] : [[identityOf(folder), folder]])),
    );
    for (const { folder, watcher } of file.watchers) if (!wanted.has(folder)) watcher.close();
    file.watchers = file.watchers.filter(({ folder }) => wanted.has(folder));
    for (const [identity, folder] of wanted) {
      if (identity === undefined || file.watchers.some((known) => known.folder === identity)) continue;
      const watcher = attempt(() => watch(folder, { persistent: false }, () => this.#soon(path, file)));
      if (watcher === undefined) continue;
      file.watchers.push({ folder: identity, watcher });
      watcher.on('error', () => {
        file.watchers = file.watchers.filter((known) => known.watcher !== watcher);
      });
    }
  }

  #contentOf(path: string, file: Watched): string {
    const place = attempt(() => this.#options.pathOf(path));
    const stat = place === undefined ? undefined : attempt(() => statSync(place, { bigint: true }));
    if (place === undefined || !stat?.isFile()) return 'none';
    const text = [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join();
    if (file.seen?.stat === text) return file.seen.content;
    const content = attempt(() => createHash('sha256').update(readText(place)).digest('hex')) ?? 'none';
    const isSettled = Date.now() - Number(stat.ctimeMs) > TICK_MS;
    file.seen = isSettled ? { stat: text, content } : undefined;
    return content;
  }
}

// Not blocking, so that a FIFO that takes the file's place meanwhile is not waited for.
function readText(place: string): Buffer {
  return readFileSync(place, { flag: (constants.O_RDONLY | constants.O_NONBLOCK) as unknown as string });
}

function identityOf(folder: string): string | undefined {
  const stat = attempt(() => statSync(folder, { bigint: true }));
  return stat && `${stat.dev} ${stat.ino}`;
}

// What is not there, or cannot be read, is no error here: whoever reads the file says so.
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
