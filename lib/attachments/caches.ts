import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { PathOf } from '../cni/place.ts';
import { readFileIfThere } from '../files/files.ts';
import type { AttachmentInput } from '../runtime/derive.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import type { NetworkRequest } from './selection.ts';

/** Where Multus and libcni keep the results of ADD, on the node. */
export const CACHE_FOLDERS: readonly string[] = ['/var/lib/cni/multus/results', '/var/lib/cni/results'];

/** An attachment as a result cache of libcni's format has it: who made it does not matter. */
export type CachedCall = {
  readonly networkName: string;
  /** The network's config, a list or a single plugin. */
  readonly config: JsonObject;
  readonly input: AttachmentInput;
  readonly result: JsonObject;
};

/** What is cached for a sandbox. Files that cannot be read, or are others', are passed over. */
export function cachedCalls(containerID: string, folders: readonly string[], pathOf: PathOf): CachedCall[] {
  return folders.flatMap((folder) =>
    namesIn(pathOf(folder))
      .filter((name) => name.includes(`-${containerID}-`))
      .flatMap((name) => readCall(pathOf(join(folder, name))) ?? [])
      .filter(({ input }) => input.containerID === containerID),
  );
}

/** The names that the links of a result have in the pod. */
export function linksOf(result: JsonObject | undefined): string[] {
  const interfaces = Array.isArray(result?.interfaces) ? result.interfaces : [];
  return interfaces.flatMap((item) =>
    isJsonObject(item) && typeof item.name === 'string' && item.sandbox ? [item.name] : [],
  );
}

/** What the call was asked for, as a selection has it. */
export function requestOf({ config, input }: CachedCall): NetworkRequest {
  const { ips, mac, infinibandGUID, portMappings, bandwidth, deviceID } = input.capabilityArgs;
  const plugin = Array.isArray(config.plugins) ? config.plugins[0] : config;
  const args = isJsonObject(plugin) && isJsonObject(plugin.args) ? plugin.args.cni : undefined;
  const request = { ips, mac, infinibandGuid: infinibandGUID, cniArgs: args, portMappings, bandwidth, deviceID };
  return Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined)) as NetworkRequest;
}

function readCall(path: string): CachedCall | undefined {
  try {
    const document: unknown = JSON.parse(readFileIfThere(path) ?? 'null');
    if (!isJsonObject(document) || document.kind !== 'cniCacheV1') return undefined;
    const { containerId, ifName, networkName, netns = '', cniArgs = [], capabilityArgs = {}, result = {} } = document;
    const config: unknown = JSON.parse(Buffer.from(String(document.config), 'base64').toString());
    if (typeof containerId !== 'string' || typeof ifName !== 'string' || typeof networkName !== 'string')
      return undefined;
    if (!isJsonObject(config) || !isJsonObject(result) || !isJsonObject(capabilityArgs)) return undefined;
    const args = cniArgs as AttachmentInput['args'];
    const input = { containerID: containerId, ifname: ifName, netns: String(netns), args, capabilityArgs };
    return { networkName, config, input, result };
  } catch {
    // Half written, or in a format of its own: as if it were not there.
    return undefined;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
