import type { JsonObject } from '../cni/json.ts';
import { interfaceNameProblem, nameProblem } from '../cni/names.ts';
import type { PathOf } from '../cni/place.ts';
import type { Variables } from '../cni/request.ts';
import { fromVersion, toVersion } from '../cni/result.ts';
import type { Verb } from '../cni/verbs.ts';
import { compareVersions, isSupported } from '../cni/version.ts';
import { cachedAttachment, cachedAttachments, cacheResult, DEFAULT_CACHE_DIR, forgetResult } from './cache.ts';
import { type AttachmentInput, deriveConfig } from './derive.ts';
import { RuntimeError } from './errors.ts';
import { executePlugin, findPlugin, type RunPlugin } from './execute.ts';
import { hasInterface } from './interfaces.ts';
import type { NetworkList, PluginConfig } from './network.ts';

export type RuntimeOptions = {
  /** The folders of plugins, as in CNI_PATH. */
  readonly pluginPath: readonly string[];
  /** Where results are kept. */
  readonly cacheDir?: string;
  /** What plugins find in their environment beside the variables of their call. */
  readonly env?: Variables;
  /** How plugins are run; else as children of this process, with its stderr. */
  readonly run?: RunPlugin;
  /** How the files of the node that has the plugins are reached from here; else they are those that we see. */
  readonly pathOf?: PathOf;
};

/**
 * The runtime's half of the CNI spec (https://www.cni.dev/docs/spec/#section-3-execution-of-network-configurations):
 * runs the plugins of a list for one attachment. Every method throws RuntimeError that names the plugin which failed.
 */
export class Runtime {
  readonly #path: readonly string[];
  readonly #cacheDir: string;
  readonly #env: Variables;
  readonly #run: RunPlugin | undefined;
  readonly #pathOf: PathOf | undefined;

  constructor({ pluginPath, cacheDir = DEFAULT_CACHE_DIR, env = {}, run, pathOf }: RuntimeOptions) {
    this.#run = run;
    this.#pathOf = pathOf;
    this.#env = env;
    this.#path = pluginPath;
    this.#cacheDir = cacheDir;
  }

  /**
   * ADD in the list's order, each plugin with the result of the one before; returns the last one's, which is cached. If one
   * fails, DEL undoes what this call did. Refused before any plugin runs if one is missing, or if the cache has the
   * attachment: "the runtime must not call ADD twice … for the same (network name, container id, name of the interface)".
   */
  async add(list: NetworkList, input: AttachmentInput): Promise<object> {
    checkNames(input);
    this.assertPlugins(list);
    if (cachedAttachment(this.#cacheDir, list.name, input) !== undefined) throw alreadyAttached(list, input);
    const wasThere = hasInterface(this.#pathOf?.(input.netns) ?? input.netns, input.ifname);
    const begun: PluginConfig[] = [];
    let result: object | undefined;
    try {
      for (const plugin of list.plugins) {
        begun.push(plugin);
        result = await this.#call('ADD', list, plugin, input, result);
      }
      const final = withVersion(result ?? {}, list.cniVersion);
      cacheResult(this.#cacheDir, list, input, final);
      return final;
    } catch (error) {
      // The first plugin makes the interface, and takes away by its name what was there before, made by somebody else.
      const undoable = wasThere && begun.length === 1 ? [] : begun;
      throw await this.#undo(list, undoable, input, result, error as Error);
    }
  }

  /** CHECK in the list's order, each plugin with the cached result. Nothing where the list disables it. */
  async check(list: NetworkList, input: AttachmentInput): Promise<void> {
    checkNames(input);
    if (isBelow(list.cniVersion, '0.4.0')) {
      throw new RuntimeError(`network "${list.name}" has version ${list.cniVersion}, which does not support CHECK`);
    }
    if (list.disableCheck) return;
    const result = this.#cachedResult(list, input);
    for (const plugin of list.plugins) await this.#call('CHECK', list, plugin, input, result);
  }

  /**
   * DEL in reverse order, each plugin with the result of ADD: `known`, else the cached one, which is then forgotten. It needs
   * no room on the disk.
   */
  async del(list: NetworkList, input: AttachmentInput, known?: JsonObject): Promise<void> {
    checkNames(input);
    const result = isBelow(list.cniVersion, '0.4.0') ? undefined : this.#cachedResult(list, input, known);
    for (const plugin of list.plugins.toReversed()) await this.#call('DEL', list, plugin, input, result);
    forgetResult(this.#cacheDir, list.name, input);
  }

  /** DEL for each cached attachment that is not in `valid`, then GC for the plugins. All is tried before it throws. */
  async gc(list: NetworkList, valid: readonly { containerID: string; ifname: string }[] = []): Promise<void> {
    if (list.disableGC) return;
    const failures: Error[] = [];
    const attempt = async (work: () => Promise<unknown>) => {
      try {
        await work();
      } catch (error) {
        failures.push(error as Error);
      }
    };
    const isValid = (input: AttachmentInput) =>
      valid.some((a) => a.containerID === input.containerID && a.ifname === input.ifname);
    for (const { input } of cachedAttachments(this.#cacheDir, list.name)) {
      if (!isValid(input)) await attempt(() => this.del(list, input));
    }
    if (!isBelow(list.cniVersion, '1.1.0')) {
      // The spec's first text named the key otherwise; plugins may know either.
      const extra = { 'cni.dev/valid-attachments': valid, 'cni.dev/attachments': valid };
      for (const plugin of list.plugins) await attempt(() => this.#call('GC', list, plugin, NOBODY, undefined, extra));
    }
    if (failures.length > 0) throw new RuntimeError(failures.map(({ message }) => message).join('\n'));
  }

  /** STATUS of each plugin; throws at the first that cannot serve an ADD now. */
  async status(list: NetworkList): Promise<void> {
    if (isBelow(list.cniVersion, '1.1.0')) return;
    for (const plugin of list.plugins) await this.#call('STATUS', list, plugin, NOBODY);
  }

  async #call(
    command: Verb,
    list: NetworkList,
    plugin: PluginConfig,
    input: AttachmentInput,
    prevResult?: object,
    extra: JsonObject = {},
  ): Promise<object | undefined> {
    const config = deriveConfig(list, plugin, { prevResult, capabilityArgs: input.capabilityArgs, extra });
    try {
      const path = findPlugin(plugin.type, this.#path, this.#pathOf);
      return await executePlugin(path, command, this.#variables(input), config, this.#run);
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      const { message, code, details } = error;
      const text = `plugin type="${plugin.type}" failed (${WORDS[command]}): ${message}`;
      throw new RuntimeError(text, { ...(code !== undefined && { code }), details, cause: error });
    }
  }

  #variables({ containerID, netns, ifname, args }: AttachmentInput): { [name: string]: string | undefined } {
    return {
      ...this.#env,
      CNI_CONTAINERID: containerID,
      CNI_NETNS: netns,
      CNI_IFNAME: ifname,
      CNI_ARGS: args.map(([key, value]) => `${key}=${value}`).join(';'),
      CNI_PATH: this.#path.join(':'),
    };
  }

  /** Is every plugin of the list in a folder of plugins? Throws RuntimeError that names those that are not. */
  assertPlugins({ plugins }: NetworkList): void {
    const problems = plugins.flatMap(({ type }) => {
      try {
        findPlugin(type, this.#path, this.#pathOf);
        return [];
      } catch (error) {
        return [(error as Error).message];
      }
    });
    if (problems.length > 0) throw new RuntimeError([...new Set(problems)].join('; '));
  }

  // "If the runtime … ADD fails …, it should issue a DEL": to the plugin that failed too, for it may have begun.
  async #undo(
    list: NetworkList,
    begun: readonly PluginConfig[],
    input: AttachmentInput,
    result: object | undefined,
    cause: Error,
  ): Promise<Error> {
    const failures: string[] = [];
    for (const plugin of begun.toReversed()) {
      try {
        await this.#call('DEL', list, plugin, input, isBelow(list.cniVersion, '0.4.0') ? undefined : result);
      } catch (error) {
        failures.push((error as Error).message);
      }
    }
    forgetResult(this.#cacheDir, list.name, input);
    if (failures.length === 0) return cause;
    return new RuntimeError([cause.message, ...failures.map((text) => `undoing it: ${text}`)].join('\n'), {
      cause,
      isUndone: false,
    });
  }

  // In the list's version, which may have changed since ADD.
  #cachedResult(list: NetworkList, input: AttachmentInput, known?: JsonObject): object | undefined {
    const cached = known ?? cachedAttachment(this.#cacheDir, list.name, input)?.result;
    const version = cached?.cniVersion;
    if (cached === undefined || version === list.cniVersion) return cached;
    if (typeof version !== 'string' || !isSupported(version) || !isSupported(list.cniVersion)) return undefined;
    return toVersion(fromVersion(cached, version), list.cniVersion);
  }
}

/** As libcni words them. */
const WORDS: { [C in Verb]: string } = { ADD: 'add', CHECK: 'check', DEL: 'delete', GC: 'gc', STATUS: 'status' };

/** GC and STATUS are about no attachment. */
const NOBODY: AttachmentInput = { containerID: '', netns: '', ifname: '', args: [], capabilityArgs: {} };

function alreadyAttached({ name }: NetworkList, { containerID, netns, ifname }: AttachmentInput): RuntimeError {
  const what = `network "${name}" is already attached to ${netns} as ${ifname} (container ${containerID})`;
  return new RuntimeError(`${what}; detach it first (del)`);
}

function isBelow(version: string, other: string): boolean {
  return (compareVersions(version, other) ?? 0) < 0;
}

// A plugin may leave the version out of its result; it is the config's then.
function withVersion(result: object, version: string): object {
  return { ...result, cniVersion: (result as JsonObject).cniVersion || version };
}

function checkNames({ containerID, ifname }: AttachmentInput): void {
  const id = nameProblem(containerID);
  if (id !== undefined) throw new RuntimeError(`container id "${containerID}" ${id}`);
  const name = interfaceNameProblem(ifname);
  if (name !== undefined) throw new RuntimeError(`interface name "${ifname}" ${name}`);
}
