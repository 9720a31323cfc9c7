import * as z from 'zod/mini';
import { type ParsedConfig, parseConfig } from '../../lib/cni/config.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import { absolutePath, configError, type Problem, readBySchema } from '../../lib/cni/schema.ts';

/** Where Multus keeps what DEL needs. It is ours too, so that either takes the other's pods over. */
export const DEFAULT_CNI_DIR = '/var/lib/cni/multus';

const object = z.record(z.string(), z.unknown());
const name = z.string().check(z.minLength(1, 'must not be empty'));

/** Namespaces, as Multus has them: a text with commas; or a list. */
const namespaces = z.pipe(
  z.union([z.string(), z.array(name)]),
  z.transform((value) => (Array.isArray(value) ? value : value.split(',').map((item) => item.trim())).filter(Boolean)),
);

/** The plugin's own keys: Multus' and kactus', and how interfaces are named. */
export const multiNetworkKeys = {
  delegates: z.optional(z.array(object)),
  clusterNetwork: z.optional(z.string()),
  defaultNetworks: z._default(z.array(name), []),
  kubeconfig: z.optional(z.string()),
  namespaceIsolation: z._default(z.boolean(), false),
  globalNamespaces: z._default(namespaces, ['default']),
  systemNamespaces: z._default(z.array(name), ['kube-system']),
  multusNamespace: z._default(name, 'kube-system'),
  readinessindicatorfile: z.optional(z.string()),
  binDir: z._default(absolutePath, '/opt/cni/bin'),
  cniDir: z._default(absolutePath, DEFAULT_CNI_DIR),
  confDir: z._default(absolutePath, '/etc/cni/multus/net.d'),
  interfaceNames: z._default(z.enum(['numbered', 'consistent']), 'numbered'),
};

export type MultiNetworkConfig = z.output<z.ZodMiniObject<typeof multiNetworkKeys>>;

/** All of them are the operator's: who may write a pod's annotations has no say in what every pod gets. */
export const multiNetworkNodeKeys: readonly string[] = Object.keys(multiNetworkKeys);

/** Reads the plugin's config. Throws CniError 7 that lists every problem with its path. */
export function parseMultiNetworkConfig(document: JsonObject): ParsedConfig<MultiNetworkConfig> {
  const parsed = parseConfig(multiNetworkKeys, document, multiNetworkNodeKeys);
  const problems = [...problemsOfDelegates(parsed.config.delegates ?? []), ...pathProblems(parsed.config)];
  if (problems.length > 0) throw configError('invalid network config', problems);
  return parsed;
}

/** The folder of the records of a config that may be wrong otherwise: DEL cleans up after those too. */
export function cniDirOf(document: JsonObject): string {
  return readBySchema(multiNetworkKeys.cniDir, document.cniDir).value ?? DEFAULT_CNI_DIR;
}

/** Is this delegate the one for the pod's `eth0`, as kactus marks it? It once wrote the key in lower case. */
export function isMaster(delegate: JsonObject): boolean {
  return delegate.masterPlugin === true || delegate.masterplugin === true;
}

/** The namespaces whose definitions every pod may use, where others' are forbidden; undefined: all may be used. */
export function isolationOf(config: MultiNetworkConfig): ReadonlySet<string> | undefined {
  return config.namespaceIsolation ? new Set(config.globalNamespaces) : undefined;
}

function problemsOfDelegates(delegates: readonly JsonObject[]): Problem[] {
  const problems = delegates.flatMap((delegate, index): Problem[] => {
    const path = `delegates[${index}]`;
    if (delegate.plugins === undefined) return typeProblem(delegate.type, `${path}.type`);
    if (!Array.isArray(delegate.plugins) || delegate.plugins.length === 0)
      return [{ path: `${path}.plugins`, message: 'must be a list of plugins' }];
    return delegate.plugins.flatMap((plugin: { type?: unknown } | null, place) =>
      typeProblem(plugin?.type, `${path}.plugins[${place}].type`),
    );
  });
  const masters = delegates.flatMap((delegate, index) => (isMaster(delegate) ? [index] : []));
  const message = 'only one delegate can be the one for eth0';
  return [...problems, ...masters.slice(1).map((index) => ({ path: `delegates[${index}].masterPlugin`, message }))];
}

function typeProblem(type: unknown, path: string): Problem[] {
  if (typeof type === 'string' && /^[^/\0]+$/.test(type) && type !== '.' && type !== '..') return [];
  return [{ path, message: type === undefined ? 'is missing' : 'must be the name of a plugin' }];
}

// Empty is the same as absent, as Multus has it.
function pathProblems({ kubeconfig, readinessindicatorfile }: MultiNetworkConfig): Problem[] {
  return Object.entries({ kubeconfig, readinessindicatorfile }).flatMap(([path, value]) =>
    value === undefined || value === '' ? [] : readBySchema(absolutePath, value, [path]).problems,
  );
}
