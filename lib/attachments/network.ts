import { isDeeperThan, isJsonObject, type JsonObject } from '../cni/json.ts';
import type { KubeObject } from '../kubernetes/object.ts';
import type { AttachmentInput } from '../runtime/derive.ts';
import { type NetworkList, parseNetwork } from '../runtime/network.ts';
import type { Pod } from './pod.ts';
import type { NetworkRequest, Selection } from './selection.ts';

/** A network cannot be attached as its definition, or the selection, has it. */
export class NetworkError extends Error {}

/** What the delegates are given for one attachment. */
export type Prepared = { readonly list: NetworkList; readonly input: AttachmentInput };

/** Where the attachment goes. */
export type Place = { readonly containerID: string; readonly netns: string; readonly ifname: string };

/** Puts a device plugin's name on a definition: the pod has to be given one of its devices. */
const RESOURCE_ANNOTATION = 'k8s.v1.cni.cncf.io/resourceName';

const MAX_DEPTH = 32;

/** The API group of kactus' `Network`. */
const KALOOM = 'kaloom.com/';

/**
 * The network list of a definition: a list, or a single plugin (NPWG's de-facto standard 1.3, section 3.2). A name that is
 * missing is the definition's. Of a `Network` of kaloom.com it is the plugin `spec.plugin` with the keys of `spec.config`,
 * as kactus reads it. `cniArgs` go into `args.cni` of every plugin, and `device` into its `deviceID` and `pciBusID`, as
 * Multus puts them. Throws NetworkError, and RuntimeError for what no runtime would take.
 */
export function networkOf(
  { apiVersion = '', metadata, spec }: KubeObject,
  cniArgs: JsonObject = {},
  device?: string,
): NetworkList {
  const where = `${metadata.namespace}/${metadata.name}`;
  const { config: text, plugin }: JsonObject = isJsonObject(spec) ? spec : {};
  if (typeof text !== 'string' || text.trim() === '') {
    throw new NetworkError(`definition ${where} has no "config"; configs in files of the node are not supported`);
  }
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    throw new NetworkError(`"config" of definition ${where} is not JSON (${(error as Error).message.slice(0, 100)})`);
  }
  if (!isJsonObject(config) || isDeeperThan(config, MAX_DEPTH)) {
    throw new NetworkError(`"config" of definition ${where} is not a network configuration`);
  }
  const type = apiVersion.startsWith(KALOOM) && plugin !== undefined && plugin !== '' ? { type: plugin } : {};
  const named: JsonObject = { ...type, ...config, name: config.name || metadata.name };
  const { plugins, cniVersion, name } = named;
  const listOfOne = { name, ...(cniVersion !== undefined && { cniVersion }), plugins: [named] };
  const list: JsonObject = plugins === undefined ? listOfOne : named;
  const inEach = Array.isArray(list.plugins)
    ? list.plugins.map((plugin) => withDevice(withArgs(plugin, cniArgs), device))
    : list.plugins;
  return parseNetwork({ ...list, plugins: inEach }, `definition ${where}`);
}

/**
 * What attaches a pod to the network that a selection names. `keepMac` is asked for where the selection asks for no
 * hardware address. `allowedTypes`: of plugins, those of IPAM included; undefined: all. `device` is the one that the pod has
 * been given for the network's resource. Throws NetworkError, RuntimeError.
 */
export function prepare(
  definition: KubeObject,
  { request }: Selection,
  pod: Pod,
  place: Place,
  keepMac: string | undefined,
  allowedTypes: ReadonlySet<string> | undefined,
  device?: string,
): Prepared {
  const resource = resourceOf(definition);
  const deviceID = device ?? request.deviceID;
  if (resource !== undefined && deviceID === undefined) {
    throw new NetworkError(`the network needs a device of ${resource}, and nobody allocates one; "deviceID" names one`);
  }
  const list = networkOf(definition, request.cniArgs, device);
  checkTypes(list, allowedTypes);
  const asked = deviceID === undefined ? request : { ...request, deviceID };
  return { list, input: inputOf(asked, pod, place, keepMac) };
}

/** The resource of a device plugin, as `vendor/vf`, of which a network needs a device; undefined: it needs none. */
export function resourceOf({ metadata }: KubeObject): string | undefined {
  return metadata.annotations?.[RESOURCE_ANNOTATION] || undefined;
}

/** Throws NetworkError if a plugin of the list is not among the allowed ones. */
export function checkTypes({ plugins }: NetworkList, allowed: ReadonlySet<string> | undefined): void {
  if (allowed === undefined) return;
  const types = plugins.flatMap(({ type, ipam }) => [type, isJsonObject(ipam) ? ipam.type : undefined]);
  const wrong = types.find(
    (type) => type !== undefined && type !== '' && !(typeof type === 'string' && allowed.has(type)),
  );
  if (wrong !== undefined)
    throw new NetworkError(`plugin ${JSON.stringify(wrong)} is not among those of --allow-types`);
}

/** The variables and capabilities of the calls, as Multus gives them. */
export function inputOf(request: NetworkRequest, pod: Pod, place: Place, keepMac?: string): AttachmentInput {
  const mac = request.mac ?? keepMac;
  const { ips, infinibandGuid, portMappings, bandwidth, deviceID } = request;
  const capabilities = { mac, ips, infinibandGUID: infinibandGuid, portMappings, bandwidth, deviceID };
  return {
    ...place,
    args: [
      ['IgnoreUnknown', 'true'],
      ['K8S_POD_NAMESPACE', pod.namespace],
      ['K8S_POD_NAME', pod.name],
      ['K8S_POD_INFRA_CONTAINER_ID', place.containerID],
      ['K8S_POD_UID', pod.sandboxUid],
      ...(mac !== undefined ? [['MAC', mac] as const] : []),
      ...(ips !== undefined ? [['IP', ips.join(',')] as const] : []),
    ],
    capabilityArgs: Object.fromEntries(Object.entries(capabilities).filter(([, value]) => value !== undefined)),
  };
}

function withDevice(plugin: unknown, device: string | undefined): unknown {
  if (!isJsonObject(plugin) || device === undefined) return plugin;
  return { ...plugin, deviceID: device, pciBusID: device };
}

function withArgs(plugin: unknown, cniArgs: JsonObject): unknown {
  if (!isJsonObject(plugin) || Object.keys(cniArgs).length === 0) return plugin;
  const args = isJsonObject(plugin.args) ? plugin.args : {};
  const before = isJsonObject(args.cni) ? args.cni : {};
  return { ...plugin, args: { ...args, cni: { ...before, ...cniArgs } } };
}
