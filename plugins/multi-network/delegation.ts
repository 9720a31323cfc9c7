import { dataDirOf } from '../../lib/cni/config.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import type { Call } from '../../lib/cni/runner.ts';
import { DefaultRoutes } from '../../lib/default-route/default-route.ts';
import {
  type CachedAttachment,
  cachedAttachment,
  cachedAttachments,
  cacheResult,
  DEFAULT_CACHE_DIR,
  forgetResult,
} from '../../lib/runtime/cache.ts';
import type { AttachmentInput } from '../../lib/runtime/derive.ts';
import { RuntimeError } from '../../lib/runtime/errors.ts';
import { limitedRun } from '../../lib/runtime/limited.ts';
import type { NetworkList } from '../../lib/runtime/network.ts';
import { Runtime } from '../../lib/runtime/runtime.ts';
import type { Network } from './networks.ts';
import type { Services } from './services.ts';

/** Plugins call `iptables`, `nft` and the like by name. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Runtimes give up after two minutes. */
const DEADLINE_MS = 100_000;

/** Where hot-plug keeps its results: attachments of the same networks, which GC must not forget. */
const HOT_PLUG_DIR = '/var/lib/cni/waymark';

/** Runs the plugins of networks, as the caller of this call would, and keeps their results in libcni's format. */
export class Delegation {
  readonly #runtime: Runtime;
  readonly #slots: Services['slots'];
  readonly #cacheDir: string;
  readonly #call: Call;
  readonly #defaultRoutes: DefaultRoutes;

  constructor(call: Call, dirs: { readonly binDir: string; readonly cniDir: string }, { through, slots }: Services) {
    const { place, env, log } = call;
    this.#call = call;
    this.#defaultRoutes = new DefaultRoutes({
      dataDir: dataDirOf(call.request.document),
      place,
      pacing: call.pacing,
      log: (text) => log.info('default-route', { text }),
    });
    this.#slots = slots;
    this.#cacheDir = place.pathOf(dirs.cniDir);
    this.#runtime = new Runtime({
      pluginPath: [...new Set([dirs.binDir, ...(env.CNI_PATH ?? '').split(':')])].filter(Boolean),
      cacheDir: this.#cacheDir,
      env: { PATH },
      pathOf: place.pathOf,
      run: limitedRun({
        deadlineMs: DEADLINE_MS,
        through,
        said: (plugin, text) => log.info('a plugin wrote on stderr', { plugin, text }),
      }),
    });
  }

  /** ADD; the result. Throws RuntimeError; what was done is undone then, unless it says otherwise. */
  async add(list: NetworkList, input: AttachmentInput): Promise<JsonObject> {
    return (await this.#run(list, () => this.#runtime.add(list, input))) as JsonObject;
  }

  /** Makes the gateways that were chosen the pod's default routes; the result with them. Throws RuntimeError. */
  setDefaultRoutes({ list, input, request }: Network, result: JsonObject): Promise<JsonObject> {
    return this.#defaultRoutes.set({ network: list, input }, request.defaultRoute ?? [], result);
  }

  /** The cached result from now on. Throws RuntimeError. */
  remember(list: NetworkList, input: AttachmentInput, result: JsonObject): void {
    cacheResult(this.#cacheDir, list, input, result);
  }

  /**
   * DEL, with the cached result, or the `known` one of a runtime's own cache. First the default routes that the network took
   * are given back, while its interface is there. Throws RuntimeError.
   */
  async del(list: NetworkList, input: AttachmentInput, known?: JsonObject): Promise<void> {
    await this.#defaultRoutes.reset({ network: list, input });
    await this.#run(list, () => this.#runtime.del(list, input, known));
    if (known !== undefined) forgetResult(this.#call.place.pathOf(DEFAULT_CACHE_DIR), list.name, input);
  }

  /** CHECK, also of the default routes that were chosen. Throws RuntimeError. */
  async check(list: NetworkList, input: AttachmentInput, gateways: readonly string[] = []): Promise<void> {
    await this.#run(list, () => this.#runtime.check(list, input));
    const { result = {} } = this.cached(list, input) ?? {};
    if (gateways.length > 0) await this.#defaultRoutes.check({ network: list, input }, gateways, result);
  }

  status(list: NetworkList): Promise<void> {
    return this.#run(list, () => this.#runtime.status(list));
  }

  /** GC of a network: valid are its attachments to these containers, whoever made them. Throws RuntimeError. */
  gc(list: NetworkList, containers: ReadonlySet<string>): Promise<void> {
    const { pathOf } = this.#call.place;
    const folders = [this.#cacheDir, pathOf(DEFAULT_CACHE_DIR), pathOf(HOT_PLUG_DIR)];
    const known = folders.flatMap((folder) => cachedAttachments(folder, list.name));
    const valid = known.map(({ input }) => input).filter(({ containerID }) => containers.has(containerID));
    const pairs = valid.map(({ containerID, ifname }) => ({ containerID, ifname }));
    return this.#run(list, () => this.#runtime.gc(list, pairs));
  }

  /** What ADD answered; undefined if nothing is cached. */
  cached(list: NetworkList, input: AttachmentInput): CachedAttachment | undefined {
    return cachedAttachment(this.#cacheDir, list.name, input);
  }

  #run<T>(list: NetworkList, work: () => Promise<T>): Promise<T> {
    return this.#slots === undefined ? work() : this.#slots.run(list.name, work);
  }
}

/** The error of a network's plugin as ours, which names the network. The code is the plugin's. */
export function networkFailed(verb: string, network: string, error: Error): CniError {
  const { code, details } = error instanceof RuntimeError ? error : { code: undefined, details: undefined };
  const message = `${verb} of network ${network}: ${error.message}`;
  return new CniError((code ?? CniCode.internal) as CniCode, message, { details, cause: error });
}
