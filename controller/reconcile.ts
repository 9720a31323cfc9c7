import type { CachedCall } from '../lib/attachments/caches.ts';
import type { Definitions } from '../lib/attachments/definitions.ts';
import { type EventRecorder, messages } from '../lib/attachments/events.ts';
import { furtherSelectionsOf } from '../lib/attachments/kactus.ts';
import { linkNamed, linkNames, linksIn } from '../lib/attachments/links.ts';
import { type Pod, podKey } from '../lib/attachments/pod.ts';
import { publishStatus } from '../lib/attachments/publish.ts';
import { isolated } from '../lib/attachments/selection.ts';
import { SlotsClosed } from '../lib/attachments/slots.ts';
import {
  type Attached,
  defaultEntries,
  defaultOf,
  formatStatus,
  isOfDefinition,
  parseStatus,
  statusOf,
} from '../lib/attachments/status.ts';
import { type Attachment, describe, type Observed, type Plan, type Step, stepKey } from '../lib/attachments/steps.ts';
import type { JsonObject } from '../lib/cni/json.ts';
import type { Sandbox } from '../lib/cri/runtime-service.ts';
import type { ApiClient } from '../lib/kubernetes/client.ts';
import { Failures } from './failures.ts';
import { type LiveMemory, type LiveRoutes, newLiveMemory } from './live-routes.ts';
import { type Looked, type LookOptions, lookAt, observe } from './look.ts';
import type { Performer } from './perform.ts';
import { networkToCome, ReadAhead } from './read-ahead.ts';
import type { SandboxRecord } from './records.ts';
import type { StepReport } from './step-report.ts';

export type ReconcilerOptions = LookOptions & {
  readonly client: Pick<ApiClient, 'get' | 'mergePatch'>;
  readonly performer: Performer;
  readonly liveRoutes: LiveRoutes;
  readonly definitions: Pick<Definitions, 'wait' | 'get'>;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly report?: (report: StepReport) => void;
  readonly log?: (pod: Pod, what: string, error: Error | undefined) => void;
  /** Once it is aborted, no further step begins. */
  readonly signal?: AbortSignal;
};

/** What is remembered of a pod between two looks; nothing of it is needed to come to the right end. */
export type Memory = {
  failures: Failures;
  /** The annotation and the sandbox that the failures are about. */
  about: string;
  /** What was reported about the annotation as it is. */
  reported: Set<string>;
  defaults: readonly JsonObject[];
  /** The annotations for which a definition was read ahead: what is refused is not asked for again and again. */
  aheadOf: string;
  /** The status that was written last, or is about to be. */
  written: string | undefined;
  /** Of its attachments whose routes follow their sources. */
  live: LiveMemory;
};

export function newMemory(failures: Failures = new Failures()): Memory {
  return {
    ...{ failures, about: '', reported: new Set(), defaults: [], aheadOf: '', written: undefined },
    live: newLiveMemory(),
  };
}

/** A plugin says what it likes, and its words are kept, logged and sent. */
const MAX_REASON = 500;

/** The runtime has no sandbox yet: it comes within moments. */
const NO_SANDBOX_MS = 500;

type View = Looked & { readonly memory: Memory; readonly ahead: ReadAhead };

/** Makes what a running pod's namespace holds equal to what its annotation selects. */
export class Reconciler {
  readonly #options: ReconcilerOptions;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /**
   * Begins to read the definition of a network that a pod newly selects, so that this and the questions to the container
   * runtime take their time together.
   */
  readAhead(pod: Pod, memory: Memory, records: readonly SandboxRecord[]): ReadAhead {
    const { definitions, globalNamespaces } = this.#options;
    const selected = `${pod.uid} ${selectedBy(pod)}`;
    const isNew = memory.aheadOf !== selected && !pod.isOnHostNetwork;
    memory.aheadOf = selected;
    if (!isNew) return new ReadAhead(definitions, undefined);
    const { selections } = isolated(furtherSelectionsOf(pod), pod.namespace, globalNamespaces);
    const recorded = records.flatMap(({ attachments }) => attachments.map(({ network }) => network));
    return new ReadAhead(definitions, networkToCome(selections, pod, recorded));
  }

  /**
   * Looks at a running pod, given the sandboxes that the runtime has for it, and makes what steps there are to be made.
   * When to look again, in milliseconds; undefined: when something changes. Failed steps do not make it throw; GrpcError,
   * NetlinkError, NamespaceError and, for the status, ApiError do.
   */
  async reconcile(
    pod: Pod,
    sandboxes: readonly Sandbox[],
    memory: Memory,
    ahead: ReadAhead = new ReadAhead(this.#options.definitions, undefined),
  ): Promise<number | undefined> {
    const { liveRoutes } = this.#options;
    if (pod.isOnHostNetwork) return this.#reject(pod, memory);
    const looked = await lookAt(this.#options, pod, sandboxes);
    if (looked === undefined) {
      liveRoutes.forget(podKey(pod));
      return NO_SANDBOX_MS;
    }
    this.#refresh(pod, looked.containerID, memory);
    const view = { ...looked, memory, ahead };
    this.#refuse(pod, memory, looked.plan);
    const heldUp = await this.#perform(view, looked.plan, looked.observed);
    await this.#publish(view, looked.plan);
    const pending = looked.plan.steps.filter((step) => memory.failures.of(stepKey(step)) !== undefined);
    await liveRoutes.follow(looked, memory.live, new Set(pending.map(({ ifname }) => ifname)));
    this.#waitForDefinitions(view);
    const next = [memory.failures.nextMs(Date.now(), heldUp), liveRoutes.nextMs(memory.live)];
    return next.filter((ms) => ms !== undefined).toSorted((a, b) => a - b)[0];
  }

  // Whatever failed for the annotation or the sandbox as they were is tried at once with the new one.
  #refresh(pod: Pod, containerID: string, memory: Memory): void {
    const about = `${pod.uid} ${containerID} ${selectedBy(pod)}`;
    if (memory.about !== about) {
      memory.failures.retry();
      memory.live.failures.retry();
      memory.reported.clear();
    }
    memory.about = about;
    const defaults = defaultEntries(parseStatus(pod.status) ?? []);
    if (defaults.length > 0) memory.defaults = defaults;
  }

  #refuse(pod: Pod, memory: Memory, { refusals }: Plan): void {
    for (const { network = '?/?', interface: ifname = '', reason } of refusals) {
      const message = messages.failedAdding(pod, ifname, network, {}, reason);
      if (memory.reported.has(message)) continue;
      memory.reported.add(message);
      this.#options.events.record(pod, 'FailedAddingInterface', message);
      this.#options.log?.(pod, message, undefined);
    }
  }

  // Returns the keys of the steps that another one of their interface held up: their turn comes after it, not by the clock.
  async #perform(view: View, { steps }: Plan, observed: Observed): Promise<ReadonlySet<string>> {
    const { failures } = view.memory;
    failures.keep(new Set(steps.map(stepKey)));
    // What failed before comes last, so that it holds nothing up.
    const attempts = (step: Step) => failures.attempts(stepKey(step));
    const of = (kind: Step['kind']) =>
      steps.filter((step) => step.kind === kind).sort((a, b) => attempts(a) - attempts(b));
    const blocked = new Set<string>();
    const heldUp = new Set<string>();
    for (const step of [...of('detach'), ...of('attach')]) {
      if (this.#options.signal?.aborted) break;
      if (blocked.has(step.ifname)) {
        heldUp.add(stepKey(step));
        continue;
      }
      const isDone = !failures.isWaiting(stepKey(step)) && (await this.#make(view, step, observed));
      if (!isDone) blocked.add(step.ifname);
    }
    return heldUp;
  }

  async #make(view: View, step: Step, observed: Observed): Promise<boolean> {
    const { performer, events, report, log } = this.#options;
    const { pod, memory, ahead } = view;
    const network = step.kind === 'attach' ? step.selection.network : step.network;
    const begun = performance.now();
    const seconds = () => (performance.now() - begun) / 1000;
    try {
      if (step.kind === 'attach') await performer.attach(view, step, (wanted) => ahead.get(wanted));
      else await performer.detach(view, step, attachmentOf(observed, step.ifname));
      memory.failures.forget(stepKey(step));
      report?.({ kind: step.kind, outcome: 'done', seconds: seconds() });
      if (step.kind === 'attach') {
        events.record(pod, 'AddedInterface', messages.added(pod, step.ifname, network, step.selection.request));
      } else if (step.why !== 'unfinished') {
        events.record(pod, 'RemovedInterface', messages.removed(pod, step.ifname, network));
      }
      log?.(pod, describe(step), undefined);
      return true;
    } catch (error) {
      // Nothing was begun, so nothing has failed.
      if (error instanceof SlotsClosed) return false;
      const reason = (error as Error).message.slice(0, MAX_REASON);
      memory.failures.add(stepKey(step), describe(step), network, reason);
      report?.({ kind: step.kind, outcome: 'failed', seconds: seconds() });
      if (step.kind === 'attach') {
        const text = messages.failedAdding(pod, step.ifname, network, step.selection.request, reason);
        events.record(pod, 'FailedAddingInterface', text);
      } else {
        events.record(pod, 'FailedRemovingInterface', messages.failedRemoving(pod, step.ifname, network, reason));
      }
      log?.(pod, describe(step), new Error(reason, { cause: error }));
      return false;
    }
  }

  async #publish(view: View, { order }: Plan): Promise<void> {
    const { pathOf, client } = this.#options;
    const links = linksIn(pathOf(view.netns));
    const { attachments } = observe(this.#options, view, links);
    const record = this.#options.recordOf(view);
    const place = new Map(order.map(({ ifname }, index) => [ifname, index]));
    const attached = attachments
      .flatMap(({ ifname, network, origin, state, links: names }): Attached[] => {
        if (origin === 'birth') return [{ network, ifname, links: names, result: undefined }];
        const result = record.attachments.find((item) => item.ifname === ifname)?.result ?? {};
        const own = linkNames(ifname, result, links);
        // What could not be detached is still there, and is reported so.
        const isThere = state === 'attached' || own.some((name) => linkNamed(links, name) !== undefined);
        return state === 'pending' || !isThere ? [] : [{ network, ifname, links: own, result }];
      })
      .toSorted((a, b) => (place.get(a.ifname) ?? order.length) - (place.get(b.ifname) ?? order.length));
    const defaults = () =>
      [view.memory.defaults, record.defaults].find(({ length }) => length > 0) ??
      defaultOf(links, primaryNetwork(view.cached()));
    if (attached.length === 0 && view.pod.status === undefined) return;
    await publishStatus(client, view.pod, (before) => {
      const needs = defaultEntries(before).length === 0 ? defaults() : [];
      const entries = statusOf(before, needs, attached, links);
      // Before the answer: the watch may be faster.
      view.memory.written = formatStatus(entries);
      return entries;
    });
  }

  #waitForDefinitions({ pod, memory }: View): void {
    const networks = memory.failures.all().flatMap(({ network }) => network ?? []);
    this.#options.definitions.wait(podKey(pod), new Set([...networks, ...memory.live.networks]));
  }

  #reject(pod: Pod, memory: Memory): undefined {
    this.#refresh(pod, '', memory);
    const { selections } = furtherSelectionsOf(pod);
    const message = messages.rejected(pod);
    if (selections.length === 0 || memory.reported.has(message)) return;
    memory.reported.add(message);
    this.#options.events.record(pod, 'InterfaceAddRejected', message);
  }
}

/** Has a pod anything that concerns us? Most have not, and cost nothing. */
export function concernsUs(pod: Pod): boolean {
  if ([pod.networks, pod.kactusNetworks].some((text) => text !== undefined && text.trim() !== '')) return true;
  return (parseStatus(pod.status) ?? []).some(isOfDefinition);
}

/** What of a pod says which networks it selects. */
function selectedBy({ networks = '', kactusNetworks = '' }: Pod): string {
  return `${networks} ${kactusNetworks}`;
}

function attachmentOf({ attachments }: Observed, ifname: string): Attachment {
  const found = attachments.find((attachment) => attachment.ifname === ifname);
  if (found === undefined) throw new Error(`a step is about ${ifname}, which is not there`);
  return found;
}

// A pod whose status nobody wrote: the name of its network is in the runtime's own cache.
function primaryNetwork(cached: readonly CachedCall[]): string {
  return cached.find(({ input }) => input.ifname === 'eth0')?.network ?? '';
}
