import type { ApiClient } from '../kubernetes/client.ts';
import { ApiError } from '../kubernetes/errors.ts';
import type { KubeObject } from '../kubernetes/object.ts';
import { Watch } from '../kubernetes/watch.ts';

export type DefinitionsOptions = {
  readonly client: ApiClient;
  /** See `isolationProblem`: definitions in `default` serve every namespace only where no isolation forbids it. */
  readonly globalNamespaces?: ReadonlySet<string> | undefined;
  /** Called when a definition that these pods wait for has come, gone or changed. */
  readonly changed: (network: string, pods: readonly string[]) => void;
  readonly failed: (error: Error) => void;
};

/** A place where a definition can be: the path of its list, and its name. */
type Source = { readonly list: string; readonly name: string };

type Watched = { readonly watch: Watch<KubeObject>; version: string | undefined; isListed: boolean };
type Awaited = { readonly watches: readonly Watched[]; readonly pods: Set<string> };

/** Beyond so many, the pods that wait look again from time to time only. */
const MAX_AWAITED = 64;
const MAX_SEEN = 256;

/**
 * Definitions of networks, read when one is needed: a cluster has thousands, of which a node uses a few. One is watched, by
 * its name, if somebody waits for it to change: an attachment that failed, or one that follows it.
 *
 * A definition is a NetworkAttachmentDefinition. Where there is none, it is kactus' `Network` of kaloom.com, in the same
 * namespace or, where kactus looked for all of them, in `default`.
 */
export class Definitions {
  readonly #options: DefinitionsOptions;
  /** The versions that were read last, by path: what a watch has to differ from. */
  readonly #seen = new Map<string, string>();
  readonly #awaited = new Map<string, Awaited>();
  readonly #reading = new Map<string, Promise<KubeObject | undefined>>();
  /** Does the cluster have the kind `networks.kaloom.com`? */
  #hasNetworks = false;

  constructor(options: DefinitionsOptions) {
    this.#options = options;
  }

  /** How many are watched. */
  get watched(): number {
    return [...this.#awaited.values()].reduce((sum, { watches }) => sum + watches.length, 0);
  }

  /** The definition, as it is now. Throws ApiError. */
  async get(network: string): Promise<KubeObject> {
    return this.#find(network, (source) => this.#read(source));
  }

  /** The same for somebody who only wants to know: a watch that begins later tells of this version too. Throws ApiError. */
  async peek(network: string): Promise<KubeObject> {
    return this.#find(network, (source) => this.#options.client.get(pathOf(source)));
  }

  /**
   * The definition as far as it is known here, at no request if it is watched, and at one if many ask at once; undefined if
   * there is none. Throws ApiError.
   */
  async find(network: string): Promise<KubeObject | undefined> {
    const watches = this.#awaited.get(network)?.watches ?? [];
    if (watches.length > 0 && watches.every(({ isListed }) => isListed)) {
      const [found] = watches.flatMap(({ watch }) => [...watch.items.values()]);
      if (found !== undefined) return found;
    }
    const known = this.#reading.get(network);
    if (known !== undefined) return known;
    const reading = this.get(network)
      .then(withoutRest, ifNotFound)
      .finally(() => this.#reading.delete(network));
    this.#reading.set(network, reading);
    return reading;
  }

  /** Is whoever waits for it told of changes? */
  isWatched(network: string): boolean {
    return this.#awaited.has(network);
  }

  /** The networks whose definitions a pod waits for. Those that it waited for until now it does not need any more. */
  wait(pod: string, networks: ReadonlySet<string>): void {
    for (const [network, awaited] of this.#awaited) {
      if (networks.has(network)) continue;
      awaited.pods.delete(pod);
      if (awaited.pods.size === 0) this.#leave(network, awaited);
    }
    for (const network of networks) this.#await(network, pod);
  }

  async stop(): Promise<void> {
    const watches = [...this.#awaited.values()].flatMap((awaited) => awaited.watches);
    await Promise.all(watches.map(({ watch }) => watch.stop()));
    this.#awaited.clear();
  }

  // In the order in which they are asked.
  #sources(network: string): [Source, ...Source[]] {
    const [namespace = '', name = ''] = network.split('/');
    const { globalNamespaces } = this.#options;
    const isDefaultForAll = globalNamespaces === undefined || globalNamespaces.has('default');
    const namespaces = namespace !== 'default' && isDefaultForAll ? [namespace, 'default'] : [namespace];
    return [
      { list: `/apis/k8s.cni.cncf.io/v1/namespaces/${namespace}/network-attachment-definitions`, name },
      ...namespaces.map((each) => ({ list: `/apis/kaloom.com/v1/namespaces/${each}/networks`, name })),
    ];
  }

  async #find(network: string, read: (source: Source) => Promise<KubeObject>): Promise<KubeObject> {
    const [standard, ...others] = this.#sources(network);
    try {
      return await read(standard);
    } catch (error) {
      if (!(error instanceof ApiError && error.isNotFound)) throw error;
      const found = await this.#findFirst(others, read);
      if (found === undefined) throw error;
      return found;
    }
  }

  async #read(source: Source): Promise<KubeObject> {
    const path = pathOf(source);
    this.#seen.delete(path);
    const definition = await this.#options.client.get(path);
    this.#seen.set(path, definition.metadata.resourceVersion);
    if (this.#seen.size > MAX_SEEN) this.#seen.delete(this.#seen.keys().next().value ?? '');
    return definition;
  }

  // Where the cluster does not have the kind, or the agent not the right to read it, there is none.
  async #findFirst(
    sources: readonly Source[],
    read: (source: Source) => Promise<KubeObject>,
  ): Promise<KubeObject | undefined> {
    for (const source of sources) {
      try {
        const definition = await read(source);
        this.#hasNetworks = true;
        return definition;
      } catch (error) {
        if (!(error instanceof ApiError && (error.isNotFound || error.status === 403))) throw error;
        this.#hasNetworks = error.isNotFound && !error.isUnknownKind;
        if (!this.#hasNetworks) return undefined;
      }
    }
    return undefined;
  }

  #await(network: string, pod: string): void {
    const known = this.#awaited.get(network);
    if (known !== undefined) {
      known.pods.add(pod);
      return;
    }
    const [standard, ...others] = this.#sources(network);
    const sources = this.#hasNetworks ? [standard, ...others] : [standard];
    if (this.watched + sources.length > MAX_AWAITED) return;
    const watches = sources.map((source) => this.#watch(network, source));
    this.#awaited.set(network, { watches, pods: new Set([pod]) });
    for (const { watch } of watches) watch.start();
  }

  #watch(network: string, source: Source): Watched {
    const { list, name } = source;
    const { client, failed } = this.#options;
    const watched: Watched = {
      version: this.#seen.get(pathOf(source)),
      isListed: false,
      watch: new Watch<KubeObject>({
        client,
        path: list,
        query: { fieldSelector: `metadata.name=${name}` },
        keep: withoutRest,
        changed: (_, now) => this.#changed(network, watched, now?.metadata.resourceVersion),
        listed: () => {
          watched.isListed = true;
          // It went between its reading and the list, in which nobody can tell.
          if (watched.watch.items.size === 0) this.#changed(network, watched, undefined);
        },
        failed,
      }),
    };
    return watched;
  }

  #changed(network: string, watched: Watched, version: string | undefined): void {
    const awaited = this.#awaited.get(network);
    if (awaited === undefined || watched.version === version) return;
    watched.version = version;
    this.#options.changed(network, [...awaited.pods]);
  }

  #leave(network: string, { watches }: Awaited): void {
    this.#awaited.delete(network);
    for (const { watch } of watches) void watch.stop();
  }
}

function pathOf({ list, name }: Source): string {
  return `${list}/${name}`;
}

/** What of a definition says how its network is attached. */
export function withoutRest({ apiVersion, metadata, spec }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, annotations } = metadata;
  const { config, plugin } = (spec ?? {}) as { config?: unknown; plugin?: unknown };
  const kept = { name, uid, resourceVersion, ...(namespace && { namespace }), ...(annotations && { annotations }) };
  return {
    ...(apiVersion && { apiVersion }),
    metadata: kept,
    spec: { config, ...(plugin !== undefined && { plugin }) },
  };
}

function ifNotFound(error: unknown): undefined {
  if (error instanceof ApiError && error.isNotFound) return undefined;
  throw error;
}
