import type { ApiClient } from '../kubernetes/client.ts';
import type { KubeObject } from '../kubernetes/object.ts';
import { Watch } from '../kubernetes/watch.ts';

export type DefinitionsOptions = {
  readonly client: ApiClient;
  /** Called when a definition that these pods wait for has come, gone or changed. */
  readonly changed: (network: string, pods: readonly string[]) => void;
  readonly failed: (error: Error) => void;
};

type Awaited = { readonly watch: Watch<string>; readonly pods: Set<string>; version: string | undefined };

/** Beyond so many, the pods that wait look again from time to time only. */
const MAX_AWAITED = 32;
const MAX_SEEN = 256;

/**
 * NetworkAttachmentDefinitions, read when one is needed: a cluster has thousands, of which a node uses a few. Only one that
 * an attachment waits for, since it is missing or the attachment failed, is watched, by its name.
 */
export class Definitions {
  readonly #options: DefinitionsOptions;
  /** The versions that were read last: what a watch has to differ from. */
  readonly #seen = new Map<string, string>();
  readonly #awaited = new Map<string, Awaited>();

  constructor(options: DefinitionsOptions) {
    this.#options = options;
  }

  /** How many are watched. */
  get watched(): number {
    return this.#awaited.size;
  }

  /** The definition, as it is now. Throws ApiError. */
  async get(network: string): Promise<KubeObject> {
    this.#seen.delete(network);
    const definition = await this.#options.client.get(`${listPath(network)}/${nameIn(network)}`);
    this.#seen.set(network, definition.metadata.resourceVersion);
    if (this.#seen.size > MAX_SEEN) this.#seen.delete(this.#seen.keys().next().value ?? '');
    return definition;
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
    await Promise.all([...this.#awaited.values()].map(({ watch }) => watch.stop()));
    this.#awaited.clear();
  }

  #await(network: string, pod: string): void {
    const known = this.#awaited.get(network);
    if (known !== undefined) {
      known.pods.add(pod);
      return;
    }
    if (this.#awaited.size >= MAX_AWAITED) return;
    const { client, failed } = this.#options;
    const watch = new Watch<string>({
      client,
      path: listPath(network),
      query: { fieldSelector: `metadata.name=${nameIn(network)}` },
      keep: ({ metadata }) => metadata.resourceVersion,
      changed: (_, now) => this.#changed(network, now),
      failed,
    });
    this.#awaited.set(network, { watch, pods: new Set([pod]), version: this.#seen.get(network) });
    watch.start();
  }

  #changed(network: string, version: string | undefined): void {
    const awaited = this.#awaited.get(network);
    if (awaited === undefined || awaited.version === version) return;
    awaited.version = version;
    this.#options.changed(network, [...awaited.pods]);
  }

  #leave(network: string, { watch }: Awaited): void {
    this.#awaited.delete(network);
    void watch.stop();
  }
}

function listPath(network: string): string {
  const [namespace] = network.split('/');
  return `/apis/k8s.cni.cncf.io/v1/namespaces/${namespace}/network-attachment-definitions`;
}

function nameIn(network: string): string {
  return network.slice(network.indexOf('/') + 1);
}
