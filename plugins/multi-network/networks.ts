import { readdirSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { NetworkError, networkOf, type Place, prepare, resourceOf } from '../../lib/attachments/network.ts';
import type { Pod } from '../../lib/attachments/pod.ts';
import type { NetworkRequest, Selection } from '../../lib/attachments/selection.ts';
import { missingCapabilities } from '../../lib/attachments/unmet.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import type { PathOf } from '../../lib/cni/place.ts';
import { ApiError } from '../../lib/kubernetes/errors.ts';
import type { KubeObject } from '../../lib/kubernetes/object.ts';
import type { AttachmentInput } from '../../lib/runtime/derive.ts';
import { RuntimeError } from '../../lib/runtime/errors.ts';
import { loadNetwork, type NetworkList, parseNetwork, readNetworkFile, readObject } from '../../lib/runtime/network.ts';
import type { Cluster } from './cluster.ts';
import { isMaster, type MultiNetworkConfig } from './config.ts';
import type { Devices } from './devices.ts';

/** A network that a pod is to get, with all that its plugins are given. */
export type Network = {
  /** As the status and events name it. */
  readonly name: string;
  readonly list: NetworkList;
  readonly input: AttachmentInput;
  readonly isDefault: boolean;
  readonly request: NetworkRequest;
};

/** A network that the pod has, with the result of its ADD. */
export type Attached = { readonly network: Network; readonly result: JsonObject };

/** A definition that does not exist, and where it was looked for. */
export class DefinitionMissing extends Error {}

/** A network of the config: the pod's own, or one that every pod gets. */
export type Configured = { readonly name: string; readonly list: NetworkList };

type Where = { readonly config: MultiNetworkConfig; readonly cluster: Cluster | undefined; readonly pathOf: PathOf };

/** The networks of `delegates`, the one for `eth0` first. What has no name or version has the config's. Throws RuntimeError. */
export function networksOfDelegates(delegates: readonly JsonObject[], document: JsonObject): Configured[] {
  const master = Math.max(0, delegates.findIndex(isMaster));
  const inOrder = delegates.map((delegate, index) => ({ delegate, index }));
  return [...inOrder.filter(({ index }) => index === master), ...inOrder.filter(({ index }) => index !== master)].map(
    ({ delegate, index }) => {
      const { masterPlugin: _, masterplugin: __, ...own } = delegate;
      const name = own.name || document.name;
      const cniVersion = own.cniVersion ?? (own.cniVersions === undefined ? document.cniVersion : undefined);
      const named: JsonObject = { ...own, name, ...(cniVersion !== undefined && { cniVersion }) };
      const list = named.plugins === undefined ? listOfOne(named) : named;
      const read = parseNetwork(list, `delegates[${index}]`);
      return { name: read.name, list: read };
    },
  );
}

/**
 * The network that `clusterNetwork` or `defaultNetworks` names, as Multus looks for it: a file, the first one of a folder, a
 * definition in `multusNamespace`, or a file of `confDir` by the network's name. Throws NetworkError, RuntimeError and
 * ApiError.
 */
export async function namedNetwork(name: string, { config, cluster, pathOf }: Where): Promise<Configured> {
  if (name.includes('/')) {
    const path = pathOf(name);
    const file = statSync(path, { throwIfNoEntry: false })?.isDirectory() ? firstFile(path, name) : path;
    const list = readNetworkFile(file);
    return { name: list.name, list };
  }
  const network = `${config.multusNamespace}/${name}`;
  try {
    if (cluster !== undefined)
      return { name: network, list: await listOfDefinition(network, { config, cluster, pathOf }) };
  } catch (error) {
    if (!(error instanceof ApiError && error.isNotFound)) throw error;
  }
  const list = loadNetwork(pathOf(config.confDir), name);
  return { name: list.name, list };
}

/**
 * The network that a selection names, for a pod. Throws DefinitionMissing if there is no such definition, ApiError if nobody
 * can say, and NetworkError and RuntimeError for what cannot be honored.
 */
export async function selectedNetwork(
  selection: Selection,
  pod: Pod,
  place: Place,
  { config, cluster, pathOf, devices }: Where & { readonly devices: Devices },
): Promise<Network> {
  const { network, request, origin } = selection;
  const definition = withConfig(await definitionOf(network, cluster, selection), config, pathOf);
  const resource = resourceOf(definition);
  const device = resource && (await devices.choose(pod, resource, request.deviceID));
  const { list, input } = prepare(definition, selection, pod, place, undefined, undefined, device);
  // A device of a resource is in the plugins' configs.
  const { deviceID: _, ...others } = request;
  const missing = missingCapabilities(device === undefined ? request : others, list);
  if (missing.length > 0)
    throw new NetworkError(
      `no plugin of ${network} has the capability ${missing.join(', ')} that the selection asks for`,
    );
  const mac = request.mac !== undefined && origin === 'kactus' ? [['CNI_IFMAC', request.mac] as const] : [];
  return { name: network, list, input: { ...input, args: [...input.args, ...mac] }, isDefault: false, request };
}

async function listOfDefinition(
  network: string,
  { config, cluster, pathOf }: Where & { cluster: Cluster },
): Promise<NetworkList> {
  const definition = withConfig(await cluster.definition(network), config, pathOf);
  return networkOf(definition);
}

async function definitionOf(network: string, cluster: Cluster | undefined, { namespace, name, origin }: Selection) {
  if (cluster === undefined) throw new NetworkError(`nobody can be asked for definition ${network}`);
  try {
    return await cluster.definition(network);
  } catch (error) {
    if (!(error instanceof ApiError && error.isNotFound)) throw error;
    // The first part is Multus' own text.
    const text = `cannot find a network-attachment-definition (${name}) in namespace (${namespace}): ${error.message}`;
    const kaloom = `, nor a network of kaloom.com in namespaces (${namespace}) and (default)`;
    throw new DefinitionMissing(origin === 'kactus' ? text + kaloom : text, { cause: error });
  }
}

// A definition without a config stands for a file of the node, by the definition's name.
function withConfig(definition: KubeObject, { confDir }: MultiNetworkConfig, pathOf: PathOf): KubeObject {
  const { config } = (definition.spec ?? {}) as { config?: unknown };
  if (config !== undefined && config !== '') return definition;
  const { source } = loadNetwork(pathOf(confDir), definition.metadata.name);
  return { ...definition, spec: { ...(definition.spec as object | undefined), config: source } };
}

// Our own list may be in the same folder, in front of the cluster's.
function firstFile(folder: string, name: string): string {
  const files = readdirSync(folder)
    .filter((file) => ['.conf', '.conflist', '.json'].includes(extname(file)))
    .sort()
    .map((file) => join(folder, file));
  const found = files.find((file) => !isMeta(readObject(file)));
  if (found === undefined) throw new RuntimeError(`${name} has no network configuration`);
  return found;
}

/** Types that run the cluster's network themselves. */
const META_TYPES = new Set<unknown>(['multi-network', 'multus', 'multus-shim', 'kactus']);

/** Is this a config of a plugin that runs the cluster's network itself? */
export function isMeta({ type, plugins }: JsonObject): boolean {
  const types = Array.isArray(plugins) ? plugins.map((plugin: { type?: unknown } | null) => plugin?.type) : [type];
  return types.some((each) => META_TYPES.has(each));
}

function listOfOne(config: JsonObject): JsonObject {
  const { name, cniVersion } = config;
  return { name, ...(cniVersion !== undefined && { cniVersion }), plugins: [config] };
}
