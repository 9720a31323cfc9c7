import { describeInOrder } from '../change/after-changes.ts';
import { AttachmentJournal } from '../change/attachment-journal.ts';
import { type Change, describe, holds, isAlreadyUndone, kindOf, type Planned } from '../change/change.ts';
import { apply, ChangeRefused } from '../change/transaction.ts';
import type { JsonObject } from '../cni/json.ts';
import type { Log } from '../cni/log.ts';
import type { Request } from '../cni/request.ts';
import { type Result, toVersion } from '../cni/result.ts';
import type { Call } from '../cni/runner.ts';
import type { Attached, Entry } from '../journal/format.ts';
import type { RouteSocket } from '../netlink/socket.ts';
import { Observation } from '../observation/observation.ts';
import { type Definition, noopDocument, readConfig } from './definition.ts';
import { conflictError, refusedError, timeoutError } from './errors.ts';
import { locked } from './lock.ts';
import { NotYet, type Plan, type PlanInput } from './plan.ts';
import type { Pod } from './pod.ts';
import { assertUnprotected } from './protection.ts';
import { type Waiting, waitingOf } from './waiting.ts';

/** Plan, journal, apply; answers with the result. On a refusal all is as before. Throws CniError. */
export async function add<C>(definition: Definition<C>, call: Call, pod: Pod): Promise<object> {
  const read = await readConfig(definition, call);
  await call.pacing.betweenSteps?.();
  const dataDir = call.place.pathOf(read.config.dataDir);
  return locked(definition.name, dataDir, call, () => addLocked(definition, call, pod, dataDir, read));
}

async function addLocked<C>(
  definition: Definition<C>,
  call: Call,
  { socket, namespace, host }: Pod,
  dataDir: string,
  { config, previous }: Awaited<ReturnType<typeof readConfig<C>>>,
): Promise<object> {
  const { request, log } = call;
  const journal = AttachmentJournal.of(definition.name, dataDir, request, namespace, socket);
  if (!call.noop) await finishHalfMade(socket, journal);

  const waiting = waitingOf(call);
  const given = { request, config, previous, host, journal };
  const { input, plan } = await planPatiently(definition, given, socket, waiting);
  await call.pacing.betweenSteps?.();
  const { observed } = input;
  const pending = pendingChanges(plan, observed);
  tracePlan(plan, observed, log);
  assertUnprotected(definition, call, pending, observed);
  const changes = pending.map(({ change }) => change);
  if (call.noop) return noopDocument(definition, request, describeInOrder(changes, observed));

  await definition.verify?.(input, plan, socket, waiting);
  const before = journal.record(
    journal.changes().state === 'damaged' ? restorable(plan, observed) : pending,
    attachedNow(request, definition.version),
  );
  await call.pacing.betweenSteps?.();
  try {
    await apply(socket, changes, observed, { ...call.pacing, detours: journal.detours() });
  } catch (error) {
    if (!(error instanceof ChangeRefused)) throw error;
    restoreJournal(journal, before, error, log);
    throw refusedError(error, pending, observed);
  }
  reportChanges(pending, observed, log);
  return resultDocument(plan.result, previous, request);
}

// For `waymark list`.
function attachedNow({ netns, args }: Request, version: string): Attached {
  const { K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: name } = args;
  const pod = namespace !== undefined && name !== undefined && { pod: `${namespace}/${name}` };
  return { time: new Date(Date.now()).toISOString(), version, netns, ...pod };
}

// A damaged journal may have lost what an earlier ADD made: everything that DEL could undo by the config is recorded again.
function restorable(plan: Plan, observed: Observation): Planned[] {
  const isPending = (change: Change) => !holds(change, observed);
  return plan.changes.filter(({ change }) => isPending(change) || kindOf(change).isKnownByConfig(change, observed));
}

function tracePlan({ changes }: Plan, observed: Observation, log: Log): void {
  if (!log.isOn('trace')) return;
  for (const { change, source } of changes) {
    log.trace(`wanted: ${describe(change, observed)}`, { source, there: holds(change, observed) });
  }
}

function reportChanges(made: readonly Planned[], observed: Observation, log: Log): void {
  if (made.length > 0) log.info('made changes', { changes: made.length });
  if (!log.isOn('debug')) return;
  const lines = describeInOrder(
    made.map(({ change }) => change),
    observed,
  );
  for (const [index, line] of lines.entries()) log.debug(line, { source: made[index]?.source });
}

/** The changes of a plan that do not hold yet. Throws CniError 103 if other routes are in their way. */
export function pendingChanges(plan: Plan, observed: Observation): Planned[] {
  if (plan.conflicts.length > 0) throw conflictError(plan.conflicts);
  return plan.changes.filter(({ change }) => !holds(change, observed));
}

// Plans again and again, from fresh observations, until nothing is missing or the time is over.
async function planPatiently<C>(
  definition: Definition<C>,
  given: Omit<PlanInput<C>, 'observed'>,
  socket: RouteSocket,
  waiting: Waiting,
): Promise<{ input: PlanInput<C>; plan: Plan }> {
  const seconds = waiting.seconds('waitSeconds', definition.patience?.(given.config) ?? 0);
  const began = performance.now();
  for (;;) {
    const input = { ...given, observed: Observation.of(socket) };
    try {
      return { input, plan: definition.plan(input) };
    } catch (error) {
      if (!(error instanceof NotYet) || seconds === 0) throw error;
      if (performance.now() >= began + seconds * 1000) throw timeoutError(error, seconds);
      await waiting.pause(began);
    }
  }
}

// A process that was killed while a link was down for its new name has left it so.
async function finishHalfMade(socket: RouteSocket, journal: AttachmentJournal): Promise<void> {
  for (const change of journal.unfinished()) {
    const text = `${describe(change, Observation.of(socket))}, which was left half done`;
    const refusal = await kindOf(change).make?.(socket, change, text, journal.detours());
    // A link that is gone needs nothing any more.
    if (refusal !== undefined && !isAlreadyUndone(change, refusal)) throw refusal;
  }
}

// Report the first failure. A journal that names too much does no harm: a change that was never made is not undone.
function restoreJournal(journal: AttachmentJournal, before: Entry[], { notUndone }: ChangeRefused, log: Log): void {
  try {
    journal.restore(before, notUndone);
  } catch (error) {
    log.warn(`the journal keeps changes that were undone: ${(error as Error).message}`);
  }
}

/** The answer to an ADD: the result in the version asked for. */
export function resultDocument(result: Result, previous: Result | undefined, { document, version }: Request): object {
  const given = document.prevResult as JsonObject | undefined;
  // Nothing to add, and the version asked for: passed on to the letter.
  if (given !== undefined && result === previous && (given.cniVersion ?? version) === version) {
    return { cniVersion: version, ...given };
  }
  return toVersion(result, version);
}
