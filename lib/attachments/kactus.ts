import { createHash } from 'node:crypto';
import { isJsonObject, type JsonObject } from '../cni/json.ts';
import type { Pod } from './pod.ts';
import { parseSelections, type Refusal, type Selection, type Selections, withoutDuplicates } from './selection.ts';

/** The name that kactus gives an interface: `net` and 12 hex digits of the MD5 of the network's name. */
export function consistentName(network: string): string {
  return `net${createHash('md5').update(network).digest('hex').slice(0, 12)}`;
}

/**
 * Reads kactus' annotation: a JSON list of objects with `name`, `namespace`, `ifMac` and `isPrimary`. The primary network
 * has no interface name of its own, since it is the pod's `eth0`. Another value than a JSON list is not kactus', whose key
 * has no prefix of its own, and selects nothing.
 */
export function parseKactusSelections(text: string | undefined, podNamespace: string): Selections {
  if (text === undefined || !text.trimStart().startsWith('[')) return { selections: [], refusals: [] };
  const items = itemsOf(text);
  if (items === undefined) return { selections: [], refusals: [], problem: 'kactus’ annotation is not JSON' };
  const read = items.map((item) => readItem(item, podNamespace));
  const { selections, refusals } = withoutDuplicates(read);
  if (selections.filter(({ isPrimary }) => isPrimary).length < 2) return { selections, refusals };
  return { selections: [], refusals, problem: 'only one network can be primary' };
}

/** What a pod selects by either annotation, kactus' first. */
export function selectionsOf(pod: Pod): Selections {
  const kactus = parseKactusSelections(pod.kactusNetworks, pod.namespace);
  const standard = parseSelections(pod.networks, pod.namespace);
  const problem = standard.problem ?? kactus.problem;
  const { selections, refusals } = withoutDuplicates([...kactus.selections, ...standard.selections]);
  return {
    selections,
    refusals: [...kactus.refusals, ...standard.refusals, ...refusals],
    ...(problem !== undefined && { problem }),
  };
}

/** The same without the network that is the pod's `eth0`, which is chosen when the pod starts. */
export function furtherSelectionsOf(pod: Pod): Selections {
  const all = selectionsOf(pod);
  return { ...all, selections: all.selections.filter(({ isPrimary }) => isPrimary !== true) };
}

function itemsOf(text: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function readItem(item: unknown, podNamespace: string): Selection | Refusal {
  if (!isJsonObject(item)) return { reason: 'a selection is not an object' };
  const { name, namespace, ifMac, isPrimary } = item;
  if (isPrimary !== undefined && typeof isPrimary !== 'boolean')
    return { reason: '"isPrimary" is neither true nor false' };
  const standard: JsonObject = {
    name,
    ...(namespace !== undefined && { namespace }),
    ...(ifMac ? { mac: ifMac } : {}),
  };
  const { selections, refusals } = parseSelections(JSON.stringify([standard]), podNamespace);
  const [selection] = selections;
  if (selection === undefined) return refusals[0] ?? { reason: 'a selection cannot be read' };
  if (isPrimary === true) return { ...selection, origin: 'kactus', isPrimary };
  return { ...selection, origin: 'kactus', interface: consistentName(selection.name) };
}
