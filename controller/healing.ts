import { type EventRecorder, messages } from '../lib/attachments/events.ts';
import { type Pod, podKey } from '../lib/attachments/pod.ts';
import type { PathOf } from '../lib/cni/place.ts';
import type { Pacing } from '../lib/cni/runner.ts';
import { pauseMs } from '../lib/kubernetes/backoff.ts';
import type { Notices } from '../lib/netlink/notifications.ts';
import { NamespaceError, openNamespace } from '../lib/netns/netns.ts';
import { type Healed, heal, type Lost } from '../lib/plugin/heal.ts';
import { type Failure, STEP_BACKOFF } from './failures.ts';
import type { Healable } from './healable.ts';
import type { Sandboxed } from './look.ts';
import { type Load, NamespaceWatch } from './namespace-watch.ts';
import { Rounds, type RoundsOptions } from './rounds.ts';

/**
 * What came of something that an attachment has lost: it is back; the kernel does not take it yet; or somebody takes it away
 * again and again, or has taken its place.
 */
export type HealOutcome = 'done' | 'waiting' | 'contested';

export const HEAL_OUTCOMES: readonly HealOutcome[] = ['done', 'waiting', 'contested'];

export type HealingOptions = {
  readonly pathOf: PathOf;
  /** The plugins whose journals say what is whose. */
  readonly plugins: readonly string[];
  readonly pacing: Pacing;
  readonly events: Pick<EventRecorder, 'record'>;
  /** Called for an attachment when it comes to that. */
  readonly healed?: ((outcome: HealOutcome) => void) | undefined;
  readonly log?: ((pod: Pod, what: string, error: Error | undefined) => void) | undefined;
  readonly rounds?: RoundsOptions | undefined;
};

/** What is known of a pod that is watched. */
type Watched = {
  sandboxed: Sandboxed;
  healables: readonly Healable[];
  readonly watch: NamespaceWatch;
  readonly rounds: Rounds;
  /** Something is missing, so whatever changes may help. */
  isMissing: boolean;
  /** A link or an address has changed, so the kernel may have taken what is missing. */
  isKernels: boolean;
  /** How often in a row it did not come to an end. */
  attempts: number;
  /** What was told, by the changes that it is about. */
  readonly told: Map<string, 'waiting' | 'contested'>;
  failures: readonly Failure[];
  said: string;
};

/** Whoever is at work on an attachment is done in a moment. */
const BUSY_BACKOFF = { firstMs: 50, maxMs: 2000 };

const MAX_ROUTES = 3;

/**
 * Puts back the routes and rules that running pods lose, when the kernel tells of it. Journals say what there was, so a pod
 * is as ADD or the last update left it. A pod without any of ours is not watched.
 */
export class Healing {
  readonly #options: HealingOptions;
  readonly #pods = new Map<string, Watched>();
  readonly #load: Load = { resting: 0 };
  readonly #closing = new Set<Promise<void>>();

  constructor(options: HealingOptions) {
    this.#options = options;
  }

  /** How many pods are watched. */
  get watched(): number {
    return this.#pods.size;
  }

  /** What is not as it should be, and is tried again, by pod. */
  failures(): ReadonlyMap<string, readonly Failure[]> {
    return new Map([...this.#pods].map(([pod, { failures }]) => [pod, failures]));
  }

  /** From now on these are put back in a pod, and nothing else. Does not throw. */
  watch(sandboxed: Sandboxed, healables: readonly Healable[]): void {
    const key = podKey(sandboxed.pod);
    const known = this.#pods.get(key);
    const isSame = known?.sandboxed.containerID === sandboxed.containerID && known.sandboxed.netns === sandboxed.netns;
    if (known !== undefined && isSame && healables.length > 0) {
      const isOther = JSON.stringify(known.healables) !== JSON.stringify(healables);
      known.sandboxed = sandboxed;
      known.healables = healables;
      if (isOther) known.watch.lookIn(0);
      return;
    }
    this.forget(key);
    if (healables.length > 0) this.#open(key, sandboxed, healables);
  }

  /** The pod, `namespace/name`, is not to be healed any more: its namespace is not held from now on. */
  forget(key: string): void {
    const known = this.#pods.get(key);
    if (known === undefined) return;
    this.#pods.delete(key);
    const closed = known.watch.close().finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
  }

  /** Resolves when nothing is at work any more. */
  async close(): Promise<void> {
    for (const key of this.#pods.keys()) this.forget(key);
    await Promise.all(this.#closing);
  }

  #open(key: string, sandboxed: Sandboxed, healables: readonly Healable[]): void {
    try {
      const namespace = openNamespace(this.#options.pathOf(sandboxed.netns));
      try {
        const watch = new NamespaceWatch({
          namespace,
          noticed: (notices) => this.#noticed(watched, notices),
          look: () => this.#look(key, watched),
          failed: (error) => this.#failed(watched, error),
          load: this.#load,
        });
        const watched: Watched = {
          ...{ sandboxed, healables, watch, rounds: new Rounds(this.#options.rounds) },
          ...{ isMissing: false, isKernels: false, attempts: 0, told: new Map(), failures: [], said: '' },
        };
        this.#pods.set(key, watched);
        // What was lost while nobody looked.
        watch.lookIn(0);
      } finally {
        namespace.close();
      }
    } catch (error) {
      this.#options.log?.(sandboxed.pod, 'its routes cannot be watched', error as Error);
    }
  }

  #noticed(watched: Watched, notices: Notices): boolean {
    if (notices === 'lost') return true;
    watched.isKernels ||= notices.some((notice) => notice.of === 'link' || notice.of === 'address');
    return notices.some(({ of, isGone, replaces }) => {
      return watched.isMissing || isGone || replaces || of === 'link' || of === 'address';
    });
  }

  async #look(key: string, watched: Watched): Promise<number | undefined> {
    try {
      const state = await this.#heal(watched);
      watched.said = '';
      if (this.#pods.get(key) !== watched) return undefined;
      if (state === 'none') this.forget(key);
      return state === 'none' ? undefined : this.#again(watched, state);
    } catch (error) {
      // A namespace that has no path any more is on its way out.
      if (error instanceof NamespaceError) {
        if (this.#pods.get(key) === watched) this.forget(key);
        return undefined;
      }
      this.#failed(watched, error as Error);
      return pauseMs(++watched.attempts, STEP_BACKOFF);
    }
  }

  async #heal(watched: Watched): Promise<'whole' | 'busy' | 'lost' | 'none'> {
    const { plugins, pacing, pathOf } = this.#options;
    const { sandboxed, healables, rounds } = watched;
    const namespace = openNamespace(pathOf(sandboxed.netns));
    try {
      const mayTry = (change: string) => rounds.mayTry(change, Date.now());
      const pod = { containerID: sandboxed.containerID, namespace, plugins, pacing, mayTry };
      const { state, healed } = await heal(healables, pod);
      this.#report(watched, healed);
      return state;
    } finally {
      namespace.close();
    }
  }

  #again(watched: Watched, state: 'whole' | 'busy' | 'lost'): number | undefined {
    watched.isMissing = state === 'busy' || watched.failures.length > 0;
    if (state === 'busy') return pauseMs(++watched.attempts, BUSY_BACKOFF);
    if (watched.failures.length === 0) {
      watched.attempts = 0;
      watched.isKernels = false;
      return undefined;
    }
    const now = Date.now();
    const isWaiting = [...watched.told.values()].includes('waiting');
    const times = [
      watched.rounds.nextMs([...watched.told.keys()], now),
      isWaiting ? pauseMs(++watched.attempts, STEP_BACKOFF) : undefined,
    ].filter((ms) => ms !== undefined);
    if (times.length === 0) return undefined;
    const next = Math.min(...times);
    watched.failures = watched.failures.map((failure) => ({ ...failure, until: now + next }));
    return next;
  }

  #report(watched: Watched, healed: readonly Healed[]): void {
    const { rounds, told } = watched;
    const now = Date.now();
    const failures: Failure[] = [];
    const current = new Set<string>();
    for (const each of healed) {
      const { back, taken, refused, resting } = each;
      // What the kernel takes with a link or an address is nobody's doing.
      if (!watched.isKernels) for (const { key } of back) rounds.add(key, now);
      const contested = [...taken, ...resting];
      for (const { key } of [...contested, ...refused]) current.add(key);
      if (back.length > 0) this.#done(watched, each);
      if (contested.length > 0) failures.push(this.#tell(watched, each, 'contested', contested));
      if (refused.length > 0) failures.push(this.#tell(watched, each, 'waiting', refused));
    }
    watched.failures = failures;
    for (const key of told.keys()) if (!current.has(key) && !rounds.isFought(key, now)) told.delete(key);
  }

  #done({ sandboxed: { pod } }: Watched, { attachment, back }: Healed): void {
    const { ifname, of } = attachment as Healable;
    this.#options.healed?.('done');
    this.#options.events.record(pod, 'HealedRoutes', messages.healed(pod, ifname, of, back.length));
    this.#options.log?.(pod, `put back routes of ${ifname}: ${listed(back.map(({ text }) => text))}`, undefined);
  }

  // Once for each change that it comes to.
  #tell(watched: Watched, { attachment }: Healed, outcome: 'waiting' | 'contested', lost: readonly Lost[]): Failure {
    const { told, sandboxed, attempts } = watched;
    const { ifname, of } = attachment as Healable;
    const { pod } = sandboxed;
    const reason = listed(lost.map((each) => reasonOf(each, outcome)));
    const what = `put back routes of ${ifname}`;
    const isNew = lost.some(({ key }) => told.get(key) !== outcome);
    for (const { key } of lost) told.set(key, outcome);
    if (isNew) {
      this.#options.healed?.(outcome);
      this.#options.log?.(pod, what, new Error(reason));
      if (outcome === 'contested')
        this.#options.events.record(pod, 'ContestedRoutes', messages.contested(pod, ifname, of, reason));
    }
    return { what, network: of, reason, attempts, until: Date.now() };
  }

  #failed(watched: Watched, error: Error): void {
    if (watched.said === error.message) return;
    watched.said = error.message;
    this.#options.log?.(watched.sandboxed.pod, 'its routes cannot be looked after', error);
  }
}

function reasonOf({ text, holder, reason }: Lost, outcome: 'waiting' | 'contested'): string {
  if (outcome === 'waiting') return reason ?? text;
  return `${text}: ${holder === undefined ? 'nothing' : holder} is in its place`;
}

function listed(texts: readonly string[]): string {
  const more = texts.length - MAX_ROUTES;
  return [...texts.slice(0, MAX_ROUTES), ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}
