import { readdirSync, readFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { isJsonObject, type JsonObject } from '../cni/json.ts';
import { nameProblem } from '../cni/names.ts';
import { CURRENT_VERSION, compareVersions, IMPLIED_VERSION } from '../cni/version.ts';
import { reasonOf } from '../files/reason.ts';
import { RuntimeError } from './errors.ts';

/** A plugin's part of a list; `type` is the name of its executable. */
export type PluginConfig = JsonObject & { readonly type: string };

/** A network as its file describes it (https://www.cni.dev/docs/spec/#section-1-network-configuration-format). */
export type NetworkList = {
  readonly name: string;
  /** The newest version that both the file and this build support. */
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly disableGC: boolean;
  readonly plugins: readonly PluginConfig[];
  /** The list as it was written, for the cache. */
  readonly source: string;
};

const LIST_EXTENSIONS = ['.conflist'];
const SINGLE_EXTENSIONS = ['.conf', '.json'];

/**
 * The network with this name among the files of a folder, in the order of their names: lists first, then single plugins in
 * the old format, which become lists of one. Throws RuntimeError, also if a file on the way cannot be read, since that may
 * be the one that is meant.
 */
export function loadNetwork(folder: string, name: string): NetworkList {
  const others: string[] = [];
  for (const path of filesIn(folder, LIST_EXTENSIONS)) {
    const document = readObject(path);
    if (document.name === name) return networkFromFile(path, document);
    others.push(String(document.name));
  }
  for (const path of filesIn(folder, SINGLE_EXTENSIONS)) {
    const document = readObject(path);
    if (document.name === name) return parseNetwork(listOfOne(document), path);
    others.push(String(document.name));
  }
  const found = others.length === 0 ? 'it has no networks' : `it has ${others.join(', ')}`;
  throw new RuntimeError(`no network "${name}" in ${folder}; ${found}`);
}

/**
 * The network that a file describes: a list, or a single plugin in the old format, which becomes a list of one. Throws
 * RuntimeError.
 */
export function readNetworkFile(path: string): NetworkList {
  const document = readObject(path);
  const isSingle = document.plugins === undefined && document.type !== undefined;
  return isSingle ? parseNetwork(listOfOne(document), path) : networkFromFile(path, document);
}

/**
 * The network that a file's text describes to a runtime; the extension of `path` says whether it is a list or in the old
 * format. Throws RuntimeError, also for a list whose plugins are all in files of their own.
 */
export function parseNetworkFile(path: string, text: string): NetworkList {
  const document = parseObject(path, text);
  return parseNetwork(LIST_EXTENSIONS.includes(extname(path)) ? document : listOfOne(document), path);
}

/** Reads a list that is not in a folder of lists. `where` names it in errors. Throws RuntimeError. */
export function parseNetwork(document: JsonObject, where: string, more: readonly PluginConfig[] = []): NetworkList {
  const wrong = (what: string) => new RuntimeError(`${where}: ${what}`);
  const { name } = document;
  if (typeof name !== 'string' || name === '') throw wrong('the network has no "name"');
  const problem = nameProblem(name);
  if (problem !== undefined) throw wrong(`"name" ${problem}`);

  const inlined = document.plugins ?? [];
  if (!Array.isArray(inlined)) throw wrong('"plugins" is not a list');
  const plugins = [...inlined.map((plugin, i) => pluginConfig(plugin, `${where}: plugins[${i}]`)), ...more];
  if (plugins.length === 0) throw wrong('the list has no plugins');
  return {
    name,
    cniVersion: pickVersion(document, wrong),
    disableCheck: readFlag(document, 'disableCheck', wrong),
    disableGC: readFlag(document, 'disableGC', wrong),
    plugins,
    source: JSON.stringify(document),
  };
}

// Since CNI 1.1 a list can have more plugins, each in a file, in a folder with the list's name.
function networkFromFile(path: string, document: JsonObject): NetworkList {
  const wrong = (what: string) => new RuntimeError(`${path}: ${what}`);
  const onlyInlined = readFlag(document, 'loadOnlyInlinedPlugins', wrong);
  const isSafe = typeof document.name === 'string' && nameProblem(document.name) === undefined;
  const folder = join(dirname(path), String(document.name));
  const files = onlyInlined || !isSafe ? [] : filesIn(folder, ['.conf']);
  return parseNetwork(
    document,
    path,
    files.map((file) => pluginConfig(readObject(file), file)),
  );
}

function listOfOne(document: JsonObject): JsonObject {
  const { name, cniVersion } = document;
  return { name, ...(cniVersion !== undefined && { cniVersion }), plugins: [document] };
}

function pluginConfig(value: unknown, where: string): PluginConfig {
  const type = (value as PluginConfig | null)?.type;
  if (typeof type !== 'string' || type === '') throw new RuntimeError(`${where}: the plugin has no "type"`);
  return value as PluginConfig;
}

type Wrong = (what: string) => RuntimeError;

// The newest of `cniVersions` and `cniVersion` that this build supports; a `cniVersion` alone is taken as it is.
function pickVersion(document: JsonObject, wrong: Wrong): string {
  const { cniVersion, cniVersions } = document;
  if (cniVersion !== undefined && typeof cniVersion !== 'string') throw wrong('"cniVersion" is not a string');
  if (cniVersions === undefined) return cniVersion || IMPLIED_VERSION;
  if (!Array.isArray(cniVersions)) throw wrong('"cniVersions" is not a list');
  const offered: unknown[] = [...cniVersions, ...(cniVersion ? [cniVersion] : [])];
  const usable = offered.filter((version): version is string => {
    const comparison = typeof version === 'string' ? compareVersions(version, CURRENT_VERSION) : undefined;
    if (comparison === undefined) throw wrong(`"cniVersions" has ${JSON.stringify(version)}, which is not a version`);
    return comparison <= 0;
  });
  const newestFirst = usable.toSorted((a, b) => compareVersions(b, a) ?? 0);
  return newestFirst[0] ?? (cniVersion || IMPLIED_VERSION);
}

function readFlag(document: JsonObject, key: string, wrong: Wrong): boolean {
  const value = document[key] ?? false;
  if (typeof value === 'boolean') return value;
  const text = String(value).toLowerCase();
  if (text === 'true' || text === 'false') return text === 'true';
  throw wrong(`"${key}" is neither true nor false`);
}

function filesIn(folder: string, extensions: readonly string[]): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && extensions.includes(extname(entry.name)))
      .map((entry) => join(folder, entry.name))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new RuntimeError(`${folder} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

/** The JSON object in a file. Throws RuntimeError. */
export function readObject(path: string): JsonObject {
  try {
    return parseObject(path, readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof RuntimeError) throw error;
    throw new RuntimeError(`${path} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

function parseObject(path: string, text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new RuntimeError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  if (isJsonObject(value)) return value;
  throw new RuntimeError(`${path}: must be a JSON object`);
}
