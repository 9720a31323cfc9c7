import { join } from 'node:path';
import { isJsonObject, type JsonObject } from '../cni/json.ts';
import { HERE, type PathOf } from '../cni/place.ts';
import type { AttachmentInput } from '../runtime/derive.ts';
import { limitedRun, type Through } from '../runtime/limited.ts';
import { type NetworkList, parseNetwork } from '../runtime/network.ts';
import { Runtime } from '../runtime/runtime.ts';
import { ownedBy } from './orphans.ts';
import { Slots } from './slots.ts';

export type DelegatesOptions = {
  /** The node's folders of plugins. */
  readonly binDirs: readonly string[];
  /** Results are cached in `results` below it, in libcni's format. */
  readonly stateDir: string;
  readonly deadlineMs: number;
  /** At the same time, in all and of one network. */
  readonly running: number;
  readonly runningPerNetwork: number;
  readonly pathOf?: PathOf;
  /** How the node's programs are reached; else they are run as they are. */
  readonly through?: Through;
  readonly said?: (path: string, text: string) => void;
};

/** Plugins call `iptables`, `nft` and the like by name. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Runs other plugins on the node: with deadlines, and not too many at once. */
export class Delegates {
  readonly slots: Slots;
  readonly #runtime: Runtime;

  constructor(options: DelegatesOptions) {
    const { binDirs, stateDir, deadlineMs, running, runningPerNetwork, pathOf = HERE.pathOf, through, said } = options;
    this.slots = new Slots(running, runningPerNetwork);
    this.#runtime = new Runtime({
      pluginPath: binDirs,
      cacheDir: stateDir,
      env: { PATH, ...ownedBy(stateDir) },
      pathOf,
      run: limitedRun({ deadlineMs, ...(through && { through }), ...(said && { said }) }),
    });
  }

  /** Are all plugins of the list on the node? Throws RuntimeError that names those that are not. */
  assertPlugins(list: NetworkList): void {
    this.#runtime.assertPlugins(list);
  }

  /** ADD; the result. Throws RuntimeError; what was done is undone then, unless it says otherwise. */
  async add(list: NetworkList, input: AttachmentInput): Promise<JsonObject> {
    return (await this.slots.run(list.name, () => this.#runtime.add(list, input))) as JsonObject;
  }

  /** DEL, with the result of ADD where it is known. Throws RuntimeError. */
  async del(list: NetworkList, input: AttachmentInput, result: JsonObject | undefined): Promise<void> {
    await this.slots.run(list.name, () => this.#runtime.del(list, input, result));
  }
}

/** A network list, or a single plugin, as it stands in a record or a cache. Throws RuntimeError. */
export function networkFromRecord(config: string | JsonObject): NetworkList {
  const document: unknown = typeof config === 'string' ? JSON.parse(config) : config;
  if (!isJsonObject(document)) return parseNetwork({}, 'the record');
  const { plugins, name, cniVersion } = document;
  const list = plugins === undefined ? { name, cniVersion, plugins: [document] } : document;
  return parseNetwork(list, 'the record');
}

/** The folder of our records. */
export function recordsFolder(stateDir: string): string {
  return join(stateDir, 'attachments');
}
