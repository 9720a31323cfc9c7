import type { Change, Planned } from '../change/change.ts';
import type { CommonConfig } from '../cni/config.ts';
import { CniError } from '../cni/errors.ts';
import type { Request } from '../cni/request.ts';
import type { Result } from '../cni/result.ts';
import type { Observation } from '../observation/observation.ts';

/** What a plan is made from. */
export type PlanInput<C> = {
  readonly request: Request;
  readonly config: C & CommonConfig;
  readonly previous: Result | undefined;
  /** The pod's namespace. */
  readonly observed: Observation;
  /** The node's own, opened when it is first asked for. */
  readonly host: () => Observation;
};

/** Something else is where a wanted change would go, and the config does not say to replace or to keep it. */
export type Conflict = { readonly source: string; readonly wanted: string; readonly found: string };

export type Plan = {
  /** All that is wanted, whether or not it is so already. */
  readonly changes: readonly Planned[];
  readonly conflicts: readonly Conflict[];
  /** The wanted changes that give way to what is there, as the config says. */
  readonly kept?: readonly Change[];
  /**
   * How the sources begin of which the plan has all that there should be: an earlier change with such a source that is
   * not in the plan is out of date, and CHECK tells it.
   */
  readonly completeFor?: string;
  /** The result after the changes; the previous one itself where there is nothing to say about them. */
  readonly result: Result;
};

/**
 * Something that a plan needs is not there, but may appear: an address, a default route. ADD waits for it as long as the
 * config says; otherwise it is an ordinary error with its own code.
 */
export class NotYet extends CniError {}
