import { join } from 'node:path';
import type { NetworkRequest } from '../lib/attachments/selection.ts';
import { isJsonObject, type JsonObject } from '../lib/cni/json.ts';
import { nameProblem } from '../lib/cni/names.ts';
import { ensureFolder, FileError, namesIn, readFileIfThere, removeFile, replaceFile } from '../lib/files/files.ts';
import type { AttachmentInput } from '../lib/runtime/derive.ts';

/** An attachment of ours, or one of others that we are about to take away. */
export type RecordedAttachment = {
  readonly ifname: string;
  readonly network: string;
  readonly state: 'attached' | 'unfinished' | 'pending';
  readonly request: NetworkRequest;
  /** The hardware address that the interface had before a swap. */
  readonly keepMac?: string;
  /** The network list, as JSON, and the call's variables: what DEL needs. Absent while nothing was called. */
  readonly call?: { readonly list: string; readonly input: AttachmentInput };
  readonly result?: JsonObject;
};

/** What we have done in a sandbox. */
export type SandboxRecord = {
  readonly version: 1;
  readonly containerID: string;
  /** As the node sees it. */
  readonly netns: string;
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly attachments: readonly RecordedAttachment[];
  /** The status entries of the pod's default network, as they were last seen. */
  readonly defaults: readonly JsonObject[];
};

const SUFFIX = '.json';

/**
 * Our records, a file for each sandbox, on the disk: IPAM leases outlive a reboot, so what takes them away has to. A record
 * is written before each step, so it may say more than was done, never less.
 *
 * They are not synced: neither are the leases of host-local, and a power cut loses the one with the other.
 */
export class Records {
  readonly #folder: string;
  readonly #records = new Map<string, SandboxRecord>();

  /** Reads what is there. `damaged` is called for a file that cannot be read, which stays. Throws FileError. */
  constructor(folder: string, damaged: (path: string, reason: string) => void = () => undefined) {
    this.#folder = folder;
    ensureFolder(folder);
    for (const name of namesIn(folder).filter((entry) => entry.endsWith(SUFFIX))) {
      const path = join(folder, name);
      try {
        const record = parseRecord(readFileIfThere(path) ?? '');
        this.#records.set(record.containerID, record);
      } catch (error) {
        damaged(path, (error as Error).message);
      }
    }
  }

  get(containerID: string): SandboxRecord | undefined {
    return this.#records.get(containerID);
  }

  all(): readonly SandboxRecord[] {
    return [...this.#records.values()];
  }

  /** The records of a pod's sandboxes, also of pods that had the same name. */
  ofPod(namespace: string, name: string): readonly SandboxRecord[] {
    return this.all().filter(({ pod }) => pod.namespace === namespace && pod.name === name);
  }

  /** Writes a record; one without attachments is forgotten. Throws FileError; then it is as before. */
  put(record: SandboxRecord): void {
    const path = this.#path(record.containerID);
    if (record.attachments.length === 0) removeFile(path);
    else replaceFile(path, JSON.stringify(record));
    if (record.attachments.length === 0) this.#records.delete(record.containerID);
    else this.#records.set(record.containerID, record);
  }

  /**
   * As `put`; but what cannot be written, for a full disk say, is kept in memory, and the file says more than was done until
   * the next change. Only for records that say nothing new. Throws FileError if the file cannot be removed.
   */
  putOrKeep(record: SandboxRecord): void {
    try {
      this.put(record);
    } catch (error) {
      if (!(error instanceof FileError) || record.attachments.length === 0) throw error;
      this.#records.set(record.containerID, record);
    }
  }

  #path(containerID: string): string {
    const problem = nameProblem(containerID);
    if (problem !== undefined) throw new FileError(this.#folder, `container id "${containerID}" ${problem}`);
    return join(this.#folder, `${containerID}${SUFFIX}`);
  }
}

/** The record with this attachment in the place of the one of its interface name. */
export function withAttachment(record: SandboxRecord, attachment: RecordedAttachment): SandboxRecord {
  const { attachments } = withoutAttachment(record, attachment.ifname);
  return { ...record, attachments: [...attachments, attachment] };
}

/** The record without the attachment of an interface name. */
export function withoutAttachment(record: SandboxRecord, ifname: string): SandboxRecord {
  return { ...record, attachments: record.attachments.filter((attachment) => attachment.ifname !== ifname) };
}

function parseRecord(text: string): SandboxRecord {
  const record: unknown = JSON.parse(text);
  const isOurs =
    isJsonObject(record) &&
    record.version === 1 &&
    typeof record.containerID === 'string' &&
    isJsonObject(record.pod) &&
    Array.isArray(record.attachments) &&
    Array.isArray(record.defaults);
  if (!isOurs) throw new Error('it is not a record of this version');
  return record as SandboxRecord;
}
