import type { JsonObject } from '../cni/json.ts';
import type { ApiClient } from '../kubernetes/client.ts';
import { ApiError } from '../kubernetes/errors.ts';
import { type Pod, podOf } from './pod.ts';
import { formatStatus, isSameStatus, parseStatus, STATUS_ANNOTATION } from './status.ts';

/** The kubelet writes into the same object; a few conflicts in a row are usual while a pod starts. */
const ATTEMPTS = 5;

/**
 * Writes a pod's status, if it has to change: `compose` says what the entries have to be, given those that are there. Only
 * if nobody changed the pod since it was read; else it is read again. Was anything written? Throws ApiError.
 */
export async function publishStatus(
  client: Pick<ApiClient, 'get' | 'mergePatch'>,
  pod: Pod,
  compose: (before: readonly JsonObject[]) => readonly JsonObject[],
): Promise<boolean> {
  const path = `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}`;
  let current = pod;
  for (let attempt = 1; ; attempt++) {
    const before = parseStatus(current.status);
    const entries = compose(before ?? []);
    if (before === undefined ? entries.length === 0 : isSameStatus(before, entries)) return false;
    const { uid, resourceVersion } = current;
    const metadata = { uid, resourceVersion, annotations: { [STATUS_ANNOTATION]: formatStatus(entries) } };
    try {
      await client.mergePatch(`${path}/status`, { metadata });
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.isNotFound) return false;
      if (!error.isConflict || attempt === ATTEMPTS) throw error;
    }
    const read = await client.get(path).catch(ifGone);
    if (read === undefined || read.metadata.uid !== pod.uid) return false;
    current = podOf(read);
  }
}

function ifGone(error: unknown): undefined {
  if (error instanceof ApiError && error.isNotFound) return undefined;
  throw error;
}
