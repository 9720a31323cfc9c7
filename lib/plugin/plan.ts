import type { Change, Planned } from '../change/change.ts';
import type { CommonConfig } from '../cni/config.ts';
import { CniError } from '../cni/errors.ts';
import type { Request } from '../cni/request.ts';
import type { Result } from '../cni/result.ts';
import type { Observation } from '../observation/observation.ts';

/** The input of a plan. */
export type PlanInput<C> = {
  readonly request: Request;
  readonly config: C & CommonConfig;
  readonly previous: Result | undefined;
  /** The pod's namespace. */
  readonly observed: Observation;
  /** The node's own namespace, opened when it is first needed. */
  readonly host: () => Observation;
  /** What earlier ADDs of this and other attachments have recorded; absent where there is no pod. */
  readonly journal?: Recorded;
};

/** Records of changes: this attachment's by the place in the config that wanted them, and those of the others in the pod. */
export type Recorded = {
  changesFrom(source: string): Change[];
  claimsOfOthers(): Change[];
  /** What a plan keeps once it has looked at it is to be looked at again, as by a first ADD. */
  readonly looksAgain?: true;
};

/** Another route is in the way of a wanted one, and the config says neither to replace nor to keep it. */
export type Conflict = { readonly source: string; readonly wanted: string; readonly found: string };

export type Plan = {
  /** Every wanted change, including those that hold already. */
  readonly changes: readonly Planned[];
  readonly conflicts: readonly Conflict[];
  /** The wanted changes that give way to what is there, because the config says so. */
  readonly kept?: readonly Change[];
  /**
   * A source that the plan covers completely: a change that is recorded from it, or from a part of it (`<source>: <part>`),
   * and that the plan lacks is stale, and CHECK reports it. No other plugin entry of the list may have the same source.
   */
  readonly completeFor?: string;
  /** The result after the changes; `prevResult` itself if they do not alter it. */
  readonly result: Result;
};

/**
 * Something that a plan needs is not there, but may appear: an address, a default route. ADD waits for it for as long as
 * the config says; without that it is an ordinary error.
 */
export class NotYet extends CniError {}
