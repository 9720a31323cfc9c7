import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { isJsonObject, type JsonObject } from '../cni/json.ts';
import { RuntimeError } from '../runtime/errors.ts';
import { type NetworkList, parseNetworkFile } from '../runtime/network.ts';

/** Our list, in front of the cluster's: runtimes take the first file by name. */
export const FRONT_LIST = '00-waymark.conflist';

/** What containerd and CRI-O look at. */
const EXTENSIONS = ['.conf', '.conflist', '.json'];

/** Types that run the cluster's network themselves: a list with one of them is not the cluster's own. */
const META_TYPES = new Set(['multi-network', 'multus', 'multus-shim', 'kactus']);

/** The cluster's own list in the folder: by its file's name, and as a runtime reads it. */
export type ClusterList = { readonly file: string; readonly list: NetworkList };

/**
 * The list that a runtime would use if no meta plugin were there; undefined if there is none that can be read. A file that
 * is half written is passed over, as runtimes do, and comes at the next look.
 */
export function clusterListIn(folder: string): ClusterList | undefined {
  for (const file of namesIn(folder)) {
    const list = readList(join(folder, file));
    if (list !== undefined && !list.plugins.some(({ type }) => META_TYPES.has(type))) return { file, list };
  }
  return undefined;
}

/**
 * The text of our list in front of a cluster's. It names that by its path on the node, so that changes of its content need
 * no other list, and asks the runtime for the capabilities that its plugins have.
 */
export function frontListText({ file, list }: ClusterList, folderOnNode: string): string {
  const capabilities = Object.assign({}, ...list.plugins.map(capabilitiesOf)) as JsonObject;
  const plugin = {
    type: 'multi-network',
    clusterNetwork: join(folderOnNode, file),
    ...(Object.keys(capabilities).length > 0 && { capabilities }),
  };
  const { cniVersion, disableCheck } = list;
  const document = { cniVersion, name: 'waymark', ...(disableCheck && { disableCheck }), plugins: [plugin] };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

function capabilitiesOf({ capabilities }: JsonObject): JsonObject {
  if (!isJsonObject(capabilities)) return {};
  return Object.fromEntries(Object.entries(capabilities).filter(([, isWanted]) => isWanted === true));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => EXTENSIONS.includes(extname(name)) && name !== FRONT_LIST)
      .sort();
  } catch {
    // The folder is made by whoever brings the cluster's network.
    return [];
  }
}

function readList(path: string): NetworkList | undefined {
  try {
    return parseNetworkFile(path, readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof RuntimeError || (error as NodeJS.ErrnoException).code !== undefined) return undefined;
    throw error;
  }
}
