import * as z from 'zod/mini';
import { familyOf } from '../../lib/address/address.ts';
import { defaultDestination, formatPrefix, networkOf, type Prefix } from '../../lib/address/prefix.ts';
import { type ParsedConfig, parseConfig } from '../../lib/cni/config.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import { HERE, type PathOf } from '../../lib/cni/place.ts';
import { absolutePath, address, configError } from '../../lib/cni/schema.ts';
import { routePolicyKeys } from '../../lib/plugin/route-policy.ts';
import { addedRoutes, destination, listOfRoutes } from './route-config.ts';
import { listOfRules } from './rule-config.ts';
import { sourceRoutingKey } from './source-routing-config.ts';
import { clashes } from './sources.ts';
import { readTopologyFile, topologyKey } from './topology.ts';

// route-override takes a whole route here, and looks at these two keys.
const removed = z.pipe(
  z.looseObject({ dst: destination, gw: z.optional(address) }),
  z.transform(({ dst, gw }) => ({ dst: destinationText(dst, gw), gw })),
);

/** The plugin's own keys. */
export const staticRouteKeys = {
  routes: z._default(listOfRoutes('routes'), []),
  addroutes: z._default(addedRoutes, []),
  delroutes: z._default(z.array(removed), []),
  flushroutes: z._default(z.boolean(), false),
  flushgateway: z._default(z.boolean(), false),
  missingFamily: z._default(z.enum(['fail', 'skip']), 'fail'),
  topology: z.optional(topologyKey),
  topologyFile: z.optional(absolutePath),
  rules: z._default(listOfRules, []),
  sourceRouting: z.optional(sourceRoutingKey),
  ...routePolicyKeys,
};

/** The keys that `args.cni` cannot set, because they name files of the node. */
export const staticRouteNodeKeys = ['topologyFile'];

export type StaticRouteConfig = z.output<z.ZodMiniObject<typeof staticRouteKeys>>;

/** Reads the plugin's config. Throws CniError 7 that lists every problem with its path. */
export function parseStaticRouteConfig(document: JsonObject): ParsedConfig<StaticRouteConfig> {
  const parsed = parseConfig(staticRouteKeys, document, staticRouteNodeKeys);
  const { topology, topologyFile } = parsed.config;
  const problems = clashes(parsed.config);
  if (topology !== undefined && topologyFile !== undefined) {
    problems.push({ path: 'topologyFile', message: 'goes without "topology"; one map is enough' });
  }
  if (problems.length > 0) throw configError('invalid network config', problems);
  return parsed;
}

/**
 * Reads the config, and the map of `topologyFile` into `topology`. `pathOf` says where the caller's files are. Throws
 * CniError 7.
 */
export async function readStaticRouteConfig(
  document: JsonObject,
  pathOf: PathOf = HERE.pathOf,
): Promise<ParsedConfig<StaticRouteConfig>> {
  const { config, warnings } = parseStaticRouteConfig(document);
  if (config.topologyFile === undefined) return { config, warnings };
  return { config: { ...config, topology: await readTopologyFile(config.topologyFile, pathOf) }, warnings };
}

function destinationText(dst: Prefix | 'default', gw: string | undefined): string {
  return dst === 'default' ? defaultDestination(gw === undefined ? 4 : familyOf(gw)) : formatPrefix(networkOf(dst));
}
