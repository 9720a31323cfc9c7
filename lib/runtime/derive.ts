import type { JsonObject } from '../cni/json.ts';
import type { NetworkList, PluginConfig } from './network.ts';

/** What the runtime knows about an attachment: the variables of the calls, and what capabilities are given. */
export type AttachmentInput = {
  readonly containerID: string;
  readonly netns: string;
  readonly ifname: string;
  /** CNI_ARGS as pairs. */
  readonly args: readonly (readonly [key: string, value: string])[];
  /** Values by capability: `{"portMappings": […]}`. */
  readonly capabilityArgs: JsonObject;
};

/**
 * The config that a plugin gets on stdin, made from its part of the list
 * (https://www.cni.dev/docs/spec/#deriving-execution-configuration-from-plugin-configuration): the list's name and
 * version, the previous result, and in `runtimeConfig` what it asks for by `capabilities`, which is left out itself.
 */
export function deriveConfig(
  list: NetworkList,
  plugin: PluginConfig,
  more: { prevResult?: object | undefined; capabilityArgs?: JsonObject; extra?: JsonObject } = {},
): JsonObject {
  const { capabilities, ...rest } = plugin;
  const wanted = Object.entries((capabilities ?? {}) as JsonObject).filter(([, isWanted]) => isWanted === true);
  const given = more.capabilityArgs ?? {};
  const runtimeConfig = Object.fromEntries(
    wanted.filter(([name]) => Object.hasOwn(given, name)).map(([name]) => [name, given[name]]),
  );
  return {
    ...rest,
    name: list.name,
    cniVersion: list.cniVersion,
    ...(Object.keys(runtimeConfig).length > 0 && { runtimeConfig }),
    ...(more.prevResult !== undefined && { prevResult: more.prevResult }),
    ...more.extra,
  };
}
