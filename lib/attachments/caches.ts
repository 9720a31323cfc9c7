import { isJsonObject, type JsonObject } from '../cni/json.ts';
import type { PathOf } from '../cni/place.ts';
import { type CachedAttachment, cachedAttachmentsOf } from '../runtime/cache.ts';
import { RuntimeError } from '../runtime/errors.ts';
import type { NetworkRequest } from './selection.ts';

/** Where Multus and libcni keep the results of ADD, on the node. */
export const CACHE_FOLDERS: readonly string[] = ['/var/lib/cni/multus/results', '/var/lib/cni/results'];

/** An attachment that some runtime made and cached, with the config that undoes it. */
export type CachedCall = CachedAttachment & { readonly config: JsonObject };

/** What is cached for a sandbox. Folders and files that cannot be read are passed over. */
export function cachedCalls(containerID: string, folders: readonly string[], pathOf: PathOf): CachedCall[] {
  return folders.flatMap((folder) => readable(pathOf(folder), containerID)).filter(hasConfig);
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

/** The device that the call was for. */
export function deviceOf({ config, input }: Pick<CachedCall, 'config' | 'input'>): string | undefined {
  const plugins: unknown[] = Array.isArray(config.plugins) ? config.plugins : [config];
  const found = [input.capabilityArgs, ...plugins].find((item) => isJsonObject(item) && item.deviceID !== undefined);
  return isJsonObject(found) ? String(found.deviceID) : undefined;
}

function readable(results: string, containerID: string): CachedAttachment[] {
  try {
    return cachedAttachmentsOf(results, containerID);
  } catch (error) {
    if (error instanceof RuntimeError) return [];
    throw error;
  }
}

function hasConfig(cached: CachedAttachment): cached is CachedCall {
  return cached.config !== undefined;
}
