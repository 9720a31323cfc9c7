import { canonicalAddress, type Family, familyOf } from '../address/address.ts';
import { parsePrefix } from '../address/prefix.ts';
import { canonicalJson, isDeeperThan, isJsonObject, type JsonObject } from '../cni/json.ts';
import { interfaceNameProblem } from '../cni/names.ts';
import { clip, shorten } from '../cni/text.ts';

/** The annotation with the networks that a pod wants (NPWG's de-facto standard 1.3, section 4). */
export const NETWORKS_ANNOTATION = 'k8s.v1.cni.cncf.io/networks';

/** What a selection requests besides a network and an interface name. A missing key requests nothing in particular. */
export type NetworkRequest = {
  readonly ips?: readonly string[];
  readonly mac?: string;
  readonly infinibandGuid?: string;
  readonly cniArgs?: JsonObject;
  readonly portMappings?: readonly JsonObject[];
  readonly bandwidth?: JsonObject;
  readonly deviceID?: string;
  readonly defaultRoute?: readonly string[];
  readonly ipamClaim?: string;
};

/** One selected network. `network` is `namespace/name` of its definition. */
export type Selection = {
  readonly network: string;
  readonly namespace: string;
  readonly name: string;
  readonly interface?: string;
  readonly request: NetworkRequest;
  /** By kactus' annotation, which has names and variables of its own. */
  readonly origin?: 'kactus';
  /** The network of the pod's `eth0`, in the place of the cluster's. */
  readonly isPrimary?: boolean;
};

/** A selection that cannot be honoured, and why. `network` and `interface` are what can be read of it. */
export type Refusal = { readonly network?: string; readonly interface?: string; readonly reason: string };

/**
 * What an annotation selects, in its order. `problem`: it cannot be read at all, and then says nothing about what is
 * wanted.
 */
export type Selections = {
  readonly selections: readonly Selection[];
  readonly refusals: readonly Refusal[];
  readonly problem?: string;
};

/** A pod has no use for more interfaces, and a node not the time. */
export const MAX_SELECTIONS = 100;

/** Deeper objects are of no plugin. */
const MAX_DEPTH = 16;

const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** Names of definitions are DNS subdomains. */
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const MAX_SUBDOMAIN = 253;
const MAC =
  /^([0-9a-f]{2}([:-])[0-9a-f]{2}(\2[0-9a-f]{2}){4}(\2[0-9a-f]{2}\2[0-9a-f]{2})?|([0-9a-f]{4}\.){2,3}[0-9a-f]{4})$/i;
const GUID = /^([0-9a-f]{2}:){7}([0-9a-f]{2}|([0-9a-f]{2}:){12}[0-9a-f]{2})$/i;

/** Reads the annotation's value. `podNamespace` is where a definition without a namespace is looked for. */
export function parseSelections(text: string | undefined, podNamespace: string): Selections {
  if (text === undefined || text.trim() === '') return { selections: [], refusals: [] };
  const items = /[[{"]/.test(text) ? parseJson(text) : parseShort(text);
  if (typeof items === 'string') return { selections: [], refusals: [], problem: items };
  if (items.length > MAX_SELECTIONS) {
    const problem = `${items.length} networks are selected; ${MAX_SELECTIONS} are possible`;
    return { selections: [], refusals: [], problem };
  }
  return withoutDuplicates(items.map((item) => readSelection(item, podNamespace)));
}

/**
 * Why a pod may not use a definition, as with Multus' `namespaceIsolation`: it may use those of its own namespace and of the
 * global ones only, or all where `globalNamespaces` is undefined. undefined: it may.
 */
export function isolationProblem(
  namespace: string,
  podNamespace: string,
  globalNamespaces: ReadonlySet<string> | undefined,
): string | undefined {
  if (globalNamespaces === undefined || namespace === podNamespace || globalNamespaces.has(namespace)) return undefined;
  return `namespace isolation: a pod in ${podNamespace} may not use definitions in ${namespace}`;
}

/** What is left of the selections under namespace isolation; the others are refused. */
export function isolated(
  all: Selections,
  podNamespace: string,
  globalNamespaces: ReadonlySet<string> | undefined,
): Selections {
  const problemOf = ({ namespace }: Selection) => isolationProblem(namespace, podNamespace, globalNamespaces);
  const refused = all.selections.flatMap((selection): Refusal[] => {
    const reason = problemOf(selection);
    return reason === undefined ? [] : [{ ...selection, reason }];
  });
  const selections = all.selections.filter((selection) => problemOf(selection) === undefined);
  return { ...all, selections, refusals: [...all.refusals, ...refused] };
}

/** The same text for the same request, in whichever form and order it was written. */
export function fingerprintOf(request: NetworkRequest): string {
  return canonicalJson(request);
}

/** A hardware address in the form in which the kernel prints it. */
export function canonicalMac(text: string): string {
  const digits = text.toLowerCase().replace(/[^0-9a-f]/g, '');
  return digits.replace(/..(?=.)/g, '$&:');
}

function parseJson(text: string): unknown[] | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return `it is not JSON (${(error as Error).message.slice(0, 100)})`;
  }
  return Array.isArray(value) ? value : 'it is not a list';
}

// [namespace/]name[@interface], separated by commas.
function parseShort(text: string): unknown[] {
  return text.split(',').map((item) => {
    const match = /^\s*(?:([^/@]*)\/)?([^/@]*)(?:@([^/@]*))?\s*$/.exec(item);
    if (match === null) return `"${clip(item)}" is not [namespace/]name[@interface]`;
    const [, namespace, name, ifname] = match.map((part) => part?.trim());
    return { name, ...(namespace && { namespace }), ...(ifname && { interface: ifname }) };
  });
}

function readSelection(item: unknown, podNamespace: string): Selection | Refusal {
  if (typeof item === 'string') return { reason: item };
  if (!isJsonObject(item)) return { reason: 'a selection is not an object' };
  const problems: string[] = [];
  const { name, namespace = podNamespace } = item;
  const ifname = item.interface ?? item.interfaceRequest ?? '';
  if (!isText(name) || name.length > MAX_SUBDOMAIN || !SUBDOMAIN.test(name)) problems.push('"name" is not a DNS name');
  if (!isText(namespace) || !LABEL.test(namespace)) problems.push('"namespace" is not a DNS label');
  if (!isText(ifname)) problems.push('"interface" is not a text');
  else if (ifname !== '') {
    const problem = interfaceNameProblem(ifname);
    if (problem !== undefined) problems.push(`"interface" ${problem}`);
  }
  const request = readRequest(item, problems);
  const about = {
    ...(isText(name) && isText(namespace) && { network: `${namespace || podNamespace}/${name}` }),
    ...(isText(ifname) && ifname !== '' && { interface: ifname }),
  };
  if (problems.length > 0 || !isText(name) || !isText(namespace)) return { ...about, reason: problems.join('; ') };
  return { ...about, network: `${namespace}/${name}`, namespace, name, request };
}

/** A key of a selection: how it is called in ours, and what is wrong with a value. */
type Key = { readonly as: keyof NetworkRequest; readonly problem: (value: unknown) => string | undefined };

const KEYS: { readonly [key: string]: Key } = {
  ips: { as: 'ips', problem: (value) => listProblem(value, isAddress, 'an address') },
  mac: { as: 'mac', problem: (value) => textProblem(value, MAC, 'a hardware address') },
  'infiniband-guid': { as: 'infinibandGuid', problem: (value) => textProblem(value, GUID, 'a GUID') },
  'cni-args': { as: 'cniArgs', problem: objectProblem },
  portMappings: {
    as: 'portMappings',
    problem: (value) => listProblem(value, (item) => objectProblem(item) === undefined, 'an object'),
  },
  bandwidth: { as: 'bandwidth', problem: objectProblem },
  deviceID: { as: 'deviceID', problem: (value) => textProblem(value, /^[\w.:/-]{1,128}$/, 'a device id') },
  'default-route': { as: 'defaultRoute', problem: gatewaysProblem },
  'ipam-claim-reference': { as: 'ipamClaim', problem: (value) => textProblem(value, SUBDOMAIN, 'a DNS name') },
};

function readRequest(item: JsonObject, problems: string[]): NetworkRequest {
  const request: { [key: string]: unknown } = {};
  for (const [key, { as, problem }] of Object.entries(KEYS)) {
    const value = item[key];
    // As Go reads them: empty is the same as absent.
    if (value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)) continue;
    const wrong = problem(value);
    if (wrong === undefined) request[as] = value;
    else problems.push(`"${key}" ${wrong}`);
  }
  if (request.ipamClaim !== undefined && request.ips !== undefined) {
    problems.push('"ips" and "ipam-claim-reference" exclude each other');
  }
  return request;
}

/**
 * The selections without those that ask for one interface name together, which are refused: which of them was meant nobody
 * knows, so none is attached, and what is there stays.
 */
export function withoutDuplicates(read: readonly (Selection | Refusal)[]): Selections {
  const taken = read.flatMap((item) => item.interface ?? []);
  const families = read.flatMap(defaultFamilies);
  const selections: Selection[] = [];
  const refusals: Refusal[] = [];
  for (const item of read) {
    const isTwice = item.interface !== undefined && taken.filter((name) => name === item.interface).length > 1;
    if ('reason' in item) refusals.push(item);
    else if (isTwice) refusals.push({ ...item, reason: `interface ${item.interface} is selected more than once` });
    else if (defaultFamilies(item).some((family) => families.filter((other) => other === family).length > 1))
      refusals.push({ ...item, reason: 'several selections have a "default-route" of one family' });
    else selections.push(item);
  }
  return { selections, refusals };
}

// The families of which a selection asks for the default route.
function defaultFamilies(item: Selection | Refusal): Family[] {
  return 'request' in item ? (item.request.defaultRoute ?? []).map(familyOf) : [];
}

function gatewaysProblem(value: unknown): string | undefined {
  const problem = listProblem(value, isPlainAddress, 'an address');
  if (problem !== undefined) return problem;
  const families = (value as string[]).map(familyOf);
  return new Set(families).size < families.length ? 'has several addresses of one family' : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function textProblem(value: unknown, pattern: RegExp, what: string): string | undefined {
  return isText(value) && pattern.test(value) ? undefined : `is not ${what}`;
}

function listProblem(value: unknown, holds: (item: unknown) => boolean, what: string): string | undefined {
  if (!Array.isArray(value)) return 'is not a list';
  const wrong = value.find((item) => !holds(item));
  return wrong === undefined ? undefined : `has ${shorten(JSON.stringify(wrong) ?? '')}, which is not ${what}`;
}

function objectProblem(value: unknown): string | undefined {
  if (!isJsonObject(value)) return 'is not an object';
  return isDeeperThan(value, MAX_DEPTH) ? `is nested deeper than ${MAX_DEPTH} levels` : undefined;
}

function isAddress(value: unknown): boolean {
  if (!isText(value)) return false;
  return value.includes('/') ? reads(() => parsePrefix(value)) : isPlainAddress(value);
}

function isPlainAddress(value: unknown): boolean {
  return isText(value) && reads(() => canonicalAddress(value));
}

function reads(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch {
    return false;
  }
}
