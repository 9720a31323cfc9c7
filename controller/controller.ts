import { Definitions } from '../lib/attachments/definitions.ts';
import { Delegates, recordsFolder } from '../lib/attachments/delegates.ts';
import { EventRecorder, messages } from '../lib/attachments/events.ts';
import { endOrphans } from '../lib/attachments/orphans.ts';
import { type Pod, podKey, podOf } from '../lib/attachments/pod.ts';
import type { Slots } from '../lib/attachments/slots.ts';
import type { InterfaceNames } from '../lib/attachments/steps.ts';
import { DEFAULT_DATA_DIR } from '../lib/cni/config.ts';
import { HERE, type PathOf, type Place } from '../lib/cni/place.ts';
import type { Pacing } from '../lib/cni/runner.ts';
import { RuntimeService } from '../lib/cri/runtime-service.ts';
import { DEFAULT_ROUTE, DefaultRoutes } from '../lib/default-route/default-route.ts';
import { FileWatch } from '../lib/files/file-watch.ts';
import { PodResources } from '../lib/kubelet/pod-resources.ts';
import { POD_RESOURCES_SOCKET } from '../lib/kubelet/socket.ts';
import type { ApiClient } from '../lib/kubernetes/client.ts';
import { Watch } from '../lib/kubernetes/watch.ts';
import type { Through } from '../lib/runtime/limited.ts';
import { UPDATABLE } from '../plugins/index.ts';
import { isAmiss } from './amiss.ts';
import { type ExplainOptions, explainPod, idle, inTime, type PodExplanation } from './explain.ts';
import { keysUpdating } from './followed.ts';
import type { HealOutcome } from './heal-account.ts';
import { Healing } from './healing.ts';
import { KnownSandboxes } from './known-sandboxes.ts';
import { LiveRoutes } from './live-routes.ts';
import type { Sandboxed } from './look.ts';
import { NodeState } from './node-state.ts';
import { Pace } from './pace.ts';
import { Performer } from './perform.ts';
import { type Pending, PodWork } from './pod-work.ts';
import { concernsUs, Reconciler } from './reconcile.ts';
import { type RecordedAttachment, Records } from './records.ts';
import type { RoundsOptions } from './rounds.ts';
import type { StepReport } from './step-report.ts';
import { WorkQueue } from './work-queue.ts';

/** Where things of interest are reported; what is not given is not reported. */
export type Observer = {
  readonly step?: (report: StepReport) => void;
  readonly watchRestarted?: (resource: 'pods' | 'definitions') => void;
  /** What came of something that an attachment has lost. */
  readonly healed?: (outcome: HealOutcome) => void;
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
  /** How the node's programs are reached; else they are run as they are. */
  readonly through?: Through | undefined;
  readonly deadlineMs?: number;
  readonly globalNamespaces?: ReadonlySet<string> | undefined;
  readonly allowedTypes?: ReadonlySet<string> | undefined;
  readonly cacheFolders?: readonly string[];
  readonly interfaceNames?: InterfaceNames;
  /** The kubelet's socket of its pod-resources API, on the node. */
  readonly podResourcesSocket?: string;
  /** Where journals are kept, on the node. */
  readonly dataDir?: string;
  /** The node, if its network and files are not those that we see. */
  readonly place?: Place;
  /** How much of the process an update takes. */
  readonly pacing?: Pacing;
  /** When putting back what somebody takes away is a fight. */
  readonly rounds?: RoundsOptions;
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
  readonly pending: readonly Pending[];
  /** Attachments that keep their routes, since their definition is gone. Absent in agents that do not follow these. */
  readonly withoutDefinition?: readonly { readonly pod: string; readonly ifname: string; readonly network: string }[];
  /** Pods whose routes are put back when they are lost. Absent in agents that do not. */
  readonly podsWatched?: number;
  /** What this agent has attached, by pod, and what of it is not finished. */
  readonly attached: readonly {
    readonly pod: string;
    readonly interfaces: readonly Pick<RecordedAttachment, 'ifname' | 'network' | 'state'>[];
  }[];
};

/** The time in which kubelet and Multus expect an answer of a plugin is two minutes at most. */
const DEADLINE_MS = 60_000;
// A plugin takes some 15 MB, which count as ours.
const RUNNING = 16;
const RUNNING_PER_NETWORK = 8;

/** Records are compared with what there is; every tenth time their pods are looked at, which is most of what an idle agent does. */
const SWEEP_MS = 60_000;
const LOOK_EVERY = 10;
/** Nobody waits for an agent that stops longer than that for events' sake. */
const EVENTS_MS = 3000;

/** Follows the pods of this node, and keeps their networks as their annotations select them. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #pods: Watch<Pod>;
  readonly #queue = new WorkQueue((key) => this.#work.work(key));
  readonly #work: PodWork;
  readonly #cri: RuntimeService;
  readonly #sandboxes: KnownSandboxes;
  readonly #devices: PodResources;
  readonly #records: Records;
  readonly #definitions: Definitions;
  readonly #delegates: Delegates;
  readonly #events: EventRecorder;
  readonly #looks: ExplainOptions;
  readonly #files: FileWatch;
  /** Pods in which a plugin has something whose routes we follow, be it of the cluster's own network. */
  readonly #ours = new Set<string>();
  readonly #node: NodeState;
  readonly #healing: Healing;
  readonly #pace = new Pace();
  readonly #stopping = new AbortController();
  #starting: Promise<void> | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  #isSynced = false;

  /** Reads the records. Throws FileError. */
  constructor(options: ControllerOptions) {
    const { client, node, observer = {}, pathOf, allowedTypes, globalNamespaces, cacheFolders } = options;
    const folders = cacheFolders === undefined ? {} : { cacheFolders };
    this.#options = options;
    this.#cri = new RuntimeService(options.criSocket);
    this.#sandboxes = new KnownSandboxes(this.#cri, pathOf);
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
    const [definitions, records, delegates] = [this.#definitions, this.#records, this.#delegates];
    const rules = { allowedTypes, globalNamespaces, signal: this.#stopping.signal };
    const defaultRoutes = new DefaultRoutes({
      ...(options.dataDir !== undefined && { dataDir: options.dataDir }),
      place: { ...HERE, pathOf },
      log: (text) => observer.log?.('info', 'default-route', { text }),
    });
    this.#devices = new PodResources(pathOf(options.podResourcesSocket ?? POD_RESOURCES_SOCKET));
    const parts = { records, delegates, definitions, defaultRoutes, devices: this.#devices };
    const performer = new Performer({ ...parts, pathOf, ...rules, ...folders });
    const recordOf = (sandboxed: Sandboxed) => performer.recordOf(sandboxed);
    const updatedBy = (types: readonly string[]) => keysUpdating(types, UPDATABLE);
    this.#files = new FileWatch({ pathOf, changed: (pods) => this.#sourceChanged(pods) });
    const { dataDir = DEFAULT_DATA_DIR, pacing = {}, place = { ...HERE, pathOf } } = options;
    this.#node = new NodeState({
      ...{ place, pacing },
      changed: (pods) => this.#sourceChanged(pods),
      failed: (error) => observer.log?.('warn', 'the node cannot be watched', { reason: error.message }),
    });
    const healing = new Healing({
      ...{ pathOf, pacing, rounds: options.rounds, events: this.#events, healed: observer.healed },
      plugins: [...UPDATABLE.keys(), DEFAULT_ROUTE],
      log: (pod, what, error) => this.#log(pod, what, error),
    });
    this.#healing = healing;
    const liveRoutes = new LiveRoutes({
      ...{ updatable: UPDATABLE, definitions, files: this.#files, records, recordOf, globalNamespaces, ...folders },
      ...{ node: this.#node, healing, dataDir },
      place,
      pacing,
      pace: this.#pace,
      events: this.#events,
      report: observer.step,
      log: (pod, what, error) => this.#log(pod, what, error),
      said: (text) => observer.log?.('info', 'an update', { text: text.trimEnd() }),
    });
    const { interfaceNames = 'numbered' } = options;
    const rest = { interfaceNames, recordOf, performer, definitions, liveRoutes, updatedBy, ...folders };
    const looks = { sandboxes: this.#sandboxes, pathOf, globalNamespaces, ...rest };
    this.#looks = { ...looks, delegates };
    const reconciler = new Reconciler({
      ...looks,
      client,
      events: this.#events,
      signal: this.#stopping.signal,
      ...(observer.step && { report: observer.step }),
      log: (pod, what, error) => this.#log(pod, what, error),
    });
    this.#work = new PodWork({
      ...{ sandboxes: this.#sandboxes, records, performer, reconciler, definitions, liveRoutes, healing },
      hasOurs: (key) => this.#ours.has(key),
      pods: () => this.#pods.items,
      log: (level, message, fields) => observer.log?.(level, message, fields),
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
    this.#starting = this.#endOrphans().then(() => {
      if (this.#stopping.signal.aborted) return;
      this.#pods.start();
      this.#sweep();
      let sweeps = 0;
      this.#sweeper = setInterval(() => (++sweeps % LOOK_EVERY === 0 ? this.#sweep() : this.#compare()), SWEEP_MS);
    });
  }

  /** Finishes the steps that run, and begins none. Events that are not written within a few seconds are lost. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#delegates.slots.close();
    this.#pace.stop();
    this.#files.close();
    await this.#starting;
    clearInterval(this.#sweeper);
    await this.#pods.stop();
    await this.#queue.stop();
    await this.#healing.close();
    await this.#node.close();
    await this.#definitions.stop();
    await this.#events.stop(EVENTS_MS);
    this.#cri.close();
    this.#devices.close();
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
    return {
      node: this.#options.node,
      pods: this.#pods.items.size,
      isSynced: this.#isSynced,
      busy: this.#queue.running,
      delegatesRunning: this.#delegates.slots.running,
      delegatesWaiting: this.#delegates.slots.waiting,
      sandboxesRecorded: this.#records.all().length,
      pending: this.#work.pending(),
      withoutDefinition: this.#work.kept(),
      podsWatched: this.#healing.watched,
      attached: this.#records.all().map(({ pod, attachments }) => ({
        pod: podKey(pod),
        interfaces: attachments.map(({ ifname, network, state }) => ({ ifname, network, state })),
      })),
    };
  }

  /**
   * What would be done to a pod, `namespace/name`, and why not. Nothing is changed. Throws what keeps it from looking:
   * GrpcError, NamespaceError, NetlinkError.
   */
  async explain(key: string): Promise<PodExplanation> {
    const pod = this.#pods.items.get(key);
    if (!this.#isSynced) return idle(key, 'the API server has not answered yet');
    if (pod === undefined) return idle(key, `node ${this.#options.node} has no such pod`);
    const asked = pod.isRunning ? this.#cri.sandboxes(pod.sandboxUid) : [];
    const sandboxes = await inTime('the container runtime', Promise.resolve(asked));
    return explainPod(this.#looks, pod, sandboxes, this.#work.failuresOf(key));
  }

  /** A plugin whose routes are followed has something in this pod, `namespace/name`. */
  attached(key: string): void {
    if (this.#ours.has(key)) return;
    this.#ours.add(key);
    // A pod that starts is not known to run yet.
    if (this.#pods.items.get(key)?.isRunning) this.#queue.kick(key);
  }

  /** Somebody has found that changes of an attachment of a pod, `namespace/name`, do not hold any more. */
  drifts(key: string, ifname: string, network: string, missing: readonly string[]): void {
    const pod = this.#pods.items.get(key);
    if (pod?.isRunning) this.#events.record(pod, 'DriftedRoutes', messages.drifted(pod, ifname, network, missing));
  }

  #podChanged(key: string, now: Pod | undefined, before: Pod | undefined): void {
    const hasRecord = (pod: Pod | undefined) =>
      pod !== undefined && this.#records.ofPod(pod.namespace, pod.name).length > 0;
    const isSame =
      now !== undefined &&
      before !== undefined &&
      (['uid', 'isRunning', 'address', 'networks', 'kactusNetworks'] as const).every(
        (field) => now[field] === before[field],
      ) &&
      (now.status === before.status || this.#work.hasWritten(key, now.status));
    // The kubelet writes into a pod all the time, and mostly nothing that concerns us; and we ourselves write its status.
    if (isSame) return;
    const isKnown = this.#work.knows(key) || hasRecord(now ?? before) || this.#ours.has(key);
    if (now === undefined) this.#ours.delete(key);
    if (isKnown || (now !== undefined && concernsUs(now))) this.#queue.kick(key);
  }

  // What failed while the API server was away is not kept waiting for its turn.
  #apiIsBack(): void {
    for (const key of this.#work.retry()) this.#queue.kick(key);
  }

  #definitionChanged(network: string, pods: readonly string[]): void {
    for (const key of this.#work.retry({ network, pods })) this.#queue.kick(key);
  }

  #sourceChanged(pods: readonly string[]): void {
    for (const key of pods) this.#queue.kick(key);
  }

  // An agent that was killed has left plugins at what its records call unfinished.
  async #endOrphans(): Promise<void> {
    const { stateDir, observer } = this.#options;
    const unfinished = this.#records
      .all()
      .flatMap(({ containerID, attachments }) =>
        attachments.flatMap(({ state, ifname }) => (state === 'unfinished' ? [{ containerID, ifname }] : [])),
      );
    try {
      const count = await endOrphans(stateDir, unfinished);
      if (count > 0) observer?.log?.('warn', 'plugins of an agent that was killed still ran', { processes: count });
    } catch (error) {
      observer?.log?.('warn', 'plugins of an agent that was killed still run', { reason: (error as Error).message });
    }
  }

  // Whose sandbox is gone is found out by looking at each pod that we have a record of.
  #sweep(): void {
    for (const { pod } of this.#records.all()) this.#queue.kick(podKey(pod));
  }

  // That of most pods nothing is amiss must cost next to nothing.
  async #compare(): Promise<void> {
    const { pathOf, pacing } = this.#options;
    try {
      const sandboxes = await this.#cri.sandboxes();
      this.#sandboxes.retain(sandboxes);
      const present = { sandboxes, podOf: (key: string) => this.#pods.items.get(key), pathOf };
      for (const record of this.#records.all()) {
        if (isAmiss(record, present)) this.#queue.kick(podKey(record.pod));
        await pacing?.betweenSteps?.();
      }
    } catch {
      // The runtime does not answer, which whoever looks at a pod says.
      this.#sweep();
    }
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
