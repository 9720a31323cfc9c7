import { Definitions } from '../../lib/attachments/definitions.ts';
import { EventRecorder, type Reason } from '../../lib/attachments/events.ts';
import { type Pod, podOf } from '../../lib/attachments/pod.ts';
import { publishStatus } from '../../lib/attachments/publish.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import type { Call } from '../../lib/cni/runner.ts';
import { inClusterAccess, kubeconfigAccess } from '../../lib/kubernetes/access.ts';
import { pause } from '../../lib/kubernetes/backoff.ts';
import { ApiClient } from '../../lib/kubernetes/client.ts';
import { AccessError, ApiError } from '../../lib/kubernetes/errors.ts';
import type { KubeObject } from '../../lib/kubernetes/object.ts';
import { VERSION } from '../../lib/version.ts';
import { isolationOf, type MultiNetworkConfig } from './config.ts';
import type { PodName } from './pod-name.ts';

/** What the plugin needs of Kubernetes. */
export type Cluster = {
  /** The pod; CniError 11 if it does not exist, is another one of the same name, or nobody can be asked. */
  pod(name: PodName): Promise<Pod>;
  /** A definition, by `namespace/name`. Throws ApiError. */
  definition(network: string): Promise<KubeObject>;
  /** Writes the pod's status annotation: what it has to say, given what it says. Throws ApiError. */
  publish(pod: Pod, compose: (before: readonly JsonObject[]) => readonly JsonObject[]): Promise<void>;
  /** Reports something about a pod; nobody waits for it. */
  event(pod: Pod, reason: Reason, message: string): void;
  /** Ends what was begun; events are lost that are not written soon. */
  close(): Promise<void>;
};

/** A request has so long; whoever calls us has two minutes at most. */
const REQUEST_MS = 10_000;
/** How long an API server that does not answer, or says that it is busy, is asked again. */
const RETRY_MS = 10_000;
const RETRY_PAUSE_MS = 250;
/** Events are no reason to keep a pod waiting. */
const EVENTS_MS = 2000;

/** Asks the API server itself, by `kubeconfig` or as a pod of the cluster; undefined where there is neither. Throws CniError 7. */
export async function directCluster(config: MultiNetworkConfig, call: Call): Promise<Cluster | undefined> {
  const { kubeconfig } = config;
  const { place, log, env } = call;
  try {
    const access = kubeconfig ? await kubeconfigAccess(place.pathOf(kubeconfig)) : inClusterAccess(env);
    if (access === undefined) return undefined;
    const client = new ApiClient({ access, userAgent: `waymark/${VERSION}`, timeoutMs: REQUEST_MS });
    return new DirectCluster(client, {
      lost: (why) => log.warn('an event is lost', { why }),
      globalNamespaces: isolationOf(config),
    });
  } catch (error) {
    if (error instanceof AccessError)
      throw new CniError(CniCode.invalidConfig, `kubeconfig: ${error.message}`, { cause: error });
    throw error;
  }
}

type DirectOptions = {
  readonly lost: (why: string) => void;
  readonly node?: string;
  /** See `isolationProblem`. */
  readonly globalNamespaces?: ReadonlySet<string> | undefined;
  /** How long `close` waits for events. */
  readonly eventsMs?: number;
};

/** A cluster whose API server is asked for everything. */
export class DirectCluster implements Cluster {
  readonly #client: ApiClient;
  readonly #definitions: Definitions;
  readonly #events: EventRecorder;
  readonly #eventsMs: number;

  constructor(client: ApiClient, { lost, node = '', globalNamespaces, eventsMs = EVENTS_MS }: DirectOptions) {
    this.#client = client;
    this.#eventsMs = eventsMs;
    this.#definitions = new Definitions({
      client,
      globalNamespaces,
      changed: () => undefined,
      failed: () => undefined,
    });
    this.#events = new EventRecorder({ client, node, component: 'multus', lost });
  }

  async pod(wanted: PodName): Promise<Pod> {
    const path = `/api/v1/namespaces/${wanted.namespace}/pods/${wanted.name}`;
    const read = await patiently(() => this.#client.get(path)).catch((error: unknown) => {
      if (error instanceof ApiError) throw podUnknown(wanted, error);
      throw error;
    });
    const pod = podOf(read);
    if (isSamePod(pod, wanted)) return pod;
    const what = `pod ${wanted.namespace}/${wanted.name} has UID ${pod.uid}, and the runtime starts the one with ${wanted.uid}`;
    throw new CniError(CniCode.tryAgainLater, what);
  }

  definition(network: string): Promise<KubeObject> {
    return patiently(() => this.#definitions.get(network));
  }

  async publish(pod: Pod, compose: (before: readonly JsonObject[]) => readonly JsonObject[]): Promise<void> {
    await patiently(() => publishStatus(this.#client, pod, compose));
  }

  event(pod: Pod, reason: Reason, message: string): void {
    this.#events.record(pod, reason, message);
  }

  async close(): Promise<void> {
    await this.#events.stop(this.#eventsMs);
    this.#client.close();
  }
}

/** Is it the one that the runtime means? A StatefulSet makes another of the same name. */
export function isSamePod(pod: Pod, { uid }: PodName): boolean {
  return uid === '' || pod.uid === uid || pod.sandboxUid === uid;
}

function podUnknown({ namespace, name }: PodName, error: ApiError): CniError {
  const why = error.isNotFound ? 'does not exist' : `cannot be read: ${error.message}`;
  return new CniError(CniCode.tryAgainLater, `pod ${namespace}/${name} ${why}`, { cause: error });
}

// No answer, a server that starts or is overloaded: it is asked again for a while.
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  const began = performance.now();
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const mayChange = error instanceof ApiError && error.isOfServer;
      if (!mayChange || performance.now() - began > RETRY_MS) throw error;
      await pause(error.retryAfterMs ?? RETRY_PAUSE_MS, new AbortController().signal);
    }
  }
}
