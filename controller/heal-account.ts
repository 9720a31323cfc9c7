import { pauseMs } from '../lib/kubernetes/backoff.ts';
import type { Notices } from '../lib/netlink/notifications.ts';
import type { Healed, HealedAttachment, Healing, Lost } from '../lib/plugin/heal.ts';
import { type Failure, STEP_BACKOFF } from './failures.ts';
import type { Healable } from './healable.ts';
import { Rounds, type RoundsOptions } from './rounds.ts';

/**
 * What came of something that an attachment has lost: it is back; the kernel does not take it yet; or somebody takes it away
 * again and again, or has taken its place.
 */
export type HealOutcome = 'done' | 'waiting' | 'contested';

export const HEAL_OUTCOMES: readonly HealOutcome[] = ['done', 'waiting', 'contested'];

/** Something that is worth telling of an attachment, with what it is about. */
export type News = {
  readonly outcome: HealOutcome;
  readonly attachment: Healable;
  /** The changes that are back, or why others are not. */
  readonly text: string;
  readonly changes: number;
};

/** Whoever is at work on an attachment is done in a moment. */
const BUSY_BACKOFF = { firstMs: 50, maxMs: 2000 };

/** So many changes are named. */
const MOST_NAMED = 3;

/** What a pod has lost, what came of it and when to look again. Times are by Date.now(). */
export class HealAccount {
  readonly #rounds: Rounds;
  /** Something is missing, so whatever changes may help. */
  #isMissing = false;
  /** A link or an address has changed, so the kernel may have taken what is missing. */
  #isKernels = false;
  /** One has changed since the last look began, so the next look may find what the kernel took with it. */
  #isKernelsStill = false;
  /** How often in a row it did not come to an end. */
  #attempts = 0;
  /** What was told, by the changes that it is about. */
  readonly #told = new Map<string, HealOutcome>();
  #failures: readonly Failure[] = [];

  constructor(rounds?: RoundsOptions) {
    this.#rounds = new Rounds(rounds);
  }

  /** What is not as it should be, and is tried again. */
  get failures(): readonly Failure[] {
    return this.#failures;
  }

  /** Is this a reason to look? */
  isReason(notices: Notices): boolean {
    if (notices === 'lost') return true;
    const isOfKernel = notices.some(({ of }) => of === 'link' || of === 'address');
    if (isOfKernel) this.#isKernels = this.#isKernelsStill = true;
    return isOfKernel || notices.some(({ isGone, replaces }) => this.#isMissing || isGone || replaces);
  }

  /** A look begins. */
  begin(): void {
    this.#isKernelsStill = false;
  }

  /** May this change be put back now? */
  mayTry(change: string, now: number): boolean {
    return this.#rounds.mayTry(change, now);
  }

  /** Takes down what came of a look; returns what was not told before. */
  add(healed: readonly Healed[], now: number): News[] {
    this.#failures = [];
    const current = new Set<string>();
    const news = healed.flatMap(({ attachment, back, taken, refused, resting }): News[] => {
      // What the kernel takes with a link or an address is nobody's doing.
      if (!this.#isKernels) for (const { key } of back) this.#rounds.add(key, now);
      const contested = [...taken, ...resting];
      for (const { key } of [...contested, ...refused]) current.add(key);
      return [
        ...newsOf('done', attachment, back),
        ...newsOf('contested', attachment, contested).filter((each) => this.#isNew(each, contested, now)),
        ...newsOf('waiting', attachment, refused).filter((each) => this.#isNew(each, refused, now)),
      ];
    });
    for (const key of this.#told.keys())
      if (!current.has(key) && !this.#rounds.isFought(key, now)) this.#told.delete(key);
    return news;
  }

  // Once for each change that it comes to; but as long as it lasts, it has failed.
  #isNew({ outcome, attachment: { ifname, of }, text }: News, lost: readonly Lost[], now: number): boolean {
    const failure = {
      what: `put back routes of ${ifname}`,
      network: of,
      reason: text,
      attempts: this.#attempts,
      until: now,
    };
    this.#failures = [...this.#failures, failure];
    const isNew = lost.some(({ key }) => this.#told.get(key) !== outcome);
    for (const { key } of lost) this.#told.set(key, outcome);
    return isNew;
  }

  /** In how many milliseconds to look again after a look that found this; undefined: when something changes. */
  nextMs(state: Exclude<Healing['state'], 'none'>, now: number): number | undefined {
    this.#isMissing = state === 'busy' || this.#failures.length > 0;
    if (state === 'busy') return pauseMs(++this.#attempts, BUSY_BACKOFF);
    if (this.#failures.length === 0) {
      this.#attempts = 0;
      this.#isKernels = this.#isKernelsStill;
      return undefined;
    }
    const isWaiting = [...this.#told.values()].includes('waiting');
    const times = [
      this.#rounds.nextMs([...this.#told.keys()], now),
      isWaiting ? this.afterFailureMs() : undefined,
    ].filter((ms) => ms !== undefined);
    if (times.length === 0) return undefined;
    const next = Math.min(...times);
    this.#failures = this.#failures.map((failure) => ({ ...failure, until: now + next }));
    return next;
  }

  /** In how many milliseconds to look again after a look that failed. */
  afterFailureMs(): number {
    return pauseMs(++this.#attempts, STEP_BACKOFF);
  }
}

function newsOf(outcome: HealOutcome, attachment: HealedAttachment, lost: readonly Lost[]): News[] {
  if (lost.length === 0) return [];
  const text = listed(lost.map((each) => textOf(each, outcome)));
  return [{ outcome, attachment: attachment as Healable, text, changes: lost.length }];
}

function textOf({ text, holder, reason }: Lost, outcome: HealOutcome): string {
  if (outcome === 'contested') return `${text}: ${holder ?? 'nothing'} is in its place`;
  return (outcome === 'waiting' ? reason : undefined) ?? text;
}

function listed(texts: readonly string[]): string {
  const more = texts.length - MOST_NAMED;
  return [...texts.slice(0, MOST_NAMED), ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}
