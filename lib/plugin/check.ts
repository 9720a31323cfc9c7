import { AttachmentJournal } from '../change/attachment-journal.ts';
import { describe, describeDifference, holds, kindOf } from '../change/change.ts';
import { dataDirOf } from '../cni/config.ts';
import { CniCode, CniError } from '../cni/errors.ts';
import type { Call } from '../cni/runner.ts';
import { summarize } from '../cni/summary.ts';
import { Observation } from '../observation/observation.ts';
import { type Definition, readConfig } from './definition.ts';
import type { Plan } from './plan.ts';
import type { Pod } from './pod.ts';

/** Plans again, and reports every change that does not hold, all at once. Throws CniError 106. */
export async function check<C>(definition: Definition<C>, call: Call, pod: Pod): Promise<object | undefined> {
  const { request, place } = call;
  const { socket, namespace, host } = pod;
  const observed = Observation.of(socket);
  const { config, previous } = await readConfig(definition, call);
  if (config.skipcheck) return undefined;
  const folder = place.pathOf(dataDirOf(request.document));
  const journal = AttachmentJournal.of(definition.name, folder, request, namespace, socket);
  const plan = definition.plan({ request, config, previous, observed, host, journal });
  const wanted = plan.changes.filter(({ change }) => kindOf(change).isChecked);
  const missing = wanted.filter(({ change }) => !holds(change, observed));
  const differences = [
    ...outOfDate(journal, plan, observed),
    ...missing.map(({ change, source }) => `${source}: ${describeDifference(change, observed)}`),
    ...plan.conflicts.map(({ source, wanted, found }) => `${source}: expected ${wanted}, found ${found}`),
  ];
  if (differences.length === 0) return undefined;
  const { message, details } = summarize('the pod is not as it should be: ', differences);
  throw new CniError(CniCode.checkFailed, message, { details });
}

// What ADD made, and what a file that the config names has lost since.
function outOfDate(journal: AttachmentJournal, plan: Plan, observed: Observation): string[] {
  if (plan.completeFor === undefined) return [];
  const wanted = new Set(plan.changes.map(({ change }) => JSON.stringify(change)));
  return journal
    .changesFrom(plan.completeFor)
    .filter((change) => holds(change, observed) && !wanted.has(JSON.stringify(change)))
    .map((change) => `${plan.completeFor}: not wanted any more: ${describe(change, observed)}`);
}
