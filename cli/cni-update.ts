import { isDeepStrictEqual } from 'node:util';
import type { JsonObject } from '../lib/cni/json.ts';
import type { Variables } from '../lib/cni/request.ts';
import { fromVersion, toVersion } from '../lib/cni/result.ts';
import { run } from '../lib/cni/runner.ts';
import { type CniVersion, isSupported } from '../lib/cni/version.ts';
import type { Definition } from '../lib/plugin/definition.ts';
import { updating } from '../lib/plugin/update.ts';
import { type CachedAttachment, cacheResult } from '../lib/runtime/cache.ts';
import { type AttachmentInput, deriveConfig } from '../lib/runtime/derive.ts';
import { RuntimeError } from '../lib/runtime/errors.ts';
import { attachmentsIn, CACHE_DIRS } from '../lib/runtime/find-attachment.ts';
import { type NetworkList, type PluginConfig, parseNetwork } from '../lib/runtime/network.ts';
import { PLUGINS } from '../plugins/index.ts';

/** The plugins whose changes can be made on a running pod: routes and rules. A name is what applications know. */
const UPDATED: ReadonlyMap<string, Definition<unknown>> = new Map(
  PLUGINS.flatMap(({ definition }) => {
    const isUpdated = definition !== undefined && ['static-route', 'seamless-gateway'].includes(definition.name);
    return isUpdated ? [[definition.name, definition]] : [];
  }),
);

/** Where results are cached, if not in the usual folders; the environment of the command; and what takes the log. */
export type UpdateOptions = {
  readonly cacheDir?: string | undefined;
  readonly env: Variables;
  readonly log: (text: string) => void;
};

/**
 * Brings an attachment that is running to what its list says now: of our plugins that make routes, only what differs is
 * changed; the others are not called, and must be as they were. All of it or nothing. Caches list and result, and returns
 * the result. Throws RuntimeError.
 */
export async function updateAttachment(
  list: NetworkList,
  { netns, ifname }: Pick<AttachmentInput, 'netns' | 'ifname'>,
  { cacheDir, ...outside }: UpdateOptions,
): Promise<object> {
  const { folder, cached } = findIn(cacheDir === undefined ? CACHE_DIRS : [cacheDir], list, netns, ifname);
  const { input } = cached;
  const before = listOf(cached, list);
  assertUpdatable(before, list);
  const done: string[] = [];
  let result: object = inVersion(cached.result, list.cniVersion);
  try {
    for (const type of typesIn(list)) {
      result = await updatePlugin(type, list, input, result, outside);
      done.push(type);
    }
  } catch (error) {
    await giveBack(done, before, input, result, outside, error as Error);
  }
  cacheResult(folder, list, input, result);
  return result;
}

// Whoever made it: libcni in a runtime, Multus, cnitool or ourselves.
function findIn(folders: readonly string[], { name }: NetworkList, netns: string, ifname: string) {
  for (const folder of folders) {
    const cached = attachmentsIn(netns, name, [folder]).find(({ input }) => input.ifname === ifname);
    if (cached !== undefined) return { folder, cached: { ...cached, input: { ...cached.input, netns } } };
  }
  throw new RuntimeError(`network "${name}" is not attached to ${netns} as ${ifname}`);
}

function listOf({ config }: CachedAttachment, { name }: NetworkList): NetworkList {
  if (config === undefined) throw new RuntimeError(`the cached config of network "${name}" cannot be read`);
  const plugins = config.plugins === undefined ? { ...config, plugins: [config] } : config;
  return parseNetwork(plugins, `the cached config of network "${name}"`);
}

// Nobody can say what another plugin would have to do differently.
function assertUpdatable(before: NetworkList, after: NetworkList): void {
  const others = ({ plugins }: NetworkList) => plugins.filter(({ type }) => !UPDATED.has(type));
  const types = [...UPDATED.keys()].join(' and ');
  if (!isDeepStrictEqual(others(before), others(after))) {
    throw new RuntimeError(`only ${types} can be updated on a running pod, and another plugin of the list has changed`);
  }
  const [had, has] = [typesIn(before), typesIn(after)];
  const changed = [...had, ...has].find((type) => !had.includes(type) || !has.includes(type));
  if (changed !== undefined) {
    throw new RuntimeError(`${changed} cannot come to a running pod, or go from it; leave it in, with nothing to add`);
  }
}

function typesIn({ plugins }: NetworkList): string[] {
  return [...new Set(plugins.map(({ type }) => type).filter((type) => UPDATED.has(type)))];
}

type Outside = Pick<UpdateOptions, 'env' | 'log'>;

// The entries of one plugin share a journal, so they are updated together.
async function updatePlugin(
  type: string,
  list: NetworkList,
  input: AttachmentInput,
  prevResult: object,
  { env, log }: Outside,
): Promise<object> {
  const definition = UPDATED.get(type);
  if (definition === undefined) throw new RuntimeError(`${type} cannot be updated`);
  const derive = (plugin: PluginConfig) =>
    deriveConfig(list, plugin, { prevResult, capabilityArgs: input.capabilityArgs });
  const [first, ...others] = list.plugins.filter((plugin) => plugin.type === type).map(derive);
  let stdout = '';
  const code = await run(updating(definition, others), {
    env: variablesOf(input, env),
    args: [],
    readStdin: () => Buffer.from(JSON.stringify(first)),
    writeStdout: (text) => {
      stdout += text;
    },
    writeStderr: log,
  });
  const document: JsonObject = JSON.parse(stdout);
  if (code === 0) return document;
  const details = document.details === undefined ? {} : { details: String(document.details) };
  throw new RuntimeError(`plugin type="${type}" failed (update): ${document.msg}`, details);
}

// What was updated before the failure goes back to what the list said.
async function giveBack(
  done: readonly string[],
  before: NetworkList,
  input: AttachmentInput,
  result: object,
  outside: Outside,
  cause: Error,
): Promise<never> {
  for (const type of done.toReversed()) {
    try {
      await updatePlugin(type, before, input, result, outside);
    } catch (error) {
      throw new RuntimeError(`${cause.message}\nundoing it: ${(error as Error).message}`, { cause });
    }
  }
  throw cause;
}

function inVersion(result: JsonObject, version: string): object {
  const own = result.cniVersion;
  if (own === version) return result;
  if (typeof own !== 'string' || !isSupported(own) || !isSupported(version)) return result;
  return toVersion(fromVersion(result, own), version as CniVersion);
}

function variablesOf({ containerID, netns, ifname, args }: AttachmentInput, env: Variables): Variables {
  return {
    ...env,
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: containerID,
    CNI_NETNS: netns,
    CNI_IFNAME: ifname,
    CNI_ARGS: args.map(([key, value]) => `${key}=${value}`).join(';'),
    CNI_PATH: env.CNI_PATH ?? '',
  };
}
