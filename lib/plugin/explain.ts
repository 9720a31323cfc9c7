import { afterChanges, describeInOrder } from '../change/after-changes.ts';
import { describe, holds } from '../change/change.ts';
import { previousResultOf, type Request } from '../cni/request.ts';
import type { Observation } from '../observation/observation.ts';
import { pendingChanges, resultDocument } from './add.ts';
import type { Definition } from './definition.ts';
import { translated } from './errors.ts';
import { NotYet, type PlanInput } from './plan.ts';

/** What an ADD would do, as lines. */
export type Explanation = {
  /** What it would warn of. */
  readonly warnings: string[];
  /** What it would wait for, before anything else; what it would do then is not known. */
  readonly waits: string[];
  /** What it would make sure of, and then which changes it would make, in their order. */
  readonly would: string[];
  /** What is wanted, and there already. */
  readonly there: string[];
  /** What is wanted, and gives way to another that is there. */
  readonly kept: string[];
};

/** A pod to look at, as it is or as it is thought to be, and the node. */
export type PodView = { readonly observed: Observation; readonly host: () => Observation };

/** An explanation, with what the next plugin of the list would find: the previous result, and the pod. */
export type Explained = { explanation: Explanation; result: object | undefined; observed: Observation };

/** What would ADD do in this pod? Changes nothing. Throws the CniError that ADD would, but for what the kernel refuses. */
export function explainAdd<C>(definition: Definition<C>, request: Request, pod: PodView): Promise<Explained> {
  return translated(async () => {
    const { config, warnings } = await definition.parseConfig(request.document);
    const previous = previousResultOf(request);
    const input = { request, config, previous, ...pod };
    const { observed } = pod;
    const plan = planOrNotYet(definition, input);
    if (plan instanceof NotYet) {
      const waits = [`up to ${definition.patience?.(config)} s: ${plan.message}`];
      const given = request.document.prevResult as object | undefined;
      return { explanation: { ...NOTHING, warnings, waits }, result: given, observed };
    }
    const changes = pendingChanges(plan, observed).map(({ change }) => change);
    const verified = definition.describeVerify?.(input, plan) ?? [];
    const there = plan.changes.filter(({ change }) => holds(change, observed));
    return {
      explanation: {
        ...NOTHING,
        warnings,
        would: [...verified, ...describeInOrder(changes, observed)],
        there: there.map(({ change }) => describe(change, observed)),
        kept: (plan.kept ?? []).map((change) => describe(change, observed)),
      },
      result: resultDocument(plan.result, previous, request),
      observed: afterChanges(observed, changes),
    };
  });
}

/** What does the config say about an ADD, whichever the pod? Throws CniError 7 for an invalid config. */
export function outlineAdd<C>(definition: Definition<C>, request: Request): Promise<Explanation> {
  return translated(async () => {
    const { config, warnings } = await definition.parseConfig(request.document);
    previousResultOf(request);
    return { ...NOTHING, warnings, would: definition.outline(config, request) };
  });
}

const NOTHING: Explanation = { warnings: [], waits: [], would: [], there: [], kept: [] };

function planOrNotYet<C>(definition: Definition<C>, input: PlanInput<C>) {
  try {
    return definition.plan(input);
  } catch (error) {
    const waits = error instanceof NotYet && (definition.patience?.(input.config) ?? 0) > 0;
    if (waits) return error;
    throw error;
  }
}
