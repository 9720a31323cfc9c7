import { join } from 'node:path';
import { dataDirOf } from '../cni/config.ts';
import { CniCode, CniError } from '../cni/errors.ts';
import type { JsonObject } from '../cni/request.ts';
import type { Call, Plugin } from '../cni/runner.ts';
import { forgetInvalid } from '../journal/journal.ts';
import { add } from './add.ts';
import { AttachmentJournal } from './attachment-journal.ts';
import { describe, describeDifference, holds } from './change.ts';
import { type Definition, noopDocument, readConfig } from './definition.ts';
import { del } from './delete.ts';
import { translated } from './errors.ts';
import { Observation } from './observation.ts';
import type { Plan } from './plan.ts';
import { openOwn, type Pod, withPod } from './pod.ts';
import { probeFolder } from './probe.ts';

/** The plugin with every verb, each a walk over plan, journal and transaction. */
export function definePlugin<C>(definition: Definition<C>): Plugin & { readonly definition: Definition<C> } {
  return {
    name: definition.name,
    version: definition.version,
    definition,
    handlers: {
      ADD: (call) => translated(() => withPod(call, (pod) => add(definition, call, pod))),
      CHECK: (call) => translated(() => withPod(call, (pod) => check(definition, call, pod))),
      DEL: (call) => translated(() => del(definition, call)),
      GC: (call) => translated(() => collectGarbage(definition, call)),
      STATUS: (call) => translated(() => status(definition, call)),
    },
  };
}

async function check<C>(definition: Definition<C>, call: Call, pod: Pod): Promise<object | undefined> {
  const { request } = call;
  const { socket, host } = pod;
  const observed = Observation.of(socket);
  const { config, previous } = await readConfig(definition, call);
  if (config.skipcheck) return undefined;
  const plan = definition.plan({ request, config, previous, observed, host });
  // A route that was deleted, and that somebody has put there again, is no business of ours any more.
  const wanted = plan.changes.filter(({ change }) => change.op !== 'delete-route');
  const missing = wanted.filter(({ change }) => !holds(change, observed));
  const differences = [
    ...outOfDate(definition, call, pod, plan, observed),
    ...missing.map(({ change, source }) => `${source}: ${describeDifference(change, observed)}`),
    ...plan.conflicts.map(({ source, wanted, found }) => `${source}: expected ${wanted}, found ${found}`),
  ];
  if (differences.length === 0) return undefined;
  const first = differences.length === 1 ? differences[0] : `${differences.length} differences`;
  throw new CniError(CniCode.checkFailed, `the pod is not as it should be: ${first}`, {
    details: differences.join('\n'),
  });
}

// What ADD made, and what a file that the config names has lost since.
function outOfDate<C>(
  definition: Definition<C>,
  { request, place }: Call,
  { socket, namespace }: Pod,
  plan: Plan,
  observed: Observation,
): string[] {
  if (plan.completeFor === undefined) return [];
  const folder = place.pathOf(dataDirOf(request.document));
  const journal = AttachmentJournal.of(definition.name, folder, request, namespace, socket);
  const wanted = new Set(plan.changes.map(({ change }) => JSON.stringify(change)));
  return journal
    .changesFrom(plan.completeFor)
    .filter((change) => holds(change, observed) && !wanted.has(JSON.stringify(change)))
    .map((change) => `${plan.completeFor}: not wanted any more: ${describe(change, observed)}`);
}

async function collectGarbage<C>(definition: Definition<C>, call: Call): Promise<object | undefined> {
  const { request, log, noop, place } = call;
  const folder = join(place.pathOf(dataDirOf(request.document)), definition.name);
  if (noop) return noopDocument(definition, request, []);
  const forgotten = forgetInvalid(folder, request.network, validAttachments(request.document));
  if (forgotten.length > 0) log.info('forgot attachments', { files: forgotten });
  return undefined;
}

async function status<C>(definition: Definition<C>, { request, place }: Call): Promise<undefined> {
  const { config } = await definition.parseConfig(request.document, place.pathOf);
  try {
    openOwn(place).close();
    probeFolder(join(place.pathOf(config.dataDir), definition.name));
  } catch (error) {
    const { message } = error as Error;
    throw new CniError(CniCode.notAvailable, `this node cannot serve an ADD: ${message}`, { cause: error });
  }
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
