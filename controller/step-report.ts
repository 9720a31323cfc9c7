import type { Step } from '../lib/attachments/steps.ts';

/** A step of hot-plug, or an update of an attachment's routes, that was made, or failed; and how long it took. */
export type StepReport = {
  readonly kind: Step['kind'] | 'update';
  readonly outcome: 'done' | 'failed';
  readonly seconds: number;
};
