import { createHash } from 'node:crypto';
import { setBirthList } from '../lib/attachments/birth-record.ts';
import { CACHE_FOLDERS } from '../lib/attachments/caches.ts';
import type { Definitions } from '../lib/attachments/definitions.ts';
import { type EventRecorder, messages } from '../lib/attachments/events.ts';
import { NetworkError } from '../lib/attachments/network.ts';
import { type Pod, podKey } from '../lib/attachments/pod.ts';
import { isolationProblem } from '../lib/attachments/selection.ts';
import { SlotsClosed } from '../lib/attachments/slots.ts';
import { updateText } from '../lib/attachments/update-text.ts';
import type { JsonObject } from '../lib/cni/json.ts';
import type { Place } from '../lib/cni/place.ts';
import type { Pacing } from '../lib/cni/runner.ts';
import type { FileWatch } from '../lib/files/file-watch.ts';
import { ApiError } from '../lib/kubernetes/errors.ts';
import type { KubeObject } from '../lib/kubernetes/object.ts';
import { explainUpdate, type ListUpdate, type Updatable, updateList } from '../lib/plugin/update-list.ts';
import { cacheResult } from '../lib/runtime/cache.ts';
import type { NetworkList } from '../lib/runtime/network.ts';
import { Failures } from './failures.ts';
import { type Followed, filesOf, followedIn, followingTypes, nodeReaderOf, sourceFor, wantedList } from './followed.ts';
import { defaultRoutesOf, type Healable, healableOf } from './healable.ts';
import type { Healing } from './healing.ts';
import type { Looked, Sandboxed } from './look.ts';
import type { NodeState } from './node-state.ts';
import type { Pace } from './pace.ts';
import { type Records, type SandboxRecord, withAttachment } from './records.ts';
import type { StepReport } from './step-report.ts';

export type LiveRoutesOptions = {
  readonly updatable: Updatable;
  readonly definitions: Pick<Definitions, 'find' | 'isWatched'>;
  readonly files: Pick<FileWatch, 'use'>;
  readonly node: Pick<NodeState, 'use'>;
  readonly healing: Pick<Healing, 'watch' | 'forget'>;
  readonly records: Records;
  readonly recordOf: (sandboxed: Sandboxed) => SandboxRecord;
  /** The node, as it is reached from here. */
  readonly place: Place;
  /** Where the journals of default routes are, on the node. */
  readonly dataDir: string;
  readonly pacing: Pacing;
  readonly pace: Pace;
  readonly cacheFolders?: readonly string[];
  /** See `isolationProblem`. */
  readonly globalNamespaces: ReadonlySet<string> | undefined;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly report?: ((report: StepReport) => void) | undefined;
  readonly log?: ((pod: Pod, what: string, error: Error | undefined) => void) | undefined;
  readonly said?: ((text: string) => void) | undefined;
};

/** What is remembered of a pod between two looks. An agent that starts knows nothing of it, and plans all again. */
export type LiveMemory = {
  readonly failures: Failures;
  /** Which sources each attachment was brought to, by container and interface. */
  readonly applied: Map<string, string>;
  /** What was reported last, by what it is about. */
  readonly reported: Map<string, string>;
  /** The networks whose definitions are followed. */
  networks: readonly string[];
  /** Attachments that keep their routes, since their definition is gone. */
  kept: readonly { readonly ifname: string; readonly network: string }[];
};

export function newLiveMemory(): LiveMemory {
  return { failures: new Failures(), applied: new Map(), reported: new Map(), networks: [], kept: [] };
}

/** What would be changed to bring an attachment to what its sources say now. */
export type PendingUpdate = {
  readonly interface: string;
  readonly network?: string;
  readonly changes: readonly string[];
  readonly problem?: string;
};

/** What an attachment should be like, as its sources say now. */
type Wanted = {
  readonly each: Followed;
  readonly list: NetworkList;
  readonly types: readonly string[];
  readonly files: readonly string[];
};

/** A plugin says what it likes. */
const MAX_REASON = 500;

/** Asked for, though no plugin is run. */
const ENV = { CNI_PATH: '/opt/cni/bin' };

/** Whoever else is at work on the attachment is done in a moment, or it is tried again later. */
const LOCK_SECONDS = 1;

/** How often it looks at definitions for which there are no watches left. */
const UNWATCHED_MS = 60_000;

/**
 * Brings the routes of running attachments to what their sources say now: the definition's config, the annotation's
 * `cni-args`, and files of the node. One that was brought to these sources already costs nothing.
 */
export class LiveRoutes {
  readonly #options: LiveRoutesOptions;

  constructor(options: LiveRoutesOptions) {
    this.#options = options;
  }

  /**
   * Updates the attachments of a pod, but for those of `busy` interfaces. Does not throw: what fails is tried again when it
   * is its time, and at once when a source changes.
   */
  async follow(looked: Looked, memory: LiveMemory, busy: ReadonlySet<string>): Promise<void> {
    const followed = this.#followedIn(looked).filter(({ ifname }) => !busy.has(ifname));
    memory.networks = [...new Set(followed.flatMap(({ network }) => network ?? []))];
    memory.kept = [];
    const tried = new Set<string>();
    const wanted: Wanted[] = [];
    for (const each of followed) {
      try {
        const definition = await this.#definitionOf(looked.pod, each);
        this.#reportUndefined(looked.pod, each, definition, memory);
        wanted.push(this.#wanted(each, definition));
      } catch (error) {
        const key = keyOf(each, 'sources');
        tried.add(key);
        this.#failed(looked.pod, each, memory, key, error as Error);
      }
    }
    const contents = this.#options.files.use(podKey(looked.pod), [...new Set(wanted.flatMap(({ files }) => files))]);
    const node = this.#nodeFor(looked.pod, wanted);
    for (const each of wanted) await this.#bring(looked, each, [contents, node], memory, tried);
    memory.failures.keep(tried);
    this.#options.healing.watch(looked, this.#healable(looked, followed, wanted));
  }

  // What the plans of some attachments depend on, by interface.
  #nodeFor(pod: Pod, wanted: readonly Wanted[]): ReadonlyMap<string, string> {
    const { updatable, node } = this.#options;
    const readers = wanted.flatMap(({ each, list, types }) => {
      const reader = nodeReaderOf(list, types, updatable);
      return reader === undefined ? [] : [[each.ifname, reader] as const];
    });
    const texts = node.use(
      podKey(pod),
      readers.map(([, reader]) => reader),
    );
    return new Map(readers.map(([ifname], index) => [ifname, texts[index] ?? '']));
  }

  // What an edit that cannot be read says about healing does not count.
  #healable(looked: Looked, followed: readonly Followed[], wanted: readonly Wanted[]): Healable[] {
    const { updatable, place, dataDir } = this.#options;
    const lists = new Map(wanted.map(({ each, list }) => [each, list]));
    return [
      ...followed.flatMap((each) => healableOf(each, lists.get(each) ?? each.list, updatable, place.pathOf)),
      ...defaultRoutesOf(looked, place.pathOf(dataDir)),
    ];
  }

  /** The pod, `namespace/name`, is not looked at any more. */
  forget(key: string): void {
    this.#options.files.use(key, []);
    this.#options.node.use(key, []);
    this.#options.healing.forget(key);
  }

  /** When to look again, in milliseconds; undefined: when something changes. */
  nextMs(memory: LiveMemory): number | undefined {
    const isUnwatched = memory.networks.some((network) => !this.#options.definitions.isWatched(network));
    const next = memory.failures.nextMs();
    return isUnwatched ? Math.min(next ?? UNWATCHED_MS, UNWATCHED_MS) : next;
  }

  /** What `follow` would change. Changes nothing, and does not throw. */
  async explain(looked: Looked): Promise<PendingUpdate[]> {
    const all = this.#followedIn(looked).map(async (each): Promise<PendingUpdate> => {
      const { ifname, network } = each;
      const about = { interface: ifname, ...(network !== undefined && { network }) };
      try {
        const wanted = this.#wanted(each, await this.#definitionOf(looked.pod, each));
        return { ...about, changes: await explainUpdate(this.#update(wanted, () => undefined)) };
      } catch (error) {
        return { ...about, changes: [], problem: (error as Error).message };
      }
    });
    return (await Promise.all(all)).filter(({ changes, problem }) => changes.length > 0 || problem !== undefined);
  }

  #followedIn(looked: Looked): Followed[] {
    const { updatable, recordOf, place, cacheFolders = CACHE_FOLDERS } = this.#options;
    return followedIn(looked, recordOf(looked), updatable, cacheFolders, place.pathOf);
  }

  // Whoever may write a pod's status, which names the networks of others' attachments, must not get more out of it than out
  // of a selection.
  async #definitionOf(pod: Pod, { network }: Followed): Promise<KubeObject | undefined> {
    if (network === undefined) return undefined;
    const problem = isolationProblem(network.split('/')[0] ?? '', pod.namespace, this.#options.globalNamespaces);
    if (problem !== undefined) throw new NetworkError(problem);
    return this.#options.definitions.find(network);
  }

  #wanted(each: Followed, definition: KubeObject | undefined): Wanted {
    const { updatable } = this.#options;
    const list = definition === undefined ? each.list : wantedList(each, definition, updatable);
    const types = followingTypes(list, updatable);
    return { each, list, types, files: filesOf(list, types, updatable) };
  }

  async #bring(
    looked: Looked,
    wanted: Wanted,
    [contents, node]: readonly [files: ReadonlyMap<string, string>, node: ReadonlyMap<string, string>],
    memory: LiveMemory,
    tried: Set<string>,
  ): Promise<void> {
    const { each, list, types, files } = wanted;
    const place = `${looked.containerID} ${each.ifname}`;
    const sources = [list.source, ...types, ...files.map((file) => contents.get(file)), node.get(each.ifname) ?? ''];
    const version = createHash('sha256').update(JSON.stringify(sources)).digest('hex');
    if (memory.applied.get(place) === version || types.length === 0) return;
    const key = keyOf(each, version);
    tried.add(key);
    if (memory.failures.isWaiting(key)) return;
    const begun = performance.now();
    const report = (outcome: StepReport['outcome']) =>
      this.#options.report?.({ kind: 'update', outcome, seconds: (performance.now() - begun) / 1000 });
    try {
      const changes = await this.#options.pace.run(() => this.#apply(looked, wanted));
      memory.applied.set(place, version);
      memory.failures.forget(key);
      memory.reported.delete(describe(each));
      if (changes === 0) return;
      report('done');
      const text = messages.updated(looked.pod, each.ifname, each.network, changes);
      this.#options.events.record(looked.pod, 'UpdatedRoutes', text);
      this.#options.log?.(looked.pod, `${describe(each)} (changes: ${changes})`, undefined);
    } catch (error) {
      // Nothing was begun, so nothing has failed.
      if (error instanceof SlotsClosed) return;
      memory.applied.delete(place);
      report('failed');
      this.#failed(looked.pod, each, memory, key, error as Error);
    }
  }

  // How many changes it took. The kernel's state comes first: whoever is killed before the list is written down plans again,
  // and finds nothing to change.
  async #apply(looked: Looked, wanted: Wanted): Promise<number> {
    const { each, list } = wanted;
    let count = 0;
    const result = await updateList(
      this.#update(wanted, (changes) => {
        count += changes.length;
      }),
    );
    if (count > 0 || list.source !== each.list.source) this.#keep(looked, each, list, result);
    return count;
  }

  #update({ each, list, types }: Wanted, applied: (changes: readonly object[]) => void): ListUpdate {
    const { updatable, place, pacing, said = () => undefined } = this.#options;
    const counted: Pacing['counted'] = (what, changes) => {
      pacing.counted?.(what, changes);
      if (what === 'applied') applied(changes);
    };
    const outside = { env: ENV, place, pacing: { ...pacing, counted, lockSeconds: LOCK_SECONDS }, log: said };
    const { input, result } = each;
    return { updatable, types, before: each.list, after: list, input, result, outside };
  }

  // What CHECK and DEL are given, and the next update begins with.
  #keep(looked: Looked, each: Followed, list: NetworkList, result: JsonObject): void {
    const { records, recordOf, place } = this.#options;
    const { ifname, input, cache, cniArgs } = each;
    if (cache !== undefined) {
      const folder = place.pathOf(cache.folder);
      cacheResult(folder, { ...list, source: sourceFor(list, cache.isSingle) }, input, result);
      setBirthList(folder, looked.containerID, ifname, list.source, cniArgs);
      return;
    }
    const record = recordOf(looked);
    const own = record.attachments.find((attachment) => attachment.ifname === ifname);
    if (own === undefined) return;
    const { cniArgs: _, ...rest } = own.request;
    const request = cniArgs === undefined ? rest : { ...rest, cniArgs };
    records.putOrKeep(withAttachment(record, { ...own, request, call: { list: list.source, input }, result }));
  }

  #reportUndefined(pod: Pod, each: Followed, definition: KubeObject | undefined, memory: LiveMemory): void {
    const { ifname, network } = each;
    const about = `${ifname} undefined`;
    if (network === undefined || definition !== undefined) {
      memory.reported.delete(about);
      return;
    }
    memory.kept = [...memory.kept, { ifname, network }];
    const text = messages.notDefined(pod, ifname, network);
    if (this.#isNew(memory, about, text)) this.#options.events.record(pod, 'NoNetworkFound', text);
  }

  #failed(pod: Pod, each: Followed, memory: LiveMemory, key: string, error: Error): void {
    const { log, events } = this.#options;
    const { details } = error as { details?: string };
    const reason = (details === undefined ? error.message : `${error.message}; ${details}`).slice(0, MAX_REASON);
    memory.failures.add(key, describe(each), each.network, reason);
    if (!this.#isNew(memory, describe(each), `${key} ${reason}`)) return;
    log?.(pod, describe(each), new Error(reason, { cause: error }));
    // That the API server does not answer says nothing about the pod.
    if (error instanceof ApiError) return;
    events.record(pod, 'FailedUpdatingRoutes', messages.failedUpdating(pod, each.ifname, each.network, reason));
  }

  #isNew({ reported }: LiveMemory, about: string, text: string): boolean {
    if (reported.get(about) === text) return false;
    reported.set(about, text);
    return true;
  }
}

function keyOf({ ifname }: Followed, version: string): string {
  return `update ${ifname} ${version}`;
}

function describe({ ifname, network }: Followed): string {
  return updateText(ifname, network);
}
