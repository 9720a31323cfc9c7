import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { type Family, familyOf } from '../address/address.ts';
import { DEFAULT_DATA_DIR, parseConfig } from '../cni/config.ts';
import type { JsonObject } from '../cni/json.ts';
import { HERE, type Place } from '../cni/place.ts';
import { type Pacing, run } from '../cni/runner.ts';
import { address } from '../cni/schema.ts';
import type { Verb } from '../cni/verbs.ts';
import { definePlugin } from '../plugin/define.ts';
import type { AttachmentInput } from '../runtime/derive.ts';
import { RuntimeError } from '../runtime/errors.ts';
import { VERSION } from '../version.ts';
import { planDefaultRoute } from './plan.ts';

/** The folder of its journals, in the data folder. */
export const DEFAULT_ROUTE = 'default-route';

const gateways = z.array(address).check((context) => {
  const families = context.value.map(familyOf);
  if (new Set(families).size === families.length) return;
  context.issues.push({ code: 'custom', message: 'has several of one family', input: context.value });
});

const families = z.array(z.literal([4, 6]));

/**
 * What gives effect to `default-route` of a selection, with the journal, lock and transaction of a plugin. It is not
 * installed: whoever attaches the network runs it in its own process, after ADD of the network's plugins and before DEL.
 */
export const defaultRoute = definePlugin({
  name: DEFAULT_ROUTE,
  version: VERSION,
  parseConfig: (document) =>
    parseConfig({ gateways: z._default(gateways, []), yields: z._default(families, []) }, document),
  plan: planDefaultRoute,
  outline: ({ gateways }) => gateways.map((gw) => `add route default via ${gw}`),
  rehearsal: { gateways: [] },
});

/** The attachment to a network. */
export type Attached = {
  readonly network: { readonly name: string; readonly cniVersion: string };
  readonly input: AttachmentInput;
};

export type DefaultRouteOptions = {
  readonly dataDir?: string;
  readonly place?: Place;
  readonly pacing?: Pacing;
  readonly log?: (line: string) => void;
};

/** Sets and resets the default routes of pods, as selections ask for it. */
export class DefaultRoutes {
  readonly #options: Required<DefaultRouteOptions>;

  constructor({
    dataDir = DEFAULT_DATA_DIR,
    place = HERE,
    pacing = {},
    log = () => undefined,
  }: DefaultRouteOptions = {}) {
    this.#options = { dataDir, place, pacing, log };
  }

  /**
   * Makes the gateways of an attachment the pod's default routes, one for each family; those that are there go. Returns the
   * result of ADD with these routes. Throws RuntimeError; then the pod is as before.
   */
  async set(attached: Attached, gateways: readonly string[], result: JsonObject): Promise<JsonObject> {
    return this.#add(attached, { gateways }, result);
  }

  /**
   * Takes away the default routes that an attachment brought of its own, of families of which another one was chosen for
   * them. They do not come back when the other one goes. Returns and throws as `set`.
   */
  async yield(attached: Attached, yields: readonly Family[], result: JsonObject): Promise<JsonObject> {
    return this.#add(attached, { yields }, result);
  }

  /** Are the default routes there that `set` made? `result` is what it returned. Throws RuntimeError. */
  async check(attached: Attached, gateways: readonly string[], result: JsonObject): Promise<void> {
    await this.#call('CHECK', attached, { gateways, prevResult: result });
  }

  /**
   * Gives back the default routes that an attachment took, as far as their interfaces are there, and takes away its own.
   * Nothing where it took none. Throws RuntimeError.
   */
  async reset(attached: Attached): Promise<void> {
    const { dataDir, place } = this.#options;
    const { containerID, ifname } = attached.input;
    const journal = join(dataDir, DEFAULT_ROUTE, `${containerID}-${ifname}.json`);
    if (existsSync(place.pathOf(journal))) await this.#call('DEL', attached, {});
  }

  async #add(attached: Attached, keys: JsonObject, result: JsonObject): Promise<JsonObject> {
    return JSON.parse(await this.#call('ADD', attached, { ...keys, prevResult: result })) as JsonObject;
  }

  async #call(verb: Verb, { network, input }: Attached, keys: JsonObject): Promise<string> {
    const { dataDir, place, pacing, log } = this.#options;
    const { name, cniVersion } = network;
    const document = { cniVersion, name, type: DEFAULT_ROUTE, dataDir, ...keys };
    let stdout = '';
    const code = await run(defaultRoute, {
      env: {
        CNI_COMMAND: verb,
        CNI_CONTAINERID: input.containerID,
        CNI_NETNS: input.netns,
        CNI_IFNAME: input.ifname,
        CNI_PATH: '/opt/cni/bin',
      },
      args: [],
      readStdin: () => Buffer.from(JSON.stringify(document)),
      writeStdout: (text) => {
        stdout += text;
      },
      writeStderr: (text) => log(text.trimEnd()),
      place,
      pacing,
    });
    if (code === 0) return stdout;
    const { code: cniCode, msg, details } = JSON.parse(stdout) as { code: number; msg: string; details?: string };
    throw new RuntimeError(`default-route: ${msg}`, { code: cniCode, details });
  }
}
