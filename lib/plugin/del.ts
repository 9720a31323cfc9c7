import { AttachmentJournal } from '../change/attachment-journal.ts';
import { type Change, describe, kindOf } from '../change/change.ts';
import { type NotMade, undo } from '../change/transaction.ts';
import { dataDirOf } from '../cni/config.ts';
import { CniError } from '../cni/errors.ts';
import type { Call } from '../cni/runner.ts';
import { FileError } from '../files/files.ts';
import type { RouteSocket } from '../netlink/socket.ts';
import { Observation } from '../observation/observation.ts';
import { type Definition, noopDocument, readConfig } from './definition.ts';
import { notUndoneError } from './errors.ts';
import { locked } from './lock.ts';
import { lazyHost, openIfNamespace } from './pod.ts';

/**
 * Undoes what the journal says, and forgets it. What cannot be given back is a warning; throws CniError 104 only if the
 * kernel refuses to take away what is ours.
 *
 * The plugin's own keys are not needed, and not read, so that a config which ADD refused does not keep a pod from going
 * away: "Plugins should generally complete a DEL action without error even if some resources are missing."
 */
export async function del<C>(definition: Definition<C>, call: Call): Promise<object | undefined> {
  const dataDir = call.place.pathOf(dataDirOf(call.request.document));
  return locked(definition.name, dataDir, call, (hasLock) => delLocked(definition, call, dataDir, hasLock));
}

async function delLocked<C>(
  definition: Definition<C>,
  call: Call,
  dataDir: string,
  hasLock: boolean,
): Promise<object | undefined> {
  const { request, namespace, log, pacing } = call;
  const socket = namespace && openIfNamespace(namespace, pacing);
  try {
    const journal = AttachmentJournal.of(definition.name, dataDir, request, namespace, socket);
    // Nothing is left to undo where the namespace is gone, and with it all that was in it.
    const changes = socket === undefined ? [] : await changesToUndo(definition, call, journal, socket);
    if (call.noop) return noopDocument(definition, request, describeUndo(changes, socket));

    await pacing.betweenSteps?.();
    if (socket !== undefined) await undoAll(call, journal, changes, socket);
    // Without the lock, a journal that was not there when it was read may be that of an ADD that has come since.
    if (!hasLock && journal.changes().state === 'missing') return undefined;
    const unknown = journal.forget();
    if (unknown > 0)
      log.warn('the journal has changes of a newer version, which stay', { unknown, path: journal.path });
    return undefined;
  } finally {
    socket?.close();
  }
}

async function undoAll(call: Call, journal: AttachmentJournal, changes: readonly Change[], socket: RouteSocket) {
  const { log, pacing } = call;
  if (log.isOn('debug')) for (const line of describeUndo(changes, socket)) log.debug(line);
  // What a link loses on the way to its name is written down beside the rename.
  const isInSteps = changes.some((change) => kindOf(change).make !== undefined);
  if (isInSteps) recordBestEffort(call, journal, changes);
  const { count, failed } = await undo(socket, changes, { ...pacing, detours: journal.detours() });
  if (count > 0) log.info('took changes back', { changes: count });
  // Where the answer was lost, nobody knows what is missing now: the next DEL finds out.
  const isGift = ({ change, isLost }: NotMade) => !isLost && kindOf(change).undoGivesBack;
  for (const { error } of failed.filter(isGift)) {
    log.warn(`what was there before cannot be given back: the kernel refused to ${error.message}`);
  }
  const ours = failed.filter((one) => !isGift(one));
  if (ours.length > 0) throw notUndoneError(ours);
}

// A full disk must not keep a pod: mostly all of them are recorded, and nothing is written.
function recordBestEffort({ log }: Call, journal: AttachmentJournal, changes: readonly Change[]): void {
  try {
    journal.record(changes.map((change) => ({ change })));
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    log.warn(`what is undone cannot be recorded: ${error.message}`);
  }
}

// What the journal says; where it may not say all, also what the config would have added and nobody else claims.
async function changesToUndo<C>(
  definition: Definition<C>,
  call: Call,
  journal: AttachmentJournal,
  socket: RouteSocket,
): Promise<Change[]> {
  const { changes, state } = journal.changes();
  // What was made in another namespace is not here, and what is here is another attachment's.
  if (state === 'complete' || state === 'elsewhere') return changes;
  const also = 'what the config would have added is taken away';
  // After an ADD that failed, and for every further DEL, there is none.
  if (state === 'missing') call.log.debug(`there is no journal; ${also}`);
  if (state === 'damaged') call.log.warn(`the journal is damaged; ${also} too`, { path: journal.path });
  const known = new Set([...changes, ...journal.claimsOfOthers()].map((change) => JSON.stringify(change)));
  const say = state === 'missing' ? call.log.debug : call.log.warn;
  const planned = await changesOfConfig(definition, call, journal, Observation.of(socket), say);
  return [...changes, ...planned.filter((change) => !known.has(JSON.stringify(change)))];
}

async function changesOfConfig<C>(
  definition: Definition<C>,
  call: Call,
  journal: AttachmentJournal,
  observed: Observation,
  say: (line: string) => void,
): Promise<Change[]> {
  const host = lazyHost(call.place, call.pacing);
  try {
    const { config, previous } = await readConfig(definition, call);
    const plan = definition.plan({ request: call.request, config, previous, observed, host: host.observe, journal });
    return plan.changes
      .map(({ change }) => change)
      .filter((change) => kindOf(change).isKnownByConfig(change, observed));
  } catch (error) {
    // No interface, no address, no valid config: then ADD has made nothing, or it went with the interface.
    if (!(error instanceof CniError)) throw error;
    say(`nothing more can be undone: ${error.message}`);
    return [];
  } finally {
    host.close();
  }
}

function describeUndo(changes: readonly Change[], socket: RouteSocket | undefined): string[] {
  if (socket === undefined) return [];
  const observed = Observation.of(socket);
  return changes.toReversed().map((change) => `undo: ${describe(change, observed)}`);
}
