import type { Definitions } from '../lib/attachments/definitions.ts';
import type { Pod } from '../lib/attachments/pod.ts';
import type { Sandbox } from '../lib/cri/runtime-service.ts';
import { pauseMs } from '../lib/kubernetes/backoff.ts';
import { type Failures, secondsUntil } from './failures.ts';
import type { Healing } from './healing.ts';
import type { KnownSandboxes } from './known-sandboxes.ts';
import type { LiveRoutes } from './live-routes.ts';
import type { Performer } from './perform.ts';
import { concernsUs, type Memory, newMemory, type Reconciler } from './reconcile.ts';
import type { Records, SandboxRecord } from './records.ts';
import type { Again } from './work-queue.ts';

export type PodWorkOptions = {
  /** The pods of this node, by `namespace/name`. */
  readonly pods: () => ReadonlyMap<string, Pod>;
  readonly sandboxes: Pick<KnownSandboxes, 'running' | 'all'>;
  readonly records: Records;
  readonly performer: Pick<Performer, 'release'>;
  readonly reconciler: Pick<Reconciler, 'reconcile' | 'readAhead'>;
  readonly definitions: Pick<Definitions, 'wait'>;
  readonly liveRoutes: Pick<LiveRoutes, 'forget'>;
  readonly healing: Pick<Healing, 'failures'>;
  /** Is there something of ours in this pod, whoever attached it? */
  readonly hasOurs: (key: string) => boolean;
  readonly log: (level: 'info' | 'warn', message: string, fields: object) => void;
};

/** Something that is still to be done, and why it is not done yet. */
export type Pending = {
  readonly pod: string;
  readonly what: string;
  readonly reason: string;
  readonly retryInSeconds: number;
};

type Fault = { readonly count: number; readonly reason: string; readonly until: number };

/** A pod is gone from the API, and its sandbox goes on: somebody deleted it by force. */
const LINGERING_MS = 5000;

/** What is done when a pod is looked at: what its old sandboxes had is released, and the one that runs is reconciled. */
export class PodWork {
  readonly #options: PodWorkOptions;
  readonly #memories = new Map<string, Memory>();
  readonly #faults = new Map<string, Fault>();

  constructor(options: PodWorkOptions) {
    this.#options = options;
  }

  /** Looks at a pod, `namespace/name`. Does not throw: what cannot be looked at now is looked at later. */
  async work(key: string): Promise<Again> {
    try {
      const afterMs = await this.#look(key);
      this.#faults.delete(key);
      return afterMs === undefined ? undefined : { afterMs };
    } catch (error) {
      const count = (this.#faults.get(key)?.count ?? 0) + 1;
      const afterMs = Math.round(pauseMs(count, { firstMs: 250, maxMs: 300_000 }));
      const { message: reason } = error as Error;
      this.#faults.set(key, { count, reason, until: Date.now() + afterMs });
      this.#options.log('warn', 'a pod could not be inspected', { pod: key, reason, afterMs });
      return { afterMs };
    }
  }

  /** Is there anything that a change of this pod could be about? */
  knows(key: string): boolean {
    return this.#memories.has(key);
  }

  /** Is this the status that we have written into the pod, or are about to? */
  hasWritten(key: string, status: string | undefined): boolean {
    return status !== undefined && this.#memories.get(key)?.written === status;
  }

  failuresOf(key: string): Failures | undefined {
    return this.#memories.get(key)?.failures;
  }

  /** What failed is tried at once at the next look: everything, for these pods the steps of one network. The pods' keys. */
  retry(about?: { readonly network: string; readonly pods: readonly string[] }): Iterable<string> {
    if (about === undefined) {
      for (const { failures, live } of this.#memories.values())
        for (const each of [failures, live.failures]) each.retry();
      return [...this.#memories.keys(), ...this.#faults.keys()];
    }
    for (const pod of about.pods) {
      const memory = this.#memories.get(pod);
      memory?.failures.retry(about.network);
      memory?.live.failures.retry(about.network);
    }
    return about.pods;
  }

  /** Attachments that keep their routes, since their definition is gone. */
  kept(): { readonly pod: string; readonly ifname: string; readonly network: string }[] {
    return [...this.#memories].flatMap(([pod, { live }]) => live.kept.map((each) => ({ pod, ...each })));
  }

  pending(): Pending[] {
    const healing = this.#options.healing.failures();
    const steps = [...this.#memories].flatMap(([pod, { failures, live }]) =>
      [...failures.all(), ...live.failures.all(), ...(healing.get(pod) ?? [])].map(({ what, reason, until }) => ({
        pod,
        what,
        reason,
        retryInSeconds: secondsUntil(until),
      })),
    );
    const faults = [...this.#faults].map(([pod, { reason, until }]) => {
      return { pod, what: 'look at the pod', reason, retryInSeconds: secondsUntil(until) };
    });
    return [...steps, ...faults];
  }

  // When to look again, in milliseconds.
  async #look(key: string): Promise<number | undefined> {
    const { pods, records, definitions, reconciler } = this.#options;
    const pod = pods().get(key);
    const [namespace = '', name = ''] = key.split('/');
    const known = records.ofPod(namespace, name);
    const memory = this.#memories.get(key) ?? newMemory();
    const ahead = pod?.isRunning ? reconciler.readAhead(pod, memory, known) : undefined;
    const sandboxes = await this.#sandboxesOf(pod, known);
    // What cannot be released of an older pod must not hold up the one of the same name that is there now.
    const released = await this.#releaseGone(known, sandboxes, pod).catch((error: Error) => error);
    const lingering = released instanceof Error ? undefined : released;
    const hasOurs = () => records.ofPod(namespace, name).length > 0 || this.#options.hasOurs(key);
    const isOurs = pod?.isRunning === true && (concernsUs(pod) || hasOurs());
    if (!isOurs) {
      this.#memories.delete(key);
      definitions.wait(key, new Set());
      this.#options.liveRoutes.forget(key);
      if (released instanceof Error) throw released;
      return lingering;
    }
    this.#memories.set(key, memory);
    const mine = sandboxes.filter(({ uid }) => uid === pod.sandboxUid);
    const again = await reconciler.reconcile(pod, mine, memory, ahead);
    if (released instanceof Error) throw released;
    return again === undefined || lingering === undefined ? (again ?? lingering) : Math.min(again, lingering);
  }

  async #sandboxesOf(pod: Pod | undefined, records: readonly SandboxRecord[]): Promise<readonly Sandbox[]> {
    const { sandboxes } = this.#options;
    const own = pod?.isRunning ? pod.sandboxUid : undefined;
    const found = own === undefined ? [] : [...(await sandboxes.running(own))];
    const others = new Set(records.map((record) => record.pod.uid).filter((uid) => uid !== own));
    for (const uid of others) found.push(...(await sandboxes.all(uid)));
    return found;
  }

  async #releaseGone(records: readonly SandboxRecord[], sandboxes: readonly Sandbox[], pod: Pod | undefined) {
    const ready = new Set(sandboxes.filter(({ isReady }) => isReady).map(({ id }) => id));
    const failures: string[] = [];
    for (const record of records.filter(({ containerID }) => !ready.has(containerID))) {
      const { containerID, pod: of } = record;
      try {
        await this.#options.performer.release(record);
      } catch (error) {
        failures.push(`sandbox ${containerID}: ${(error as Error).message}`);
        continue;
      }
      const fields = { pod: `${of.namespace}/${of.name}`, containerID };
      this.#options.log('info', 'released what a sandbox had', fields);
    }
    if (failures.length > 0) throw new Error(failures.join('\n'));
    const isLingering = (record: SandboxRecord) => ready.has(record.containerID) && record.pod.uid !== pod?.sandboxUid;
    const ends = pod !== undefined && !pod.isRunning && records.some(({ containerID }) => ready.has(containerID));
    return ends || records.some(isLingering) ? LINGERING_MS : undefined;
  }
}
