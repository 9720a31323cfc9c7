import { Definitions } from '../lib/attachments/definitions.ts';
import { Delegates, recordsFolder } from '../lib/attachments/delegates.ts';
import { EventRecorder } from '../lib/attachments/events.ts';
import { type Pod, podOf } from '../lib/attachments/pod.ts';
import type { Slots } from '../lib/attachments/slots.ts';
import type { PathOf } from '../lib/cni/place.ts';
import { RuntimeService, type Sandbox } from '../lib/cri/runtime-service.ts';
import { pauseMs } from '../lib/kubernetes/backoff.ts';
import type { ApiClient } from '../lib/kubernetes/client.ts';
import { Watch } from '../lib/kubernetes/watch.ts';
import type { Failure } from './failures.ts';
import { Performer } from './perform.ts';
import { concernsUs, type Memory, newMemory, Reconciler, type StepReport } from './reconcile.ts';
import { Records, type SandboxRecord } from './records.ts';
import { type Again, WorkQueue } from './work-queue.ts';

/** Where things of interest are reported; what is not given is not reported. */
export type Observer = {
  readonly step?: (report: StepReport) => void;
  readonly watchRestarted?: (resource: 'pods' | 'definitions') => void;
  readonly eventLost?: () => void;
  readonly log?: (level: 'info' | 'warn', message: string, fields: object) => void;
};

export type ControllerOptions = {
  readonly client: ApiClient;
  /** This node, as `spec.nodeName` has it. */
  readonly node: string;
  /** The container runtime's socket, as we reach it. */
  readonly criSocket: string;
  /** The node's folders of plugins. */
  readonly binDirs: readonly string[];
  readonly stateDir: string;
  readonly pathOf: PathOf;
  /** What runs a program of the node's; else it is run as it is. */
  readonly through?: readonly string[] | undefined;
  readonly deadlineMs?: number;
  readonly globalNamespaces?: ReadonlySet<string> | undefined;
  readonly allowedTypes?: ReadonlySet<string> | undefined;
  readonly cacheFolders?: readonly string[];
  readonly observer?: Observer;
};

/** What `waymark status` shows of the controller. */
export type ControllerStatus = {
  readonly node: string;
  readonly pods: number;
  /** The list of pods was read, and is followed. */
  readonly isSynced: boolean;
  readonly busy: number;
  readonly delegatesRunning: number;
  readonly delegatesWaiting: number;
  readonly sandboxesRecorded: number;
  readonly pending: readonly {
    readonly pod: string;
    readonly what: string;
    readonly reason: string;
    readonly retryInSeconds: number;
  }[];
};

/** The time in which kubelet and Multus expect an answer of a plugin is two minutes at most. */
const DEADLINE_MS = 60_000;
// A plugin takes some 15 MB, which count as ours.
const RUNNING = 16;
const RUNNING_PER_NETWORK = 8;

/** Records are compared with the sandboxes that the runtime knows. */
const SWEEP_MS = 60_000;
/** A pod is gone from the API, and its sandbox goes on: somebody deleted it by force. */
const LINGERING_MS = 5000;

/** Nobody waits for an agent that stops longer than that for events' sake. */
const EVENTS_MS = 3000;

/** Follows the pods of this node, and keeps their networks as their annotations select them. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #pods: Watch<Pod>;
  readonly #queue = new WorkQueue((key) => this.#work(key));
  readonly #memories = new Map<string, Memory>();
  readonly #faults = new Map<string, number>();
  readonly #cri: RuntimeService;
  readonly #records: Records;
  readonly #definitions: Definitions;
  readonly #delegates: Delegates;
  readonly #events: EventRecorder;
  readonly #performer: Performer;
  readonly #reconciler: Reconciler;
  readonly #stopping = new AbortController();
  #sweeper: NodeJS.Timeout | undefined;
  #isSynced = false;

  /** Reads the records. Throws FileError. */
  constructor(options: ControllerOptions) {
    const { client, node, observer = {}, pathOf, allowedTypes, globalNamespaces, cacheFolders } = options;
    const folders = cacheFolders === undefined ? {} : { cacheFolders };
    this.#options = options;
    this.#cri = new RuntimeService(options.criSocket);
    this.#records = new Records(recordsFolder(options.stateDir), (path, reason) =>
      observer.log?.('warn', 'a record cannot be read', { path, reason }),
    );
    this.#definitions = new Definitions({
      client,
      globalNamespaces,
      changed: (network, pods) => this.#definitionChanged(network, pods),
      failed: (error) => this.#watchFailed('definitions', error),
    });
    this.#delegates = new Delegates({
      binDirs: options.binDirs,
      stateDir: options.stateDir,
      deadlineMs: options.deadlineMs ?? DEADLINE_MS,
      running: RUNNING,
      runningPerNetwork: RUNNING_PER_NETWORK,
      pathOf,
      ...(options.through && { through: options.through }),
      said: (plugin, text) => observer.log?.('info', 'a plugin wrote on stderr', { plugin, text }),
    });
    this.#events = new EventRecorder({ client, node, lost: (why) => this.#eventLost(why) });
    const { definitions, records, delegates } = {
      definitions: this.#definitions,
      records: this.#records,
      delegates: this.#delegates,
    };
    const rules = { allowedTypes, globalNamespaces, signal: this.#stopping.signal };
    this.#performer = new Performer({ records, delegates, definitions, pathOf, ...rules, ...folders });
    this.#reconciler = new Reconciler({
      client,
      cri: this.#cri,
      performer: this.#performer,
      definitions,
      events: this.#events,
      pathOf,
      globalNamespaces,
      signal: this.#stopping.signal,
      ...folders,
      ...(observer.step && { report: observer.step }),
      log: (pod, what, error) => this.#log(pod, what, error),
    });
    this.#pods = new Watch<Pod>({
      client,
      path: '/api/v1/pods',
      query: { fieldSelector: `spec.nodeName=${node}` },
      keep: podOf,
      changed: (key, now, before) => this.#podChanged(key, now, before),
      listed: () => {
        this.#isSynced = true;
        this.#sweep();
      },
      recovered: () => this.#apiIsBack(),
      failed: (error) => this.#watchFailed('pods', error),
    });
  }

  start(): void {
    this.#pods.start();
    this.#sweep();
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
  }

  /** Finishes the steps that run, and begins none. Events that are not written within a few seconds are lost. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#delegates.slots.close();
    clearInterval(this.#sweeper);
    await this.#pods.stop();
    await this.#queue.stop();
    await this.#definitions.stop();
    await this.#events.stop(EVENTS_MS);
    this.#cri.close();
  }

  /** A pod of this node as the API server has told; undefined if it has not, or not yet. */
  pod(namespace: string, name: string): Pod | undefined {
    return this.#pods.items.get(`${namespace}/${name}`);
  }

  /** The places of plugins that run: what runs beside hot-plug shares them. */
  get slots(): Slots {
    return this.#delegates.slots;
  }

  status(): ControllerStatus {
    const pending = [...this.#memories].flatMap(([pod, { failures }]) =>
      failures.all().map((failure) => ({ pod, ...summary(failure) })),
    );
    return {
      node: this.#options.node,
      pods: this.#pods.items.size,
      isSynced: this.#isSynced,
      busy: this.#queue.running,
      delegatesRunning: this.#delegates.slots.running,
      delegatesWaiting: this.#delegates.slots.waiting,
      sandboxesRecorded: this.#records.all().length,
      pending,
    };
  }

  #podChanged(key: string, now: Pod | undefined, before: Pod | undefined): void {
    const hasRecord = (pod: Pod | undefined) =>
      pod !== undefined && this.#records.ofPod(pod.namespace, pod.name).length > 0;
    const isSame =
      now !== undefined &&
      before !== undefined &&
      (['uid', 'isRunning', 'networks', 'kactusNetworks', 'status'] as const).every(
        (field) => now[field] === before[field],
      );
    // The kubelet writes into a pod all the time, and mostly nothing that concerns us.
    if (isSame) return;
    const isKnown = this.#memories.has(key) || hasRecord(now ?? before);
    if (isKnown || (now !== undefined && concernsUs(now))) this.#queue.kick(key);
  }

  // What failed while the API server was away is not kept waiting for its turn.
  #apiIsBack(): void {
    for (const { failures } of this.#memories.values()) failures.retry();
    for (const key of [...this.#memories.keys(), ...this.#faults.keys()]) this.#queue.kick(key);
  }

  #definitionChanged(network: string, pods: readonly string[]): void {
    for (const pod of pods) {
      this.#memories.get(pod)?.failures.retry(network);
      this.#queue.kick(pod);
    }
  }

  // Whose sandbox is gone is found out by looking at each pod that we have a record of.
  #sweep(): void {
    for (const { pod } of this.#records.all()) this.#queue.kick(`${pod.namespace}/${pod.name}`);
  }

  async #work(key: string): Promise<Again> {
    try {
      const afterMs = await this.#look(key);
      this.#faults.delete(key);
      return afterMs === undefined ? undefined : { afterMs };
    } catch (error) {
      const faults = (this.#faults.get(key) ?? 0) + 1;
      this.#faults.set(key, faults);
      const afterMs = pauseMs(faults, { firstMs: 250, maxMs: 300_000 });
      const { message: reason } = error as Error;
      this.#options.observer?.log?.('warn', 'a pod could not be inspected', {
        pod: key,
        reason,
        afterMs: Math.round(afterMs),
      });
      return { afterMs };
    }
  }

  // When to look again, in milliseconds.
  async #look(key: string): Promise<number | undefined> {
    const pod = this.#pods.items.get(key);
    const [namespace = '', name = ''] = key.split('/');
    const records = this.#records.ofPod(namespace, name);
    const uids = new Set([...records.map((record) => record.pod.uid), ...(pod?.isRunning ? [pod.sandboxUid] : [])]);
    const sandboxes: Sandbox[] = [];
    for (const uid of uids) sandboxes.push(...(await this.#cri.sandboxes(uid)));
    // What cannot be released of an older pod must not hold up the one of the same name that is there now.
    const released = await this.#releaseGone(records, sandboxes, pod).catch((error: Error) => error);
    const lingering = released instanceof Error ? undefined : released;
    const isOurs = pod?.isRunning === true && (concernsUs(pod) || this.#records.ofPod(namespace, name).length > 0);
    if (!isOurs) {
      this.#memories.delete(key);
      this.#definitions.wait(key, new Set());
      if (released instanceof Error) throw released;
      return lingering;
    }
    const memory = this.#memories.get(key) ?? newMemory();
    this.#memories.set(key, memory);
    const mine = sandboxes.filter(({ uid }) => uid === pod.sandboxUid);
    const again = await this.#reconciler.reconcile(pod, mine, memory);
    if (released instanceof Error) throw released;
    return again === undefined || lingering === undefined ? (again ?? lingering) : Math.min(again, lingering);
  }

  async #releaseGone(records: readonly SandboxRecord[], sandboxes: readonly Sandbox[], pod: Pod | undefined) {
    const ready = new Set(sandboxes.filter(({ isReady }) => isReady).map(({ id }) => id));
    const failures: string[] = [];
    for (const record of records.filter(({ containerID }) => !ready.has(containerID))) {
      const { containerID, pod: of } = record;
      try {
        await this.#performer.release(record);
      } catch (error) {
        failures.push(`sandbox ${containerID}: ${(error as Error).message}`);
        continue;
      }
      this.#options.observer?.log?.('info', 'released what a sandbox had', {
        pod: `${of.namespace}/${of.name}`,
        containerID,
      });
    }
    if (failures.length > 0) throw new Error(failures.join('\n'));
    const isLingering = (record: SandboxRecord) => ready.has(record.containerID) && record.pod.uid !== pod?.sandboxUid;
    const ends = pod !== undefined && !pod.isRunning && records.some(({ containerID }) => ready.has(containerID));
    return ends || records.some(isLingering) ? LINGERING_MS : undefined;
  }

  #watchFailed(resource: 'pods' | 'definitions', error: Error): void {
    this.#options.observer?.watchRestarted?.(resource);
    this.#options.observer?.log?.('warn', `the watch of ${resource} begins again`, { reason: error.message });
  }

  #eventLost(why: string): void {
    this.#options.observer?.eventLost?.();
    this.#options.observer?.log?.('warn', 'an event is lost', { why });
  }

  #log({ namespace, name }: Pod, what: string, error: Error | undefined): void {
    const fields = { pod: `${namespace}/${name}`, ...(error && { reason: error.message }) };
    this.#options.observer?.log?.(error === undefined ? 'info' : 'warn', what, fields);
  }
}

function summary({ what, reason, until }: Failure): { what: string; reason: string; retryInSeconds: number } {
  return { what, reason, retryInSeconds: Math.max(0, Math.round((until - Date.now()) / 1000)) };
}
