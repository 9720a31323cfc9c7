import { createHash } from 'node:crypto';
import { interfaceNameProblem } from '../../lib/cni/names.ts';
import type { Request } from '../../lib/cni/request.ts';
import { configError } from '../../lib/cni/schema.ts';
import type { ConsistentIfnameConfig } from './config.ts';

/** The schemes in the field: kactus' (`net` + 12 hex of MD5) and KubeVirt's (`pod` + 11 hex of SHA-256). */
const SCHEMES = {
  kactus: { prefix: 'net', hash: 'md5', length: 12 },
  kubevirt: { prefix: 'pod', hash: 'sha256', length: 11 },
} as const;

/** What is hashed unless the config says otherwise: the network's name. */
const DEFAULT_KEY = '$' + '{name}';

type Naming = Pick<ConsistentIfnameConfig, 'scheme' | 'prefix' | 'hash' | 'length' | 'key' | 'ifname'>;

/**
 * Which name follows from the network's name, or from what the config says in its place?
 *
 * Throws CniError 7 with the config's path if it is not one that the kernel takes (at most 15 bytes), or if the key has
 * a placeholder that nothing is known for.
 */
export function consistentName(config: Naming, request: Pick<Request, 'network' | 'ifname' | 'args'>): string {
  if (config.ifname !== undefined) return nameOrError(config.ifname, 'ifname', linkNameProblem(config.ifname));
  const scheme = SCHEMES[config.scheme];
  const prefix = config.prefix ?? scheme.prefix;
  const digits = config.length ?? scheme.length;
  const key = fillIn(config.key ?? DEFAULT_KEY, request);
  const digest = createHash(config.hash ?? scheme.hash)
    .update(key)
    .digest('hex');
  const name = prefix + digest.slice(0, digits);
  const path = config.length !== undefined && config.prefix === undefined ? 'length' : 'prefix';
  return nameOrError(name, path, digits > digest.length ? `has only ${digest.length} digits` : linkNameProblem(name));
}

function nameOrError(name: string, path: string, problem: string | undefined): string {
  if (problem === undefined) return name;
  throw configError('invalid network config', [{ path, message: `the name would be "${name}", which ${problem}` }]);
}

// Beyond what the kernel takes, there are names by which it does something else than was meant.
function linkNameProblem(name: string): string | undefined {
  if (name.includes('%')) return 'contains "%", which the kernel takes for a pattern';
  if (name === 'all' || name === 'default') return 'has no sysctls of its own';
  return interfaceNameProblem(name);
}

// `${name}`, `${ifname}`, and what CNI_ARGS has, as `${K8S_POD_NAMESPACE}`.
function fillIn(key: string, { network, ifname, args }: Pick<Request, 'network' | 'ifname' | 'args'>): string {
  const known: { readonly [name: string]: string } = { ...args, name: network, ifname };
  return key.replace(/\$\{([^}]*)\}/g, (placeholder, name: string) => {
    if (Object.hasOwn(known, name)) return known[name] ?? '';
    const message = `${placeholder} is not known; there are ${Object.keys(known).sort().join(', ')}`;
    throw configError('invalid network config', [{ path: 'key', message }]);
  });
}
