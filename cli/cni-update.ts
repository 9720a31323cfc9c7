import { isDeepStrictEqual } from 'node:util';
import type { Variables } from '../lib/cni/request.ts';
import { updatableTypes, updateList } from '../lib/plugin/update-list.ts';
import { type CachedAttachment, cacheResult } from '../lib/runtime/cache.ts';
import type { AttachmentInput } from '../lib/runtime/derive.ts';
import { RuntimeError } from '../lib/runtime/errors.ts';
import { attachmentsIn, CACHE_DIRS } from '../lib/runtime/find-attachment.ts';
import { type NetworkList, parseNetwork } from '../lib/runtime/network.ts';
import { UPDATABLE } from '../plugins/index.ts';

/** Where results are cached, if not in the usual folders; the environment of the command; and what takes the log. */
export type UpdateOptions = {
  readonly cacheDir?: string | undefined;
  readonly env: Variables;
  readonly log: (text: string) => void;
};

/**
 * Brings an attachment that is running to what its list says now: of our plugins that make routes, only what differs is
 * changed; the others are not called, and must be as they were. All of it or nothing. Caches list and result, and returns
 * the result. Throws RuntimeError.
 */
export async function updateAttachment(
  list: NetworkList,
  { netns, ifname }: Pick<AttachmentInput, 'netns' | 'ifname'>,
  { cacheDir, ...outside }: UpdateOptions,
): Promise<object> {
  const { folder, cached } = findIn(cacheDir === undefined ? CACHE_DIRS : [cacheDir], list, netns, ifname);
  const { input, result } = cached;
  const before = listOf(cached, list);
  assertUpdatable(before, list);
  const types = updatableTypes(list, UPDATABLE);
  const updated = await updateList({ updatable: UPDATABLE, types, before, after: list, input, result, outside });
  cacheResult(folder, list, input, updated);
  return updated;
}

// Whoever made it: libcni in a runtime, Multus, cnitool or ourselves.
function findIn(folders: readonly string[], { name }: NetworkList, netns: string, ifname: string) {
  for (const folder of folders) {
    const cached = attachmentsIn(netns, name, [folder]).find(({ input }) => input.ifname === ifname);
    if (cached !== undefined) return { folder, cached: { ...cached, input: { ...cached.input, netns } } };
  }
  throw new RuntimeError(`network "${name}" is not attached to ${netns} as ${ifname}`);
}

function listOf({ config }: CachedAttachment, { name }: NetworkList): NetworkList {
  if (config === undefined) throw new RuntimeError(`the cached config of network "${name}" cannot be read`);
  const plugins = config.plugins === undefined ? { ...config, plugins: [config] } : config;
  return parseNetwork(plugins, `the cached config of network "${name}"`);
}

// Nobody can say what another plugin would have to do differently.
function assertUpdatable(before: NetworkList, after: NetworkList): void {
  const others = ({ plugins }: NetworkList) => plugins.filter(({ type }) => !UPDATABLE.has(type));
  const types = [...UPDATABLE.keys()].join(' and ');
  if (!isDeepStrictEqual(others(before), others(after))) {
    throw new RuntimeError(`only ${types} can be updated on a running pod, and another plugin of the list has changed`);
  }
  const [had, has] = [updatableTypes(before, UPDATABLE), updatableTypes(after, UPDATABLE)];
  const changed = [...had, ...has].find((type) => !had.includes(type) || !has.includes(type));
  if (changed !== undefined) {
    throw new RuntimeError(`${changed} cannot come to a running pod, or go from it; leave it in, with nothing to add`);
  }
}
