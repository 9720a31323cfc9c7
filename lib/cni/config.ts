import * as z from 'zod/mini';
import { isJsonObject } from './json.ts';
import { logLevelKey } from './log-level.ts';
import { absolutePath, configError, interfaceName, type Problem, readBySchema } from './schema.ts';
import { meantBy } from './spelling.ts';
import { clip } from './text.ts';

/** Where journals are kept unless the config says otherwise; gone after a reboot, as the namespaces are. */
export const DEFAULT_DATA_DIR = '/run/waymark';

/** The keys that every plugin accepts in addition to the spec's and its own. */
export const commonKeys = {
  interface: z.optional(interfaceName),
  dataDir: z._default(absolutePath, DEFAULT_DATA_DIR),
  logLevel: z.optional(logLevelKey),
  logFile: z.optional(absolutePath),
  skipcheck: z._default(z.boolean(), false),
};

export type CommonConfig = z.output<z.ZodMiniObject<typeof commonKeys>>;

/** Keys that the spec, libcni and editors put into a config; they are theirs to check. */
const SPEC_KEYS: ReadonlySet<string> = new Set([
  '$schema',
  'cniVersion',
  'name',
  'type',
  'args',
  'ipam',
  'dns',
  'ipMasq',
  'capabilities',
  'runtimeConfig',
  'prevResult',
  'cni.dev/valid-attachments',
  'cni.dev/attachments',
]);

/**
 * Keys that the operator of the node decides on. `args.cni` comes from whoever may write a pod's annotations, who must
 * not choose which files a process of root writes.
 */
export const NODE_KEYS: ReadonlySet<string> = new Set(['dataDir', 'logLevel', 'logFile']);

export type ParsedConfig<C> = { config: C & CommonConfig; warnings: string[] };

/**
 * Reads a plugin's own keys and the common ones from a network config, with those of `args.cni` in place of them, but
 * for those that only the operator of the node may set: the common ones about files, and the plugin's `ownNodeKeys`.
 *
 * Throws CniError 7 that lists every problem with its path. Unknown top-level keys are the runtime's (Multus adds
 * `deviceID` and others) and only worth a warning, unless they look like a misspelling of one of ours.
 */
export function parseConfig<S extends z.core.$ZodShape>(
  ownKeys: S,
  document: { readonly [key: string]: unknown },
  ownNodeKeys: readonly string[] = [],
): ParsedConfig<z.output<z.ZodMiniObject<S>>> {
  const keys = allKeys(ownKeys);
  const overrides = attachmentArgs(document);
  const problems: Problem[] = [];
  const warnings: string[] = [];
  const values: { [key: string]: unknown } = {};

  const take = (key: string, value: unknown, path: string) => {
    if (Object.hasOwn(keys, key)) {
      values[key] = value;
      return;
    }
    if (SPEC_KEYS.has(key)) return;
    const meant = meantBy(key, Object.keys(keys));
    if (meant === undefined) warnings.push(`unknown key "${clip(path)}" is ignored`);
    else problems.push({ path, message: `is not a known key; did you mean "${meant}"?` });
  };
  for (const [key, value] of Object.entries(document)) take(key, value, key);
  for (const [key, value] of Object.entries(overrides)) {
    const path = `args.cni.${key}`;
    if (NODE_KEYS.has(key) || ownNodeKeys.includes(key))
      problems.push({ path, message: 'can be set in the network config only' });
    else take(key, value, path);
  }

  const read = readBySchema(schemaOf(ownKeys), values);
  problems.push(...read.problems.map((problem) => withOrigin(problem, overrides)));
  if (problems.length > 0) throw configError('invalid network config', problems);
  return { config: read.value as z.output<z.ZodMiniObject<S>> & CommonConfig, warnings };
}

// zod compiles a schema when it is first used: once for each plugin, and not for each of an agent's calls.
const schemas = new WeakMap<z.core.$ZodShape, z.ZodMiniType>();

function schemaOf(ownKeys: z.core.$ZodShape): z.ZodMiniType {
  const known = schemas.get(ownKeys);
  if (known !== undefined) return known;
  const schema = z.object(allKeys(ownKeys)) as z.ZodMiniType;
  schemas.set(ownKeys, schema);
  return schema;
}

function allKeys<S extends z.core.$ZodShape>(ownKeys: S): typeof commonKeys & S {
  return { ...commonKeys, ...ownKeys };
}

/** The data folder of a config that may be wrong otherwise: DEL and GC clean up after those too. */
export function dataDirOf(document: { readonly [key: string]: unknown }): string {
  const read = readBySchema(commonKeys.dataDir, document.dataDir);
  return read.value ?? DEFAULT_DATA_DIR;
}

/**
 * The keys of one attachment, which whoever may write a pod's annotations decides on. `args` may hold keys of other
 * conventions; only `cni` is the plugins' (CONVENTIONS.md of the spec).
 */
export function attachmentArgs(document: { readonly [key: string]: unknown }): { readonly [key: string]: unknown } {
  const args = document.args;
  if (!isJsonObject(args) || !isJsonObject(args.cni)) return {};
  return args.cni;
}

function withOrigin(problem: Problem, overrides: object): Problem {
  const key = problem.path.split(/[.[]/, 1)[0] ?? '';
  return Object.hasOwn(overrides, key) ? { ...problem, path: `args.cni.${problem.path}` } : problem;
}
