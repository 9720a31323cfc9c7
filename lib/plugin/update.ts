import { unspecified } from '../address/address.ts';
import { afterChanges, describeInOrder } from '../change/after-changes.ts';
import { AttachmentJournal } from '../change/attachment-journal.ts';
import { type Change, effectOf, holds, inverseOf, type Planned } from '../change/change.ts';
import { apply, ChangeRefused } from '../change/transaction.ts';
import { dataDirOf } from '../cni/config.ts';
import { CniCode, CniError } from '../cni/errors.ts';
import { isJsonObject, type JsonObject } from '../cni/json.ts';
import { previousResultOf, type Request } from '../cni/request.ts';
import type { Result } from '../cni/result.ts';
import type { Call, Plugin } from '../cni/runner.ts';
import { Observation } from '../observation/observation.ts';
import { pendingChanges, resultDocument } from './add.ts';
import { type Definition, noopDocument, readOwnConfig } from './definition.ts';
import { refusedError, translated } from './errors.ts';
import { locked } from './lock.ts';
import type { Recorded } from './plan.ts';
import { type Pod, withPod } from './pod.ts';
import { assertUnprotected } from './protection.ts';
import { resultRoute } from './result-route.ts';

/**
 * A plugin whose ADD brings an attachment, which is running, to what its config says now. `others` are further entries of
 * the same plugin in the list, in their order behind the one that is called: they share a journal. `prevResult` is the
 * attachment's own result.
 *
 * It plans for the pod as it would be without what the journal says is ours, and compares that with the journal: what is
 * not wanted any more goes, what is new comes, what was lost comes back, in one transaction. All else stays untouched. If
 * the kernel refuses a change, all is as it was. The answer is the result with the routes that there are now.
 *
 * Throws what ADD does, and CniError 999 if the journal is not complete, so that nobody can tell what is ours.
 */
export function updating<C>(definition: Definition<C>, others: readonly JsonObject[] = []): Plugin {
  const { name, version } = definition;
  const update = (call: Call) => translated(() => withPod(call, (pod) => updateLocked(definition, call, others, pod)));
  const refuse = async () => {
    throw new CniError(CniCode.internal, 'an update is an ADD');
  };
  return { name, version, handlers: { ADD: update, DEL: refuse, CHECK: refuse, GC: refuse, STATUS: refuse } };
}

async function updateLocked<C>(definition: Definition<C>, call: Call, others: readonly JsonObject[], pod: Pod) {
  const dataDir = call.place.pathOf(dataDirOf(call.request.document));
  await call.pacing.betweenSteps?.();
  return locked(definition.name, dataDir, call, async () => {
    const calls = [call, ...others.map((document) => ({ ...call, request: { ...call.request, document } }))];
    const journal = AttachmentJournal.of(definition.name, dataDir, call.request, pod.namespace, pod.socket);
    return updateAttachment(definition, calls, pod, journal);
  });
}

async function updateAttachment<C>(
  definition: Definition<C>,
  calls: readonly Call[],
  pod: Pod,
  journal: AttachmentJournal,
): Promise<object | undefined> {
  const [call] = calls;
  if (call === undefined) return undefined;
  const { changes: recorded, state } = journal.changes();
  if (state !== 'complete') throw notOurs(journal, state);
  const previous = previousWithout(recorded, call.request);
  assertGateways(previous);

  const observed = Observation.of(pod.socket);
  const wanted = await plannedWithout(definition, calls, pod, { recorded, observed, journal, previous });
  await call.pacing.betweenSteps?.();
  const target = wanted.flatMap(({ pending }) => pending);
  const { stale, fresh, entries } = journal.compare(target);
  const steps = stepsBetween(stale, target, observed);
  for (const { call: own, pending } of wanted) {
    const made = pending.filter(({ change }) => steps.some((step) => step.change === change));
    assertUnprotected(definition, own, made, observed);
  }
  const changes = steps.map(({ change }) => change);
  if (call.noop) return noopDocument(definition, call.request, describeInOrder(changes, observed));

  const before = journal.append(fresh);
  await call.pacing.betweenSteps?.();
  try {
    await apply(pod.socket, changes, observed, call.pacing);
  } catch (error) {
    if (!(error instanceof ChangeRefused)) throw error;
    journal.restore(before, error.notUndone);
    throw refusedError(error, steps, observed);
  }
  journal.replace(entries);
  if (changes.length > 0) call.log.info('updated', { changes: changes.length });
  return resultDocument(wanted.at(-1)?.result ?? {}, undefined, call.request);
}

type Known = {
  readonly recorded: readonly Change[];
  readonly previous: Result | undefined;
  readonly observed: Observation;
  readonly journal: AttachmentJournal;
};

/** What one entry of the list wants, and what would have to be done for it if nothing of ours was there. */
type Wanted = { readonly call: Call; readonly pending: readonly Planned[]; readonly result: Result };

// As if ours had never been there; each entry finds what those before it want.
async function plannedWithout<C>(
  definition: Definition<C>,
  calls: readonly Call[],
  { host }: Pod,
  { recorded, previous, observed, journal }: Known,
): Promise<Wanted[]> {
  const inverses = recorded.toReversed().map(inverseOf);
  let there = afterChanges(
    observed,
    inverses.filter((inverse) => onlyDeletes(inverse) || !holds(inverse, observed)),
  );
  const wanted: Wanted[] = [];
  for (const call of calls) {
    const config = await readOwnConfig(definition, call);
    const given = wanted.at(-1)?.result ?? previous;
    const plan = definition.plan({
      ...{ request: call.request, config, previous: given, observed: there, host },
      journal: { ...recordedIn(journal), looksAgain: true },
    });
    const pending = pendingChanges(plan, there);
    wanted.push({ call, pending, result: plan.result });
    if (wanted.length === calls.length) break;
    there = afterChanges(
      there,
      pending.map(({ change }) => change),
    );
  }
  return wanted;
}

function recordedIn(journal: AttachmentJournal): Recorded {
  return {
    changesFrom: (source) => journal.changesFrom(source),
    claimsOfOthers: () => journal.claimsOfOthers(),
  };
}

// Whether it is there makes no difference to what is there without it, so nothing needs to be compared.
function onlyDeletes(change: Change): boolean {
  const { deletes, deletesRule, adds, addsRule, link } = effectOf(change);
  return (deletes ?? deletesRule) !== undefined && (adds ?? addsRule ?? link) === undefined;
}

// First what is not wanted any more, the last first; then what is wanted and not there, which may take its place.
function stepsBetween(stale: readonly Change[], target: readonly Planned[], observed: Observation): Planned[] {
  const keeps = wantedAndThere(target, stale, observed);
  const back = stale
    .toReversed()
    .map(inverseOf)
    .filter((inverse) => !holds(inverse, observed))
    // An update that died may have put a wanted route in the place of ours with other metrics, which the kernel would take for it.
    .filter((inverse) => !onlyDeletes(inverse) || holds(inverse, keeps))
    .map((change) => ({ change, source: 'not wanted any more' }));
  const rest = afterChanges(
    observed,
    back.map(({ change }) => change),
  );
  return [...back, ...target.filter(({ change }) => !holds(change, rest))];
}

// Of the routes, those to where stale ones lead.
function wantedAndThere(target: readonly Planned[], stale: readonly Change[], observed: Observation): Observation {
  const destinations = new Set(stale.flatMap((change) => effectOf(change).adds?.dst ?? []));
  const effects = target
    .map(({ change }) => ({ change, effect: effectOf(change) }))
    .filter(({ effect: { adds, addsRule } }) => addsRule !== undefined || (adds && destinations.has(adds.dst)))
    .filter(({ change }) => holds(change, observed))
    .map(({ effect }) => effect);
  const [routes, rules] = [
    effects.flatMap(({ adds }) => adds ?? []),
    effects.flatMap(({ addsRule }) => addsRule ?? []),
  ];
  return Observation.ofData({ links: [], addresses: [], routes, rules });
}

// As the plugins in front have said it: of 10,000 routes, hardly any is theirs and needs to be read.
function previousWithout(recorded: readonly Change[], request: Request): Result | undefined {
  const added = recorded.flatMap((change) => effectOf(change).adds ?? []).flatMap(resultRoute);
  // A result of an earlier version knows no more of a route.
  const keyOf = (route: { readonly dst?: unknown; readonly gw?: unknown } | null) => `${route?.dst} ${route?.gw ?? ''}`;
  const ours = new Set(added.map(keyOf));
  const isOthers = (route: object | null) => !ours.has(keyOf(route));
  const { prevResult } = request.document;
  const routes = isJsonObject(prevResult) ? prevResult.routes : undefined;
  const lean = Array.isArray(routes) ? { ...(prevResult as object), routes: routes.filter(isOthers) } : prevResult;
  const read = previousResultOf({ ...request, document: { ...request.document, prevResult: lean } });
  // Versions before 0.3 have routes elsewhere, and others may spell them otherwise.
  return read?.routes === undefined ? read : { ...read, routes: read.routes.filter(isOthers) };
}

// `flushgateway` has taken them out of the result, which is all that is left of what the plugins in front said.
function assertGateways(previous: Result | undefined): void {
  const isLost = (previous?.ips ?? []).some(({ gateway }) => gateway === unspecified(4) || gateway === unspecified(6));
  if (!isLost) return;
  const message =
    'the attachment cannot be updated: its result has lost the gateways of its addresses; recreate the pod';
  throw new CniError(CniCode.internal, message);
}

function notOurs({ path }: AttachmentJournal, state: string): CniError {
  const message = `the attachment cannot be updated: its journal is ${state}; recreate the pod`;
  return new CniError(CniCode.internal, message, { details: path });
}
