import { createHash } from 'node:crypto';
import { pause } from '../kubernetes/backoff.ts';
import type { ApiClient } from '../kubernetes/client.ts';
import { ApiError } from '../kubernetes/errors.ts';
import { type Pod, podKey } from './pod.ts';
import type { NetworkRequest } from './selection.ts';

/**
 * The reasons of the events of multus-dynamic-networks-controller, and of Multus, so that alerts on them go on working. Those
 * about routes are ours.
 */
export type Reason =
  | 'NoNetworkFound'
  | 'AddedInterface'
  | 'RemovedInterface'
  | 'FailedAddingInterface'
  | 'FailedRemovingInterface'
  | 'InterfaceAddRejected'
  | 'UpdatedRoutes'
  | 'FailedUpdatingRoutes'
  | 'HealedRoutes'
  | 'ContestedRoutes'
  | 'DriftedRoutes';

export type EventOptions = {
  readonly client: Pick<ApiClient, 'create' | 'mergePatch'>;
  readonly node: string;
  /** Who reports; by default as the peer calls itself. */
  readonly component?: string;
  /** Called for an event that could not be written, or was one too many. */
  readonly lost: (why: string) => void;
  readonly now?: () => number;
};

const NORMAL: ReadonlySet<Reason> = new Set(['AddedInterface', 'RemovedInterface', 'UpdatedRoutes', 'HealedRoutes']);

/** As the peer calls itself. */
const COMPONENT = 'pod-networks-updates';

/** A pod's events beyond so many are dropped, until time has made room for more (as client-go does). */
const BURST = 25;
const ROOM_EVERY_MS = 30_000;
/** The API server forgets events after an hour. A later one of the same text is a new one. */
const SAME_WITHIN_MS = 30 * 60_000;
const MAX_MESSAGE = 1024;
const MAX_KNOWN = 1000;

type Known = { readonly name: string; count: number; at: number };

/** Writes events about pods, one after another. Nobody waits for them, and nothing fails for their sake. */
export class EventRecorder {
  readonly #options: EventOptions;
  readonly #known = new Map<string, Known>();
  readonly #room = new Map<string, { tokens: number; at: number }>();
  #last: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(options: EventOptions) {
    this.#options = options;
  }

  /** Reports something about a pod, in one line, as `kubectl describe` shows it. */
  record(pod: Pod, reason: Reason, message: string): void {
    if (!this.#hasRoom(pod.uid)) {
      this.#options.lost(`too many events of pod ${podKey(pod)}`);
      return;
    }
    const time = (this.#options.now ?? Date.now)();
    const line = message.replace(/\s*\n\s*/g, '; ').slice(0, MAX_MESSAGE);
    this.#last = this.#last.then(() => this.#write(pod, reason, line, time));
  }

  /** Resolves when all that was reported is written. */
  async written(): Promise<void> {
    await this.#last;
  }

  /** Resolves when all is written, at the latest after so many milliseconds; what is still waiting then is lost. */
  async stop(withinMs: number): Promise<void> {
    const done = new AbortController();
    await Promise.race([this.#last.then(() => done.abort()), pause(withinMs, done.signal)]);
    this.#isStopped = true;
  }

  async #write(pod: Pod, reason: Reason, message: string, time: number): Promise<void> {
    const { client, lost } = this.#options;
    if (this.#isStopped) {
      lost(`event of pod ${podKey(pod)}: the agent has stopped`);
      return;
    }
    const key = createHash('sha256').update(`${pod.uid} ${reason} ${message}`).digest('hex');
    const path = `/api/v1/namespaces/${pod.namespace}/events`;
    const at = new Date(time).toISOString().replace(/\.\d+Z/, 'Z');
    const known = this.#known.get(key);
    try {
      if (known !== undefined && time - known.at < SAME_WITHIN_MS) {
        known.count++;
        known.at = time;
        const again = { count: known.count, lastTimestamp: at };
        const isWritten = await client.mergePatch(`${path}/${known.name}`, again).then(() => true, ifGone);
        if (isWritten) return;
      }
      const name = `${pod.name.slice(0, 200)}.${time.toString(16)}${key.slice(0, 8)}`;
      await client.create(path, this.#event(pod, reason, message, name, at));
      this.#known.set(key, { name, count: 1, at: time });
      if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value ?? '');
    } catch (error) {
      lost(`event of pod ${podKey(pod)}: ${(error as Error).message}`);
    }
  }

  #event(pod: Pod, reason: Reason, message: string, name: string, at: string): object {
    const { namespace, name: podName, uid, resourceVersion } = pod;
    const { node, component = COMPONENT } = this.#options;
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace, name: podName, uid, resourceVersion },
      type: NORMAL.has(reason) ? 'Normal' : 'Warning',
      reason,
      message,
      source: { component, host: node },
      reportingComponent: component,
      reportingInstance: node,
      firstTimestamp: at,
      lastTimestamp: at,
      count: 1,
    };
  }

  #hasRoom(uid: string): boolean {
    const now = (this.#options.now ?? Date.now)();
    const { tokens, at } = this.#room.get(uid) ?? { tokens: BURST, at: now };
    const grown = Math.min(BURST, tokens + (now - at) / ROOM_EVERY_MS);
    this.#room.delete(uid);
    this.#room.set(uid, { tokens: Math.max(0, grown - 1), at: now });
    if (this.#room.size > MAX_KNOWN) this.#room.delete(this.#room.keys().next().value ?? '');
    return grown >= 1;
  }
}

function ifGone(error: unknown): boolean {
  if (error instanceof ApiError && error.isNotFound) return false;
  throw error;
}

/** The peer's texts, followed by `why`, which is ours. */
export const messages = {
  added: (pod: Pod, ifname: string, network: string, request: NetworkRequest) =>
    `${about(pod)}: added interface ${ifname} to network: ${nameOf(network)}${attributes(request)}`,
  removed: (pod: Pod, ifname: string, network: string) =>
    `${about(pod)}: removed interface ${ifname} from network: ${nameOf(network)}`,
  failedAdding: (pod: Pod, ifname: string, network: string, request: NetworkRequest, why: string) =>
    `${about(pod)}: failed adding interface ${ifname} to network: ${nameOf(network)}${attributes(request)}: ${why}`,
  failedRemoving: (pod: Pod, ifname: string, network: string, why: string) =>
    `${about(pod)}: failed removing interface ${ifname} from network: ${nameOf(network)}: ${why}`,
  updated: (pod: Pod, ifname: string, network: string | undefined, changes: number) =>
    `${about(pod)}: updated routes of interface ${ifname}${ofNetwork(network)} (changes: ${changes})`,
  failedUpdating: (pod: Pod, ifname: string, network: string | undefined, why: string) =>
    `${about(pod)}: failed updating routes of interface ${ifname}${ofNetwork(network)}: ${why}`,
  healed: (pod: Pod, ifname: string, network: string | undefined, changes: number) =>
    `${about(pod)}: put back routes of interface ${ifname}${ofNetwork(network)} (changes: ${changes})`,
  contested: (pod: Pod, ifname: string, network: string | undefined, why: string) =>
    `${about(pod)}: somebody takes away routes of interface ${ifname}${ofNetwork(network)}: ${why}`,
  drifted: (pod: Pod, ifname: string, network: string, missing: readonly string[]) =>
    `${about(pod)}: routes of interface ${ifname} of network: ${network} are not as they were made: ${missing.join('; ')}`,
  notDefined: (pod: Pod, ifname: string, network: string) =>
    `${about(pod)}: network ${nameOf(network)} is not defined any more: interface ${ifname} keeps its routes`,
  rejected: (pod: Pod) => `${about(pod)}: will not add interface to host networked pod`,
} as const;

function about({ namespace, name }: Pod): string {
  return `pod [${namespace}/${name}]`;
}

function ofNetwork(network: string | undefined): string {
  return network === undefined ? '' : ` of network: ${nameOf(network)}`;
}

// The peer leaves the namespace out.
function nameOf(network: string): string {
  return network.replace(/^[^/]*\//, '');
}

function attributes({ ips = [], mac = '', cniArgs }: NetworkRequest): string {
  if (ips.length === 0 && mac === '' && cniArgs === undefined) return '';
  const args = cniArgs === undefined ? '<nil>' : JSON.stringify(cniArgs);
  return `(ips: [${ips.join(' ')}], mac: ${mac}, cni-args: ${args})`;
}
