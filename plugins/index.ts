import type { ParsedConfig } from '../lib/cni/config.ts';
import type { JsonObject } from '../lib/cni/json.ts';
import type { Plugin } from '../lib/cni/runner.ts';
import type { Definition } from '../lib/plugin/definition.ts';
import type { Updatable } from '../lib/plugin/update-list.ts';
import { consistentIfname } from './consistent-ifname/main.ts';
import { multiNetwork } from './multi-network/main.ts';
import { seamlessGateway } from './seamless-gateway/main.ts';
import { staticRoute } from './static-route/main.ts';

/** A plugin of the family. One that runs other plugins has no definition: `waymark explain` does not look into those. */
export type FamilyPlugin = Plugin & {
  readonly definition?: Definition<unknown>;
  /** How one without a definition reads its config. Throws CniError 7. */
  parseConfig?(document: JsonObject): ParsedConfig<unknown>;
};

/**
 * Every plugin of the family, and the only list of them: what is built, installed, served and explained follows from it.
 * A plugin's executable and its folder beside this file have the plugin's name. The command, the agent and the
 * single-file executable load all of them; the bundle of one plugin imports its `main.ts` and does not come here.
 */
export const PLUGINS: readonly FamilyPlugin[] = [staticRoute, seamlessGateway, consistentIfname, multiNetwork];

/** The names that network lists call the plugins by. */
export const PLUGIN_NAMES: readonly string[] = PLUGINS.map(({ name }) => name);

/** Those whose changes can be brought to a running attachment: routes and rules. */
export const UPDATABLE: Updatable = new Map(
  PLUGINS.flatMap(({ definition }) => (definition?.updatedBy === undefined ? [] : [[definition.name, definition]])),
);
