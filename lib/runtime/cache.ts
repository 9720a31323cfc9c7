import { join } from 'node:path';
import { isJsonObject, type JsonObject } from '../cni/json.ts';
import { ensureFolder, FileError, namesIn, readFileIfThere, removeFile, replaceFile } from '../files/files.ts';
import type { AttachmentInput } from './derive.ts';
import { RuntimeError } from './errors.ts';
import type { NetworkList } from './network.ts';

/** Where libcni keeps the results of ADD, and we too: either finds what the other wrote. */
export const DEFAULT_CACHE_DIR = '/var/lib/cni';

/** The version of libcni's format. */
const KIND = 'cniCacheV1';

/** A cached attachment: its result, and what DEL and GC need to call the plugins again. */
export type CachedAttachment = {
  readonly network: string;
  /** The network's config, a list or a single plugin; undefined if it cannot be read. */
  readonly config: JsonObject | undefined;
  readonly input: AttachmentInput;
  readonly result: JsonObject;
};

type Document = {
  kind: string;
  containerId: string;
  /** The list, in base64. */
  config: string;
  ifName: string;
  networkName: string;
  netns?: string;
  cniArgs?: [string, string][];
  capabilityArgs?: JsonObject;
  result?: JsonObject;
};

/**
 * Keeps a result for CHECK and DEL, mode 0600, replaced as a whole and in a folder that nobody else can write. Throws
 * RuntimeError.
 */
export function cacheResult(folder: string, list: NetworkList, input: AttachmentInput, result: object): void {
  const document: Document = {
    kind: KIND,
    containerId: input.containerID,
    config: Buffer.from(list.source).toString('base64'),
    ifName: input.ifname,
    networkName: list.name,
    netns: input.netns,
    ...(input.args.length > 0 && { cniArgs: input.args.map(([key, value]): [string, string] => [key, value]) }),
    ...(Object.keys(input.capabilityArgs).length > 0 && { capabilityArgs: input.capabilityArgs }),
    result: result as JsonObject,
  };
  translated('the result cannot be cached', () => {
    ensureFolder(resultsIn(folder));
    replaceFile(pathOf(folder, list.name, input), JSON.stringify(document));
  });
}

/** What was cached for an attachment; undefined if nothing was, or nothing that can be read. */
export function cachedAttachment(
  folder: string,
  network: string,
  input: AttachmentInput,
): CachedAttachment | undefined {
  return readCached(pathOf(folder, network, input));
}

/** Every cached attachment of a network. Throws RuntimeError if the folder cannot be read. */
export function cachedAttachments(folder: string, network: string): CachedAttachment[] {
  return cachedIn(resultsIn(folder)).filter((cached) => cached.network === network);
}

/**
 * Every cached attachment of a sandbox, to any network, in a folder of results. Files of other formats are passed over.
 * Throws RuntimeError if the folder cannot be read.
 */
export function cachedAttachmentsOf(results: string, containerID: string): CachedAttachment[] {
  return cachedIn(results, (name) => name.includes(`-${containerID}-`)).filter(
    ({ input }) => input.containerID === containerID,
  );
}

/** Forgets an attachment; fine if there is none. Throws RuntimeError. */
export function forgetResult(folder: string, network: string, input: AttachmentInput): void {
  translated('the cached result stays', () => removeFile(pathOf(folder, network, input)));
}

function pathOf(folder: string, network: string, { containerID, ifname }: AttachmentInput): string {
  return join(resultsIn(folder), `${network}-${containerID}-${ifname}`);
}

function resultsIn(folder: string): string {
  return join(folder, 'results');
}

function cachedIn(results: string, isAsked: (name: string) => boolean = () => true): CachedAttachment[] {
  const names = translated('the cache cannot be read', () => namesIn(results));
  return names
    .filter(isAsked)
    .sort()
    .flatMap((name) => readCached(join(results, name)) ?? []);
}

// undefined for a file that is half written, or of another format: as if it were not there.
function readCached(path: string): CachedAttachment | undefined {
  const document = tryParse(() => readFileIfThere(path) ?? 'null');
  if (document?.kind !== KIND) return undefined;
  const { containerId, ifName, networkName, netns = '', cniArgs = [], capabilityArgs = {}, result = {} } = document;
  if (!isName(containerId) || !isName(ifName) || !isName(networkName)) return undefined;
  if (!isJsonObject(capabilityArgs) || !isJsonObject(result)) return undefined;
  const args = cniArgs as AttachmentInput['args'];
  const input = { containerID: containerId, ifname: ifName, netns: String(netns), args, capabilityArgs };
  const config = tryParse(() => Buffer.from(String(document.config), 'base64').toString());
  return { network: networkName, config, input, result };
}

function tryParse(read: () => string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(read());
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function translated<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    throw new RuntimeError(`${what}: ${error.message}`, { cause: error });
  }
}
