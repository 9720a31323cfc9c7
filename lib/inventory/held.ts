import { type Change, describe, describeDifference, effectOf, holds, kindOf } from '../change/change.ts';
import { routeKey } from '../netlink/route.ts';
import type { Observation } from '../observation/observation.ts';
import type { RecordedAttachment } from './records.ts';

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
  const ofOthers = all.filter((other) => other !== attachment).flatMap(({ changes }) => changes);
  return attachment.changes.map(({ change, source }, index) => {
    const later = [...attachment.changes.slice(index + 1), ...ofOthers].map((recorded) => recorded.change);
    const state = stateOf(change, later, observed);
    const text = state === 'missing' ? describeDifference(change, observed) : describe(change, observed);
    return { text, source, state };
  });
}

function stateOf(change: Change, later: readonly Change[], observed: Observation): ChangeState {
  if (holds(change, observed)) return 'holds';
  if (later.some((other) => takesBack(other, change))) return 'replaced';
  return kindOf(change).isChecked ? 'missing' : 'returned';
}

// By what they do to the namespace: the route that was deleted may have got other metrics than the one that was added.
function takesBack(later: Change, change: Change): boolean {
  const [before, after] = [effectOf(change), effectOf(later)];
  if (before.adds !== undefined && after.deletes !== undefined) {
    return routeKey(before.adds) === routeKey(after.deletes);
  }
  return before.link !== undefined && before.link.index === after.link?.index && kindOf(later) === kindOf(change);
}
