import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { isJsonObject, type JsonObject } from '../lib/cni/json.ts';
import type { Variables } from '../lib/cni/request.ts';
import type { AttachmentInput } from '../lib/runtime/derive.ts';
import { RuntimeError } from '../lib/runtime/errors.ts';
import { loadNetwork, type NetworkList } from '../lib/runtime/network.ts';
import { Runtime } from '../lib/runtime/runtime.ts';
import type { UpdateOptions } from './cni-update.ts';

export type CniOptions = { ifname?: string; cacheDir?: string };

const DEFAULT_NETWORK_FOLDER = '/etc/cni/net.d';
const DEFAULT_INTERFACE = 'eth0';

/** What each `waymark cni` command does; returns what it prints. */
export const CNI_COMMANDS = {
  add: async (runtime: Runtime, list: NetworkList, input: AttachmentInput) => runtime.add(list, input),
  check: (runtime: Runtime, list: NetworkList, input: AttachmentInput) => runtime.check(list, input),
  del: (runtime: Runtime, list: NetworkList, input: AttachmentInput) => runtime.del(list, input),
  gc: (runtime: Runtime, list: NetworkList) => runtime.gc(list),
  status: (runtime: Runtime, list: NetworkList) => runtime.status(list),
  // Loads the plugins, which the others run.
  update: async (_: Runtime, list: NetworkList, input: AttachmentInput, options: UpdateOptions) =>
    (await import('./cni-update.ts')).updateAttachment(list, input, options),
} satisfies {
  [command: string]: (
    runtime: Runtime,
    list: NetworkList,
    input: AttachmentInput,
    options: UpdateOptions,
  ) => Promise<unknown>;
};

export type CniCommand = keyof typeof CNI_COMMANDS;

/**
 * Runs a network list on a namespace as `cnitool` does: by the variables CNI_PATH, NETCONFPATH, CAP_ARGS, CNI_ARGS and
 * CNI_IFNAME, with the container id made from the namespace's path, and the results in the same cache. Either can take
 * away what the other added. Returns the result of `add` and `update`. Throws RuntimeError.
 */
export async function runCni(
  command: CniCommand,
  network: string,
  netns: string,
  options: CniOptions,
  env: Variables,
  log: (text: string) => void,
): Promise<object | undefined> {
  const list = loadNetwork(env.NETCONFPATH || DEFAULT_NETWORK_FOLDER, network);
  const pluginPath = (env.CNI_PATH ?? '').split(':').filter((folder) => folder !== '');
  if (pluginPath.length === 0) throw new RuntimeError('CNI_PATH is not set; it names the folders of the plugins');
  const runtime = new Runtime({
    pluginPath,
    env,
    ...(options.cacheDir !== undefined && { cacheDir: options.cacheDir }),
  });
  const input = attachmentOf(netns, options, env);
  return (await CNI_COMMANDS[command](runtime, list, input, { cacheDir: options.cacheDir, env, log })) ?? undefined;
}

/** The attachment of a namespace, by the variables that cnitool knows. Throws RuntimeError for one that is malformed. */
export function attachmentOf(netns: string, { ifname }: Pick<CniOptions, 'ifname'>, env: Variables): AttachmentInput {
  const path = resolve(netns);
  return {
    containerID: containerIdOf(path),
    netns: path,
    ifname: ifname || env.CNI_IFNAME || DEFAULT_INTERFACE,
    args: parseArgs(env.CNI_ARGS ?? ''),
    capabilityArgs: parseCapabilityArgs(env.CAP_ARGS ?? ''),
  };
}

// cnitool's: the first ten bytes of the path's SHA-512.
function containerIdOf(path: string): string {
  return `cnitool-${createHash('sha512').update(path).digest('hex').slice(0, 20)}`;
}

function parseArgs(text: string): [string, string][] {
  if (text === '') return [];
  return text.split(';').map((pair) => {
    const [key, value, ...rest] = pair.split('=');
    if (!key || !value || rest.length > 0) throw new RuntimeError(`CNI_ARGS: "${pair}" is not of the form KEY=VALUE`);
    return [key, value];
  });
}

function parseCapabilityArgs(text: string): JsonObject {
  if (text === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    if (isJsonObject(value)) return value;
  } catch (error) {
    throw new RuntimeError(`CAP_ARGS is not JSON: ${(error as Error).message}`, { cause: error });
  }
  throw new RuntimeError('CAP_ARGS is not a JSON object');
}
