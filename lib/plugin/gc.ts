import { join } from 'node:path';
import { isKnown } from '../change/attachment-journal.ts';
import { dataDirOf } from '../cni/config.ts';
import { CniCode, CniError } from '../cni/errors.ts';
import type { JsonObject } from '../cni/json.ts';
import type { Call } from '../cni/runner.ts';
import { summarize } from '../cni/summary.ts';
import { forgetInvalid } from '../journal/journal.ts';
import { type Definition, noopDocument } from './definition.ts';

/**
 * Forgets the journals of the network's attachments that are not in the valid list. Throws CniError 7 for a wrong list, and
 * 5 at the end for the files that could not be forgotten: "If an error is encountered, a plugin should continue; removing
 * as many resources as possible, and report the errors back to the runtime."
 */
export async function collectGarbage<C>(definition: Definition<C>, call: Call): Promise<object | undefined> {
  const { request, log, noop, place } = call;
  const folder = join(place.pathOf(dataDirOf(request.document)), definition.name);
  if (noop) return noopDocument(definition, request, []);
  const { files, failures } = forgetInvalid(folder, request.network, validAttachments(request.document), isKnown);
  if (files.length > 0) log.info('forgot attachments', { files });
  if (failures.length === 0) return undefined;
  const problems = failures.map(({ message }) => message);
  const { message, details } = summarize('journals that could not be forgotten: ', problems);
  throw new CniError(CniCode.ioFailure, message, { details });
}

/** The attachments that the runtime says are valid. Throws CniError 7 for a list that is none. */
export function validAttachments(document: JsonObject): { containerID: string; ifname: string }[] {
  // The spec's first text named the key otherwise, so libcni sends both. None at all means that none is valid.
  const list = document['cni.dev/valid-attachments'] ?? document['cni.dev/attachments'] ?? [];
  const isAttachment = (value: unknown): value is { containerID: string; ifname: string } => {
    const { containerID, ifname } = (value ?? {}) as { containerID?: unknown; ifname?: unknown };
    return typeof containerID === 'string' && typeof ifname === 'string';
  };
  if (Array.isArray(list) && list.every(isAttachment)) return list;
  const message = 'cni.dev/valid-attachments: must be a list of objects with "containerID" and "ifname"';
  throw new CniError(CniCode.invalidConfig, message);
}
