import type { CommonConfig } from '../cni/config.ts';
import type { Request } from '../cni/request.ts';
import type { Result } from '../cni/result.ts';
import type { Change } from './change.ts';
import type { Observation } from './observation.ts';

/** What a plan is made from. */
export type PlanInput<C> = {
  readonly request: Request;
  readonly config: C & CommonConfig;
  readonly previous: Result | undefined;
  readonly observed: Observation;
};

/** A change that is wanted, and the place in the config that wants it, as `routes[6]`. */
export type Planned = { readonly change: Change; readonly source: string };

/** Something else is where a wanted change would go, and the config does not say to replace or to keep it. */
export type Conflict = { readonly source: string; readonly wanted: string; readonly found: string };

export type Plan = {
  /** All that is wanted, whether or not it is so already. */
  readonly changes: readonly Planned[];
  readonly conflicts: readonly Conflict[];
  /** The result after the changes; the previous one itself where there is nothing to say about them. */
  readonly result: Result;
};
