import { type Change, describe, describeDifference, effectOf, holds, kindOf } from '../change/change.ts';
import { routeKey } from '../netlink/route.ts';
import type { Observation } from '../observation/observation.ts';
import type { RecordedAttachment, RecordedChange } from './records.ts';

/**
 * Does a recorded change hold? `missing` if it should and does not; `replaced` if a later change of ours took it back;
 * `returned` if something that was taken away is there again, which is nobody's fault; `unknown` without a namespace.
 */
export type ChangeState = 'holds' | 'missing' | 'replaced' | 'returned' | 'unknown';

/** A recorded change as one line: what was done, or, if it is missing, what is wrong. */
export type HeldChange = { readonly text: string; readonly source: string | undefined; readonly state: ChangeState };

/** Which changes of an attachment hold, given what all attachments have recorded for the same namespace. */
export function heldChanges(
  attachment: RecordedAttachment,
  all: readonly RecordedAttachment[],
  observed: Observation,
): HeldChange[] {
  const own = attachment.changes;
  // Those of others may have been made after any of ours.
  const made = [...own, ...all.filter((other) => other !== attachment).flatMap(({ changes }) => changes)];
  const deletions = lastDeletions(made);
  const isTakenBack = (change: Change, index: number): boolean => {
    const { adds, link } = effectOf(change);
    if (adds !== undefined) return (deletions.get(routeKey(adds)) ?? -1) > index;
    return link !== undefined && made.slice(index + 1).some(({ change: later }) => isOfLink(later, link.index, change));
  };
  const stateOf = (change: Change, index: number): ChangeState => {
    if (holds(change, observed)) return 'holds';
    if (isTakenBack(change, index)) return 'replaced';
    return kindOf(change).isChecked ? 'missing' : 'returned';
  };
  return own.map(({ change, source }, index) => {
    const state = stateOf(change, index);
    const text = state === 'missing' ? describeDifference(change, observed) : describe(change, observed);
    return { text, source, state };
  });
}

// Of each route the place of the last deletion, by what it does to the namespace: the route that was deleted may have got other
// metrics than the one that was added.
function lastDeletions(changes: readonly RecordedChange[]): ReadonlyMap<string, number> {
  return new Map(
    changes.flatMap(({ change }, index) => {
      const { deletes } = effectOf(change);
      return deletes === undefined ? [] : [[routeKey(deletes), index] as const];
    }),
  );
}

function isOfLink(later: Change, index: number, change: Change): boolean {
  return effectOf(later).link?.index === index && kindOf(later) === kindOf(change);
}
