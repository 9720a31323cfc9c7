import { type EventRecorder, messages } from '../lib/attachments/events.ts';
import { type Pod, podKey } from '../lib/attachments/pod.ts';
import type { PathOf } from '../lib/cni/place.ts';
import type { Pacing } from '../lib/cni/runner.ts';
import { NamespaceError, openNamespace } from '../lib/netns/netns.ts';
import { type Healing as Found, heal } from '../lib/plugin/heal.ts';
import type { Failure } from './failures.ts';
import { HealAccount, type HealOutcome, type News } from './heal-account.ts';
import type { Healable } from './healable.ts';
import type { Sandboxed } from './look.ts';
import { type Load, NamespaceWatch } from './namespace-watch.ts';
import type { RoundsOptions } from './rounds.ts';

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
  readonly account: HealAccount;
  /** What was said last of looks that failed. */
  said: string;
};

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
    return new Map([...this.#pods].map(([pod, { account }]) => [pod, account.failures]));
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
        const account = new HealAccount(this.#options.rounds);
        const watch = new NamespaceWatch({
          namespace,
          noticed: (notices) => account.isReason(notices),
          look: () => this.#look(key, watched),
          failed: (error) => this.#failed(watched, error),
          load: this.#load,
        });
        const watched: Watched = { sandboxed, healables, watch, account, said: '' };
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

  async #look(key: string, watched: Watched): Promise<number | undefined> {
    try {
      const state = await this.#heal(watched);
      watched.said = '';
      if (this.#pods.get(key) !== watched) return undefined;
      if (state === 'none') this.forget(key);
      return state === 'none' ? undefined : watched.account.nextMs(state, Date.now());
    } catch (error) {
      // A namespace that has no path any more is on its way out.
      if (error instanceof NamespaceError) {
        if (this.#pods.get(key) === watched) this.forget(key);
        return undefined;
      }
      this.#failed(watched, error as Error);
      return watched.account.afterFailureMs();
    }
  }

  async #heal({ sandboxed, healables, account, watch }: Watched): Promise<Found['state']> {
    const { plugins, pacing, pathOf } = this.#options;
    const namespace = openNamespace(pathOf(sandboxed.netns));
    try {
      const mayTry = (change: string) => account.mayTry(change, Date.now());
      const pod = { containerID: sandboxed.containerID, namespace, plugins, pacing, mayTry };
      account.begin();
      const { state, healed } = await heal(healables, pod);
      // The notice of what took a route may not have been read yet.
      watch.catchUp();
      for (const news of account.add(healed, Date.now())) this.#tell(sandboxed.pod, news);
      return state;
    } finally {
      namespace.close();
    }
  }

  #tell(pod: Pod, { outcome, attachment: { ifname, of }, text, changes }: News): void {
    const { events, healed, log } = this.#options;
    healed?.(outcome);
    const what = `put back routes of ${ifname}`;
    if (outcome === 'done') log?.(pod, `${what}: ${text}`, undefined);
    else log?.(pod, what, new Error(text));
    if (outcome === 'done') events.record(pod, 'HealedRoutes', messages.healed(pod, ifname, of, changes));
    if (outcome === 'contested') events.record(pod, 'ContestedRoutes', messages.contested(pod, ifname, of, text));
  }

  #failed(watched: Watched, error: Error): void {
    if (watched.said === error.message) return;
    watched.said = error.message;
    this.#options.log?.(watched.sandboxed.pod, 'its routes cannot be looked after', error);
  }
}
