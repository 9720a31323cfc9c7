import { existsSync } from 'node:fs';
import { type BirthAttachment, readBirthRecord, writeBirthRecord } from '../../lib/attachments/birth-record.ts';
import { networkFromRecord } from '../../lib/attachments/delegates.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import { summarize } from '../../lib/cni/summary.ts';
import { compareVersions } from '../../lib/cni/version.ts';
import { FileError, namesIn } from '../../lib/files/files.ts';
import { probeFolder } from '../../lib/files/probe.ts';
import { Observation } from '../../lib/observation/observation.ts';
import { attachmentLink } from '../../lib/plugin/attachment.ts';
import { validAttachments } from '../../lib/plugin/gc.ts';
import { withPod } from '../../lib/plugin/pod.ts';
import type { NetworkList } from '../../lib/runtime/network.ts';
import type { Work } from './attach.ts';
import { release } from './del.ts';
import { configuredNetworks, isChained } from './wanted.ts';

/** CHECK of every network of the pod. Throws CniError 106 with all that is wrong. */
export async function check(work: Work): Promise<undefined> {
  const { call, config, delegation } = work;
  if (isChained(config)) {
    await withPod(call, async ({ socket }) => {
      attachmentLink(call.request, config.interface, undefined, Observation.of(socket));
    });
  }
  const { containerID, ifname, netns } = call.request;
  const fallback = { containerID, ifname, netns, args: [], capabilityArgs: {} };
  const record = readBirthRecord(call.place.pathOf(config.cniDir), containerID, fallback);
  if (record === undefined && !isChained(config)) {
    throw new CniError(CniCode.checkFailed, `no ADD of container ${containerID} is recorded in ${config.cniDir}`);
  }
  const problems: string[] = [];
  for (const { network, list, input, state, request } of record ?? []) {
    const read = networkFromRecord(list);
    if (state === 'begun') problems.push(`network ${network}: its ADD did not come to an end`);
    // "Runtimes must not call CHECK for a plugin whose network has a version before 0.4.0."
    else if ((compareVersions(read.cniVersion, '0.4.0') ?? 0) >= 0) {
      await delegation
        .check(read, { ...input, netns }, request.defaultRoute)
        .catch((error: Error) => problems.push(`network ${network}: ${error.message}`));
    }
  }
  if (problems.length === 0) return undefined;
  const { message, details } = summarize('', problems);
  throw new CniError(CniCode.checkFailed, message, { details });
}

/**
 * Takes away what containers have that are not valid any more, and has the plugins of every network do the same. All is tried
 * before it throws.
 */
export async function collectGarbage(work: Work): Promise<undefined> {
  const { call, config, delegation, services } = work;
  const containers = new Set(validAttachments(call.request.document).map(({ containerID }) => containerID));
  const folder = call.place.pathOf(config.cniDir);
  const problems: string[] = [];
  const lists = new Map<string, NetworkList>();
  const note = (list: NetworkList) => lists.set(`${list.name} ${list.source}`, list);
  for (const [containerID, record] of recordsIn(work, folder)) {
    for (const { list } of record) note(networkFromRecord(list));
    if (containers.has(containerID)) continue;
    const failures = await release(work, record, (left) => writeBirthRecord(folder, containerID, left));
    problems.push(...failures.map(({ message }) => message));
  }
  const cluster = await services.cluster(config, call);
  try {
    for (const { list } of await configuredNetworks({ ...work, cluster }, false)) note(list);
  } finally {
    await cluster?.close();
  }
  for (const list of lists.values()) {
    await delegation
      .gc(list, containers)
      .catch((error: Error) => problems.push(`network ${list.name}: ${error.message}`));
  }
  if (problems.length === 0) return undefined;
  const { message, details } = summarize('what could not be collected: ', problems);
  throw new CniError(CniCode.internal, message, { details });
}

/** Can this node serve an ADD now? The cluster's network is ready, and every plugin of the config says so. Throws CniError 50. */
export async function status(work: Work): Promise<undefined> {
  const { call, config, delegation, services } = work;
  const notAvailable = (why: string, cause?: unknown) =>
    new CniError(CniCode.notAvailable, `this node cannot serve an ADD: ${why}`, { cause });
  const { readinessindicatorfile: file } = config;
  if (file && !existsSync(call.place.pathOf(file)))
    throw notAvailable(`readinessindicatorfile: ${file} does not exist`);
  try {
    if (!isChained(config)) probeFolder(call.place.pathOf(config.cniDir));
  } catch (error) {
    if (error instanceof FileError) throw notAvailable(`cniDir: ${error.message}`, error);
    throw error;
  }
  const cluster = await services.cluster(config, call);
  try {
    for (const { name, list } of await configuredNetworks({ ...work, cluster }, false)) {
      await delegation.status(list).catch((error: Error) => {
        throw notAvailable(`network ${name}: ${error.message}`, error);
      });
    }
  } finally {
    await cluster?.close();
  }
}

// A file that is no record of a sandbox is somebody else's.
function recordsIn({ call }: Work, folder: string): [string, BirthAttachment[]][] {
  const { ifname } = call.request;
  return namesIn(folder).flatMap((containerID): [string, BirthAttachment[]][] => {
    const fallback = { containerID, ifname: ifname || 'eth0', netns: '', args: [], capabilityArgs: {} };
    try {
      return [[containerID, readBirthRecord(folder, containerID, fallback) ?? []]];
    } catch (error) {
      if (error instanceof FileError) return [];
      throw error;
    }
  });
}
