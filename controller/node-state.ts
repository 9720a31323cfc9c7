import type { Place } from '../lib/cni/place.ts';
import type { Pacing } from '../lib/cni/runner.ts';
import { openNamespace } from '../lib/netns/netns.ts';
import { Observation } from '../lib/observation/observation.ts';
import { openOwn } from '../lib/plugin/pod.ts';
import { NamespaceWatch } from './namespace-watch.ts';

export type NodeStateOptions = {
  readonly place: Place;
  readonly pacing: Pacing;
  /** Called with those for whom the node is not as it was. */
  readonly changed: (users: readonly string[]) => void;
  readonly failed: (error: Error) => void;
};

/** What of the node's own namespace somebody depends on, as a text; undefined while it is not there. */
export type NodeReader = (host: Observation) => string | undefined;

type User = { readonly readers: readonly NodeReader[]; texts: readonly string[] };

/** An address that is replaced is gone for a moment. */
const SETTLE_MS = 200;

/** Watches the node's own namespace for those who depend on its addresses, as long as there are any. */
export class NodeState {
  readonly #options: NodeStateOptions;
  readonly #users = new Map<string, User>();
  #watch: NamespaceWatch | undefined;

  constructor(options: NodeStateOptions) {
    this.#options = options;
  }

  /**
   * What these read now, in their order. From now on `user` is told when it is another text, and nothing else. What is not
   * there at the moment, or cannot be read, is as it was.
   */
  use(user: string, readers: readonly NodeReader[]): readonly string[] {
    if (readers.length === 0) {
      this.#users.delete(user);
      if (this.#users.size === 0) void this.close();
      return [];
    }
    const known = this.#users.get(user)?.texts ?? [];
    let texts = readers.map((_, index) => known[index] ?? '');
    try {
      // Before it is read, so that nothing is missed in between.
      this.#watch ??= this.#open();
      texts = this.#observed((host) => read(readers, known, host));
    } catch (error) {
      this.#options.failed(error as Error);
    }
    this.#users.set(user, { readers, texts });
    return texts;
  }

  async close(): Promise<void> {
    const watch = this.#watch;
    this.#watch = undefined;
    await watch?.close();
  }

  #open(): NamespaceWatch {
    const { place, failed } = this.#options;
    const namespace = openNamespace(place.ownNamespace);
    try {
      return new NamespaceWatch({
        ...{ namespace, failed, load: { resting: 0 }, settleMs: SETTLE_MS },
        noticed: (notices) => notices === 'lost' || notices.some((notice) => notice.of !== 'rule'),
        look: async () => this.#look(),
      });
    } finally {
      namespace.close();
    }
  }

  #look(): undefined {
    const changed = this.#observed((host) =>
      [...this.#users].flatMap(([name, user]) => {
        const texts = read(user.readers, user.texts, host);
        const isSame = texts.every((text, index) => text === user.texts[index]);
        user.texts = texts;
        return isSame ? [] : name;
      }),
    );
    if (changed.length > 0) this.#options.changed(changed);
  }

  #observed<T>(work: (host: Observation) => T): T {
    const socket = openOwn(this.#options.place, this.#options.pacing);
    try {
      return work(Observation.of(socket));
    } finally {
      socket.close();
    }
  }
}

function read(readers: readonly NodeReader[], known: readonly string[], host: Observation): string[] {
  return readers.map((reader, index) => reader(host) ?? known[index] ?? '');
}
