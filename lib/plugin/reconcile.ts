import { type Change, effectOf, holds, type Planned } from '../change/change.ts';
import { describeRoute, type Route } from '../netlink/route.ts';
import { describeRule, isSameRule, isSameSelection, isTakenFor, type Rule } from '../netlink/rule.ts';
import type { Observation } from '../observation/observation.ts';
import type { Conflict } from './plan.ts';

/** What to do where another route has the destination, table and priority of one of ours. */
export type OnConflict = 'fail' | 'replace' | 'keep';

/** A route that is wanted, and the place in the config that wants it. */
export type WantedRoute = { readonly route: Route; readonly source: string };

/** A policy rule that is wanted, and the place in the config that wants it. */
export type WantedRule = { readonly rule: Rule; readonly source: string };

export type Reconciled = {
  readonly changes: Planned[];
  readonly conflicts: Conflict[];
  /** The wanted changes that give way to other routes, by `keep`. */
  readonly kept: Change[];
  /** The wanted routes that the changes lead to: all but those that give way. */
  readonly routes: Route[];
};

/**
 * The changes that lead to the wanted routes, given those that are there, but for those that will be `gone` by then. A
 * route that is there as wanted stays.
 */
export function reconcileRoutes(
  wanted: readonly WantedRoute[],
  observed: Observation,
  onConflict: OnConflict,
  gone: ReadonlySet<Route> = new Set(),
): Reconciled {
  const changes: Planned[] = [];
  const conflicts: Conflict[] = [];
  const kept: Change[] = [];
  for (const { route, source } of wanted) {
    const add = { op: 'add-route', route } as const;
    const present = observed.routesLike(route).filter((other) => !gone.has(other));
    if (present.length === 0 || holds(add, observed)) {
      changes.push({ change: add, source });
    } else if (onConflict === 'replace') {
      changes.push(...present.map((other) => ({ change: { op: 'delete-route', route: other } as const, source })));
      changes.push({ change: add, source });
    } else if (onConflict === 'keep') {
      kept.push(add);
    } else {
      const text = (which: Route) => describeRoute(which, observed.linkName);
      conflicts.push({ source, wanted: text(route), found: present.map(text).join(' and ') });
    }
  }
  const givesWay = new Set(kept.flatMap((change) => effectOf(change).adds ?? []));
  const routes = wanted.flatMap(({ route }) => (givesWay.has(route) ? [] : route));
  return { changes, conflicts, kept, routes };
}

/**
 * The changes that lead to the wanted rules. A rule for the same packets at the same priority with another action or table
 * is in the way of one, although the kernel would take both: it asks the first only.
 */
export function reconcileRules(
  wanted: readonly WantedRule[],
  observed: Observation,
  onConflict: OnConflict,
): Omit<Reconciled, 'routes'> {
  const changes: Planned[] = [];
  const conflicts: Conflict[] = [];
  const kept: Change[] = [];
  for (const { rule, source } of wanted) {
    const add = { op: 'add-rule', rule } as const;
    const present = holds(add, observed) ? [] : observed.rulesIn(rule.family);
    const rivals = present.filter((other) => isSameSelection(other, rule));
    const hidden = [rule, ...rivals].flatMap((each) => takenFor(present, each) ?? []);
    if (hidden.length > 0 || (rivals.length > 0 && onConflict === 'fail')) {
      const found = hidden.length > 0 ? hidden.map(hiddenText) : rivals.map(describeRule);
      conflicts.push({ source, wanted: `rule ${describeRule(rule)}`, found: `rule ${found.join(' and ')}` });
    } else if (rivals.length > 0 && onConflict === 'keep') {
      kept.push(add);
    } else {
      changes.push(...rivals.map((other) => ({ change: { op: 'delete-rule', rule: other } as const, source })));
      changes.push({ change: add, source });
    }
  }
  return { changes, conflicts, kept };
}

// The rule that the kernel would delete when it is asked to delete this one, if that is another.
function takenFor(present: readonly Rule[], rule: Rule): Rule | undefined {
  const first = present.find((other) => isTakenFor(other, rule));
  return first !== undefined && isSameRule(first, rule) ? undefined : first;
}

function hiddenText(rule: Rule): string {
  return `${describeRule(rule)}, which the kernel could not tell from it at the same priority,`;
}
