import { CniError } from '../cni/errors.ts';
import type { JsonObject } from '../cni/json.ts';
import { HERE } from '../cni/place.ts';
import type { Variables } from '../cni/request.ts';
import { fromVersion, toVersion } from '../cni/result.ts';
import { ask, type Outside } from '../cni/runner.ts';
import { type CniVersion, isSupported } from '../cni/version.ts';
import { type AttachmentInput, deriveConfig } from '../runtime/derive.ts';
import { RuntimeError } from '../runtime/errors.ts';
import type { NetworkList, PluginConfig } from '../runtime/network.ts';
import type { Definition } from './definition.ts';
import { updating } from './update.ts';

/** The plugins whose changes can be brought to a running attachment, by their types. */
export type Updatable = ReadonlyMap<string, Definition<unknown>>;

/** An attachment that is to be as `after` says; `before` is what was applied last. `types`: those of `after` to update. */
export type ListUpdate = {
  readonly updatable: Updatable;
  readonly types: readonly string[];
  readonly before: NetworkList;
  readonly after: NetworkList;
  readonly input: AttachmentInput;
  /** The attachment's result. */
  readonly result: JsonObject;
  readonly outside: UpdateOutside;
};

/** What is around it. `log` takes what the plugins write on stderr. */
export type UpdateOutside = Pick<Outside, 'place' | 'pacing'> & {
  readonly env: Variables;
  readonly log: (text: string) => void;
};

/** The types of a list that can be updated, each once, in the list's order. */
export function updatableTypes({ plugins }: NetworkList, updatable: Updatable): string[] {
  return [...new Set(plugins.map(({ type }) => type).filter((type) => updatable.has(type)))];
}

/**
 * Brings a running attachment to what its list says now: the plugins of `types` change what differs, the others are not
 * called. All of it or nothing. Returns the result with the routes that there are now. Throws RuntimeError.
 */
export async function updateList(update: ListUpdate): Promise<JsonObject> {
  const { types, before, after } = update;
  const done: string[] = [];
  let result = inVersion(update.result, after.cniVersion);
  try {
    for (const type of types) {
      result = await updatePlugin(update, type, after, result);
      done.push(type);
    }
  } catch (error) {
    await giveBack(update, done, before, result, error as Error);
  }
  return result;
}

/** What it would change, as lines. Changes nothing. Throws RuntimeError. */
export async function explainUpdate(update: ListUpdate): Promise<string[]> {
  const { types, after } = update;
  const result = inVersion(update.result, after.cniVersion);
  const lines: string[] = [];
  for (const type of types) {
    const { changes } = await updatePlugin(update, type, after, result, ['--noop']);
    lines.push(...(changes as string[]));
  }
  return lines;
}

// The entries of one plugin share a journal, so they are updated together.
async function updatePlugin(
  { updatable, input, outside: { env, log, ...around } }: ListUpdate,
  type: string,
  list: NetworkList,
  prevResult: object,
  args: readonly string[] = [],
): Promise<JsonObject> {
  const definition = updatable.get(type);
  if (definition === undefined) throw new RuntimeError(`${type} cannot be updated`);
  const derive = (plugin: PluginConfig) =>
    deriveConfig(list, plugin, { prevResult, capabilityArgs: input.capabilityArgs });
  const [first = {}, ...others] = list.plugins.filter((plugin) => plugin.type === type).map(derive);
  try {
    const outside = { ...around, env: variablesOf(input, env), args, writeStderr: log };
    return (await ask(updating(definition, others), 'ADD', first, outside)) as JsonObject;
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    const { code, msg, details } = error.toDocument(list.cniVersion);
    const { asCallerSees } = around.place ?? HERE;
    const seen = details === undefined ? {} : { details: asCallerSees(details) };
    throw new RuntimeError(`plugin type="${type}" failed (update, error ${code}): ${asCallerSees(msg)}`, seen);
  }
}

// What was updated before the failure goes back to what the list said.
async function giveBack(
  update: ListUpdate,
  done: readonly string[],
  before: NetworkList,
  result: object,
  cause: Error,
): Promise<never> {
  for (const type of done.toReversed()) {
    try {
      await updatePlugin(update, type, before, result);
    } catch (error) {
      throw new RuntimeError(`${cause.message}\nundoing it: ${(error as Error).message}`, { cause });
    }
  }
  throw cause;
}

function inVersion(result: JsonObject, version: string): JsonObject {
  const own = result.cniVersion;
  if (own === version) return result;
  if (typeof own !== 'string' || !isSupported(own) || !isSupported(version)) return result;
  return toVersion(fromVersion(result, own), version as CniVersion) as JsonObject;
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
