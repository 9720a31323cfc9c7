import { join } from 'node:path';
import { dataDirOf, type ParsedConfig } from '../cni/config.ts';
import { CniCode, CniError } from '../cni/errors.ts';
import type { Log } from '../cni/log.ts';
import { type JsonObject, previousResultOf, type Request } from '../cni/request.ts';
import { type Result, toVersion } from '../cni/result.ts';
import type { Call, Plugin } from '../cni/runner.ts';
import { type Entry, forgetInvalid } from '../journal/journal.ts';
import { RouteSocket } from '../netlink/socket.ts';
import { type Namespace, NamespaceError, OWN_NAMESPACE, openNamespace } from '../netns/netns.ts';
import { AttachmentJournal } from './attachment-journal.ts';
import { type Change, describe, describeDifference, holds } from './change.ts';
import { conflictError, notUndoneError, refusedError, translated } from './errors.ts';
import { Observation } from './observation.ts';
import type { Plan, PlanInput } from './plan.ts';
import { probeFolder } from './probe.ts';
import { apply, ChangeRefused, undo } from './transaction.ts';

/** What makes a plugin: how it reads its config, and the pure function from that and the observation to a plan. */
export type Definition<C> = {
  readonly name: string;
  readonly version: string;
  parseConfig(document: JsonObject): ParsedConfig<C>;
  plan(input: PlanInput<C>): Plan;
};

/** The plugin with every verb, each a walk over plan, journal and transaction. */
export function definePlugin<C>(definition: Definition<C>): Plugin {
  return {
    name: definition.name,
    version: definition.version,
    handlers: {
      ADD: (call) => translated(() => withPod(call, (pod) => add(definition, call, pod))),
      CHECK: (call) => translated(() => withPod(call, (pod) => check(definition, call, pod))),
      DEL: (call) => translated(() => del(definition, call)),
      GC: (call) => translated(() => collectGarbage(definition, call)),
      STATUS: (call) => translated(() => status(definition, call)),
    },
  };
}

type Pod = { socket: RouteSocket; namespace: Namespace; observed: Observation };

async function add<C>(definition: Definition<C>, call: Call, { socket, namespace, observed }: Pod): Promise<object> {
  const { request, log } = call;
  const { config, previous } = read(definition, call);
  const plan = definition.plan({ request, config, previous, observed });
  if (plan.conflicts.length > 0) throw conflictError(plan.conflicts);
  const pending = plan.changes.filter(({ change }) => !holds(change, observed));
  if (call.noop)
    return noopDocument(
      definition,
      request,
      pending.map(({ change }) => describe(change, observed)),
    );

  const changes = pending.map(({ change }) => change);
  const journal = AttachmentJournal.of(definition.name, config.dataDir, request, namespace, socket);
  const before = journal.record(changes);
  try {
    await apply(socket, changes, observed, call.pacing);
  } catch (error) {
    if (!(error instanceof ChangeRefused)) throw error;
    restoreJournal(journal, before, error, log);
    throw refusedError(error, pending, observed);
  }
  if (changes.length > 0) log.info(`made ${changes.length} changes`, { changes: changes.length });
  return resultDocument(plan.result, previous, request);
}

// The failure to tell is the first one. A journal that says too much does no harm: what is not there is not undone.
function restoreJournal(journal: AttachmentJournal, before: Entry[], { notUndone }: ChangeRefused, log: Log): void {
  try {
    journal.restore(before, notUndone);
  } catch (error) {
    log.warn(`the journal keeps changes that were undone: ${(error as Error).message}`);
  }
}

async function check<C>(definition: Definition<C>, call: Call, { observed }: Pod): Promise<object | undefined> {
  const { request } = call;
  const { config, previous } = read(definition, call);
  if (config.skipcheck) return undefined;
  const plan = definition.plan({ request, config, previous, observed });
  const missing = plan.changes.filter(({ change }) => !holds(change, observed));
  const differences = [
    ...missing.map(({ change, source }) => `${source}: ${describeDifference(change, observed)}`),
    ...plan.conflicts.map(({ source, wanted, found }) => `${source}: expected ${wanted}, found ${found}`),
  ];
  if (differences.length === 0) return undefined;
  const first = differences.length === 1 ? differences[0] : `${differences.length} differences`;
  throw new CniError(CniCode.checkFailed, `the pod is not as it should be: ${first}`, {
    details: differences.join('\n'),
  });
}

// The plugin's own keys are not needed, and not read, so that a config which ADD refused does not keep a pod from
// going away: "Plugins should generally complete a DEL action without error even if some resources are missing."
async function del<C>(definition: Definition<C>, call: Call): Promise<object | undefined> {
  const { request, namespace, log } = call;
  const socket = namespace && openIfNamespace(namespace);
  try {
    const folder = dataDirOf(request.document);
    const journal = AttachmentJournal.of(definition.name, folder, request, namespace, socket);
    // Nothing is left to undo where the namespace is gone, and with it all that was in it.
    const changes = socket === undefined ? [] : changesToUndo(definition, call, journal, socket);
    if (call.noop) return noopDocument(definition, request, describeUndo(changes, socket));

    if (socket !== undefined) {
      const { count, failed, reason } = await undo(socket, changes, call.pacing);
      if (reason !== undefined) throw notUndoneError(failed, reason);
      if (count > 0) log.info(`took back ${count} changes`, { changes: count });
    }
    journal.forget();
    return undefined;
  } finally {
    socket?.close();
  }
}

// What the journal says; and where it is missing or damaged, what the config would have added and nobody else claims.
function changesToUndo<C>(
  definition: Definition<C>,
  call: Call,
  journal: AttachmentJournal,
  socket: RouteSocket,
): Change[] {
  const { changes, complete } = journal.changes();
  if (complete) return changes;
  call.log.warn('the journal is missing or damaged; what the config would have added is taken away', {
    path: journal.path,
  });
  const known = new Set([...changes, ...journal.claimsOfOthers()].map((change) => JSON.stringify(change)));
  const planned = changesOfConfig(definition, call, Observation.of(socket));
  return [...changes, ...planned.filter((change) => !known.has(JSON.stringify(change)))];
}

// Only what adds can be undone by the config alone: it does not know what was there before.
function changesOfConfig<C>(definition: Definition<C>, call: Call, observed: Observation): Change[] {
  try {
    const { config, previous } = read(definition, call);
    const plan = definition.plan({ request: call.request, config, previous, observed });
    return plan.changes.map(({ change }) => change).filter(({ op }) => op === 'add-route');
  } catch (error) {
    // No interface, no address, no valid config: then ADD has made nothing, or it went with the interface.
    if (!(error instanceof CniError)) throw error;
    call.log.warn(`nothing more can be undone: ${error.message}`);
    return [];
  }
}

async function collectGarbage<C>(definition: Definition<C>, { request, log, noop }: Call): Promise<object | undefined> {
  const folder = join(dataDirOf(request.document), definition.name);
  if (noop) return noopDocument(definition, request, []);
  const forgotten = forgetInvalid(folder, request.network, validAttachments(request.document));
  if (forgotten.length > 0) log.info(`forgot ${forgotten.length} attachments`, { files: forgotten });
  return undefined;
}

async function status<C>(definition: Definition<C>, { request }: Call): Promise<undefined> {
  const { config } = definition.parseConfig(request.document);
  try {
    const own = openNamespace(OWN_NAMESPACE);
    try {
      RouteSocket.open(own).close();
    } finally {
      own.close();
    }
    probeFolder(join(config.dataDir, definition.name));
  } catch (error) {
    const { message } = error as Error;
    throw new CniError(CniCode.notAvailable, `this node cannot serve an ADD: ${message}`, { cause: error });
  }
}

function read<C>(definition: Definition<C>, { request, log }: Call) {
  const { config, warnings } = definition.parseConfig(request.document);
  for (const warning of warnings) log.warn(warning);
  return { config, previous: previousResultOf(request) };
}

async function withPod<T>(call: Call, work: (pod: Pod) => Promise<T>): Promise<T> {
  const { namespace } = call;
  if (namespace === undefined) throw new CniError(CniCode.unknownContainer, 'there is no network namespace');
  const socket = RouteSocket.open(namespace);
  try {
    return await work({ socket, namespace, observed: Observation.of(socket) });
  } finally {
    socket.close();
  }
}

// A namespace of another kind shows itself only here. DEL takes it for one that is gone.
function openIfNamespace(namespace: Namespace): RouteSocket | undefined {
  try {
    return RouteSocket.open(namespace);
  } catch (error) {
    if (error instanceof NamespaceError) return undefined;
    throw error;
  }
}

function resultDocument(result: Result, previous: Result | undefined, { document, version }: Request): object {
  const given = document.prevResult as JsonObject | undefined;
  // Nothing to add, and the version asked for: passed on to the letter.
  if (given !== undefined && result === previous && (given.cniVersion ?? version) === version) {
    return { cniVersion: version, ...given };
  }
  return toVersion(result, version);
}

function noopDocument<C>({ name }: Definition<C>, { verb, version }: Request, changes: string[]): object {
  return { cniVersion: version, plugin: name, command: verb, changes };
}

function describeUndo(changes: readonly Change[], socket: RouteSocket | undefined): string[] {
  if (socket === undefined) return [];
  const observed = Observation.of(socket);
  return changes.toReversed().map((change) => `undo: ${describe(change, observed)}`);
}

function validAttachments(document: JsonObject): { containerID: string; ifname: string }[] {
  // The spec's first text named the key otherwise, so libcni sends both. None at all means that none is valid.
  const list = document['cni.dev/valid-attachments'] ?? document['cni.dev/attachments'] ?? [];
  const isAttachment = (value: unknown): value is { containerID: string; ifname: string } => {
    const { containerID, ifname } = (value ?? {}) as { containerID?: unknown; ifname?: unknown };
    return typeof containerID === 'string' && typeof ifname === 'string';
  };
  if (Array.isArray(list) && list.every(isAttachment)) return list;
  const message = 'cni.dev/valid-attachments: must be a list of objects with "containerID" and "ifname"';
  throw new CniError(CniCode.invalidConfig, message);
}
