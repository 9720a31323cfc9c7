import { dirname, join } from 'node:path';
import { isJsonObject, type JsonObject } from '../cni/json.ts';
import { nameProblem } from '../cni/names.ts';
import { ensureFolder, FileError, readFileIfThere, removeFile, replaceFile } from '../files/files.ts';
import { forgetResult } from '../runtime/cache.ts';
import type { AttachmentInput } from '../runtime/derive.ts';
import type { NetworkList } from '../runtime/network.ts';
import { consistentName } from './kactus.ts';
import type { NetworkRequest } from './selection.ts';

/** A network that a pod got when it started, or was about to get. */
export type BirthAttachment = {
  /** As the status names it: `namespace/name` of a definition, or the name in the config. */
  readonly network: string;
  readonly ifname: string;
  readonly isDefault: boolean;
  /** `begun`: ADD may have made some of it. */
  readonly state: 'begun' | 'attached';
  readonly request: NetworkRequest;
  /** The network list, as JSON, and the variables of the calls. */
  readonly list: string;
  readonly input: AttachmentInput;
  /** The result, of what the container runtime attached itself: nobody else has it. */
  readonly result?: JsonObject;
};

/** Our part of an entry. Multus passes over keys that it does not know. */
const OWN_KEY = 'waymark';

/**
 * What a sandbox's networks were at its start, in the order of ADD; undefined if there is no file.
 *
 * The file is Multus': a list of its delegates, in which ours have more. So either deletes the pods of the other, when a
 * cluster changes from one to the other and back. kactus' file, a list of plugin configs, is read too. `fallback` has the
 * variables of the calls for what is not ours. Throws FileError if the file cannot be read, or is no such list; and if it is
 * of somebody who runs us: who would run what it says would run itself.
 */
export function readBirthRecord(
  folder: string,
  containerID: string,
  fallback: AttachmentInput,
): BirthAttachment[] | undefined {
  const path = pathIn(folder, containerID);
  const text = readFileIfThere(path);
  if (text === undefined) return undefined;
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch (error) {
    throw new FileError(path, 'is not JSON', error);
  }
  if (!Array.isArray(entries)) throw new FileError(path, 'is not a list of networks');
  return entries.map((entry, index) => {
    const read = ownEntry(entry) ?? othersEntry(entry, index, fallback);
    if (read === undefined) throw new FileError(path, `has an entry [${index}] that is not a network`);
    if (runsUs(read.list))
      throw new FileError(path, 'is of a plugin that runs "multi-network" as the cluster’s network');
    return read;
  });
}

/** Writes the file, mode 0600 and as a whole; one without networks is removed. Throws FileError. */
export function writeBirthRecord(folder: string, containerID: string, attachments: readonly BirthAttachment[]): void {
  const path = pathIn(folder, containerID);
  if (attachments.length === 0) {
    removeFile(path);
    return;
  }
  ensureFolder(folder);
  replaceFile(path, JSON.stringify(attachments.map(toEntry)));
}

/** What we gave a sandbox at its start, by the records beside these folders of results, as `pathOf` reaches them. */
export function ownBirthAttachments(
  containerID: string,
  folders: readonly string[],
  pathOf: (path: string) => string,
): BirthAttachment[] {
  return folders.flatMap((results) => ownBirthRecord(pathOf(results), containerID));
}

// Nothing where others gave it, who count places in the file, and where it cannot be read.
function ownBirthRecord(results: string, containerID: string): BirthAttachment[] {
  try {
    const entries: unknown = JSON.parse(readFileIfThere(pathIn(dirname(results), containerID)) ?? '[]');
    const own = Array.isArray(entries) ? entries.map(ownEntry) : [];
    return own.every((entry) => entry !== undefined) ? own : [];
  } catch (error) {
    if (error instanceof FileError || error instanceof SyntaxError) return [];
    throw error;
  }
}

/** Writes down which list one of these has by now, and what was asked for. Nothing where we did not give it. Throws FileError. */
export function setBirthList(
  folder: string,
  containerID: string,
  ifname: string,
  list: string,
  cniArgs: JsonObject | undefined,
): void {
  const record = ownBirthRecord(join(folder, 'results'), containerID);
  if (!record.some((entry) => entry.ifname === ifname)) return;
  const updated = record.map((entry) => {
    if (entry.ifname !== ifname) return entry;
    const { cniArgs: _, ...rest } = entry.request;
    return { ...entry, list, request: cniArgs === undefined ? rest : { ...rest, cniArgs } };
  });
  writeBirthRecord(folder, containerID, updated);
}

/** Forgets one of these that was taken away while the pod goes on, and its result. Throws FileError and RuntimeError. */
export function forgetBirthAttachment(results: string, containerID: string, ifname: string): void {
  const record = ownBirthRecord(results, containerID);
  const gone = record.find((entry) => entry.ifname === ifname);
  if (gone === undefined) return;
  forgetResult(dirname(results), JSON.parse(gone.list).name, gone.input);
  writeBirthRecord(
    dirname(results),
    containerID,
    record.filter((entry) => entry !== gone),
  );
}

/** The entry of a network list that is being attached. */
export function begun(
  network: string,
  list: NetworkList,
  input: AttachmentInput,
  more: { isDefault: boolean; request: NetworkRequest },
): BirthAttachment {
  return { network, ifname: input.ifname, state: 'begun', list: list.source, input, ...more };
}

function pathIn(folder: string, containerID: string): string {
  const problem = nameProblem(containerID);
  // The results of libcni are in a folder of this name beside it.
  if (problem !== undefined || containerID === 'results')
    throw new FileError(folder, `container id "${containerID}" ${problem ?? 'is the name of the folder of results'}`);
  return join(folder, containerID);
}

// As Multus writes it (pkg/types, DelegateNetConf). It takes a list for one by `ConfList`, and everything else from `Bytes`.
function toEntry(attachment: BirthAttachment): JsonObject {
  const { network, ifname, isDefault, list } = attachment;
  const { name, cniVersion = '', plugins = [] } = JSON.parse(list) as JsonObject & { plugins?: { type: string }[] };
  const requests = isDefault ? {} : { ifnameRequest: ifname };
  return {
    Conf: {},
    ConfList: { cniVersion, name, plugins: plugins.map(({ type }) => ({ type })) },
    Name: network,
    ...requests,
    IsFilterV4Gateway: false,
    IsFilterV6Gateway: false,
    Bytes: Buffer.from(list).toString('base64'),
    [OWN_KEY]: attachment,
  };
}

function runsUs(list: string): boolean {
  const { plugins = [] } = JSON.parse(list) as { plugins?: readonly { type?: unknown }[] };
  return plugins.some(({ type }) => type === 'multi-network');
}

function ownEntry(entry: unknown): BirthAttachment | undefined {
  const own = isJsonObject(entry) ? entry[OWN_KEY] : undefined;
  if (!isJsonObject(own) || !isJsonObject(own.input) || typeof own.list !== 'string') return undefined;
  return typeof own.ifname === 'string' && typeof own.network === 'string' ? (own as BirthAttachment) : undefined;
}

// Multus': the first delegate is the pod's eth0, the others have the name asked for, or that of their place. kactus': the
// master plugin is, the others have the name that follows from the network's.
function othersEntry(entry: unknown, index: number, input: AttachmentInput): BirthAttachment | undefined {
  if (!isJsonObject(entry)) return undefined;
  if (typeof entry.type === 'string') return kactusEntry(entry, input);
  const config = configIn(entry.Bytes);
  if (config === undefined) return undefined;
  const isDefault = index === 0;
  const { Name: name, ifnameRequest } = entry;
  const asked = typeof ifnameRequest === 'string' && ifnameRequest !== '' ? ifnameRequest : `net${index}`;
  const ifname = isDefault ? input.ifname : asked;
  const network = typeof name === 'string' && name !== '' ? name : String(config.name);
  return entryOf(network, config, { ...input, ifname }, isDefault);
}

function kactusEntry(entry: JsonObject, input: AttachmentInput): BirthAttachment {
  const { networkName, masterPlugin, masterplugin, ...config } = entry;
  const isDefault = masterPlugin === true || masterplugin === true || typeof networkName !== 'string';
  const network = typeof networkName === 'string' ? networkName : String(config.name ?? 'kactus');
  const ifname = isDefault ? input.ifname : consistentName(network);
  return entryOf(network, { name: network, ...config }, { ...input, ifname }, isDefault);
}

function entryOf(network: string, config: JsonObject, input: AttachmentInput, isDefault: boolean): BirthAttachment {
  const { name, cniVersion, plugins } = config;
  const list =
    plugins === undefined ? { name, ...(cniVersion !== undefined && { cniVersion }), plugins: [config] } : config;
  return {
    network,
    ifname: input.ifname,
    isDefault,
    state: 'attached',
    request: {},
    list: JSON.stringify(list),
    input,
  };
}

function configIn(bytes: unknown): JsonObject | undefined {
  if (typeof bytes !== 'string') return undefined;
  try {
    const config: unknown = JSON.parse(Buffer.from(bytes, 'base64').toString());
    return isJsonObject(config) ? config : undefined;
  } catch {
    return undefined;
  }
}
