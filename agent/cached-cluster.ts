import { withoutRest } from '../lib/attachments/definitions.ts';
import { EventRecorder, type Reason } from '../lib/attachments/events.ts';
import type { Pod } from '../lib/attachments/pod.ts';
import { publishStatus } from '../lib/attachments/publish.ts';
import type { JsonObject } from '../lib/cni/json.ts';
import { pause } from '../lib/kubernetes/backoff.ts';
import type { ApiClient } from '../lib/kubernetes/client.ts';
import { ApiError } from '../lib/kubernetes/errors.ts';
import type { KubeObject } from '../lib/kubernetes/object.ts';
import { Watch } from '../lib/kubernetes/watch.ts';
import { type Cluster, DirectCluster, isSamePod } from '../plugins/multi-network/cluster.ts';
import type { PodName } from '../plugins/multi-network/pod-name.ts';

export type CachedClusterOptions = {
  readonly client: ApiClient;
  readonly node: string;
  /** A pod of this node, as a watch has told. */
  readonly pod: (namespace: string, name: string) => Pod | undefined;
  /** See `isolationProblem`. */
  readonly globalNamespaces: ReadonlySet<string> | undefined;
  readonly lost: (why: string) => void;
  readonly watchFailed: () => void;
};

type Compose = (before: readonly JsonObject[]) => readonly JsonObject[];

/** A pod that the scheduler has just sent here is in the watch a moment later than at the kubelet. */
const FRESH_POD_MS = 300;
const LOOK_EVERY_MS = 10;
const RETRY_STATUS_MS = 1000;
const EVENTS_MS = 2000;

/**
 * Pods and definitions from watches, so that a pod starts without a request, and without an API server as long as what it
 * needs is known. The server is asked for what a watch has not told. A status that it does not take is written later.
 */
export class CachedCluster implements Cluster {
  readonly #options: CachedClusterOptions;
  readonly #direct: DirectCluster;
  readonly #events: EventRecorder;
  readonly #definitions: Watch<KubeObject>;
  readonly #unwritten = new Map<string, { readonly pod: Pod; readonly compose: Compose }>();
  readonly #stopping = new AbortController();
  #isWatching = false;
  #writing: Promise<void> | undefined;

  constructor(options: CachedClusterOptions) {
    const { client, node, globalNamespaces, lost, watchFailed } = options;
    this.#options = options;
    this.#direct = new DirectCluster(client, { lost, node, globalNamespaces });
    this.#events = new EventRecorder({ client, node, component: 'multus', lost });
    this.#definitions = new Watch<KubeObject>({
      client,
      path: '/apis/k8s.cni.cncf.io/v1/network-attachment-definitions',
      keep: withoutRest,
      changed: () => undefined,
      failed: watchFailed,
    });
  }

  async pod(wanted: PodName): Promise<Pod> {
    const { pod } = this.#options;
    for (const began = performance.now(); performance.now() - began < FRESH_POD_MS; ) {
      const known = pod(wanted.namespace, wanted.name);
      if (known !== undefined && isSamePod(known, wanted)) return known;
      await pause(LOOK_EVERY_MS, this.#stopping.signal);
    }
    return this.#direct.pod(wanted);
  }

  async definition(network: string): Promise<KubeObject> {
    // Only a node whose pods select networks follows them.
    if (!this.#isWatching) {
      this.#isWatching = true;
      this.#definitions.start();
    }
    return this.#definitions.items.get(network) ?? (await this.#direct.definition(network));
  }

  async publish(pod: Pod, compose: Compose): Promise<void> {
    try {
      await publishStatus(this.#options.client, pod, compose);
      this.#unwritten.delete(pod.uid);
    } catch (error) {
      if (error instanceof ApiError && error.isOfServer) this.#publishLater(pod, compose);
      throw error;
    }
  }

  event(pod: Pod, reason: Reason, message: string): void {
    this.#events.record(pod, reason, message);
  }

  // It serves many calls.
  async close(): Promise<void> {}

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#definitions.stop();
    await this.#writing;
    await this.#events.stop(EVENTS_MS);
  }

  #publishLater(pod: Pod, compose: Compose): void {
    this.#unwritten.set(pod.uid, { pod, compose });
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  }

  // What hot-plug writes meanwhile is right too, and the pod that it has changed is read anew.
  async #writeAll(): Promise<void> {
    const { signal } = this.#stopping;
    while (this.#unwritten.size > 0 && !signal.aborted) {
      await pause(RETRY_STATUS_MS, signal);
      for (const [uid, { pod, compose }] of this.#unwritten) {
        const isDone = await publishStatus(this.#options.client, pod, compose).then(
          () => true,
          (error: unknown) => !(error instanceof ApiError && error.isOfServer),
        );
        if (isDone) this.#unwritten.delete(uid);
        else break;
      }
    }
  }
}
