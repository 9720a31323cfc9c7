import { dirname } from 'node:path';
import { cachedCalls } from '../lib/attachments/caches.ts';
import { networkFromRecord } from '../lib/attachments/delegates.ts';
import { NetworkError, networkOf } from '../lib/attachments/network.ts';
import type { UpdatingKeys } from '../lib/attachments/steps.ts';
import { attachmentArgs, commonKeys } from '../lib/cni/config.ts';
import { isJsonObject, type JsonObject } from '../lib/cni/json.ts';
import type { PathOf } from '../lib/cni/place.ts';
import { meantBy } from '../lib/cni/spelling.ts';
import type { KubeObject } from '../lib/kubernetes/object.ts';
import type { Observation } from '../lib/observation/observation.ts';
import { type Updatable, updatableTypes } from '../lib/plugin/update-list.ts';
import type { CachedAttachment } from '../lib/runtime/cache.ts';
import type { AttachmentInput } from '../lib/runtime/derive.ts';
import { RuntimeError } from '../lib/runtime/errors.ts';
import type { NetworkList, PluginConfig } from '../lib/runtime/network.ts';
import type { Looked } from './look.ts';
import type { NodeReader } from './node-state.ts';
import type { SandboxRecord } from './records.ts';

/** The interface of the cluster's own network. */
const PRIMARY = 'eth0';

/** An attachment whose routes follow where they come from. */
export type Followed = {
  readonly ifname: string;
  /** `namespace/name` of its definition; undefined: it has none, as the cluster's own network. */
  readonly network: string | undefined;
  /** The list as it was applied last. */
  readonly list: NetworkList;
  readonly input: AttachmentInput;
  readonly result: JsonObject;
  /** What the annotation says now; of what it does not select, what was asked for. */
  readonly cniArgs: JsonObject | undefined;
  /** The folder of results that has it, in libcni's format; undefined: our own record does. */
  readonly cache: { readonly folder: string; readonly isSingle: boolean } | undefined;
};

/** The attachments of a pod that have plugins which can be updated: by our record, and by what others cached. */
export function followedIn(
  { containerID, netns, observed, plan }: Looked,
  record: SandboxRecord,
  updatable: Updatable,
  folders: readonly string[],
  pathOf: PathOf,
): Followed[] {
  const selected = new Map(plan.order.map(({ ifname, selection }) => [ifname, selection]));
  const argsOf = (ifname: string, made: JsonObject | undefined) => {
    const selection = selected.get(ifname);
    return selection === undefined ? made : selection.request.cniArgs;
  };
  const own = record.attachments.flatMap(({ ifname, network, state, request, call, result }): Followed[] => {
    if (state !== 'attached' || call === undefined || result === undefined) return [];
    const { input } = call;
    const cniArgs = argsOf(ifname, request.cniArgs);
    return [{ ifname, network, list: networkFromRecord(call.list), input, result, cniArgs, cache: undefined }];
  });
  const detached = new Set(plan.steps.filter(({ kind }) => kind === 'detach').map(({ ifname }) => ifname));
  const taken = new Set(record.attachments.map(({ ifname }) => ifname));
  const born = folders.flatMap((results) =>
    cachedCalls(containerID, [results], pathOf).flatMap(({ input, config, result }): Followed[] => {
      const { ifname } = input;
      const list = readable(config);
      if (taken.has(ifname) || list === undefined) return [];
      const known = observed.attachments.find((attachment) => attachment.ifname === ifname);
      // Others leave in their caches what was detached since; of the cluster's own network, the status may say nothing.
      if (detached.has(ifname) || (known === undefined && ifname !== PRIMARY)) return [];
      const cache = { folder: dirname(results), isSingle: config.plugins === undefined };
      const cniArgs = argsOf(ifname, known?.request?.cniArgs);
      return [{ ifname, network: known?.network, list, input: { ...input, netns }, result, cniArgs, cache }];
    }),
  );
  return [...own, ...born].filter(({ list }) => updatableTypes(list, updatable).length > 0);
}

/**
 * The list that an attachment should have by its definition as it is now: as it was made, but for the plugins that can be
 * updated. What the definition says about the others reaches new pods only. Throws NetworkError if the definition has other
 * plugins, or cannot be read, and RuntimeError.
 */
export function wantedList(
  { list, cniArgs }: Pick<Followed, 'list' | 'cniArgs'>,
  definition: KubeObject,
  updatable: Updatable,
): NetworkList {
  // Its config is a file of the node, which Multus has read.
  if (isJsonObject(definition.spec) && !definition.spec.config) return list;
  const now = parsedOf(definition, cniArgs);
  const types = ({ plugins }: NetworkList) => plugins.map(({ type }) => type).join(', ');
  if (types(now) !== types(list)) {
    throw new NetworkError(
      `its plugins are ${types(now)} now, and were ${types(list)}: only their configs can be updated; recreate the pod`,
    );
  }
  const plugins = list.plugins.map((plugin, index) =>
    updatable.has(plugin.type) ? (now.plugins[index] ?? plugin) : plugin,
  );
  return { ...list, plugins, source: JSON.stringify({ ...JSON.parse(list.source), plugins }) };
}

// Many pods have the same, and few have arguments of their own.
const MAX_PARSED = 64;
const parsed = new WeakMap<KubeObject, Map<string, NetworkList>>();

function parsedOf(definition: KubeObject, cniArgs: JsonObject = {}): NetworkList {
  const known = parsed.get(definition) ?? new Map<string, NetworkList>();
  const args = JSON.stringify(cniArgs);
  const found = known.get(args);
  if (found !== undefined) return found;
  const list = networkOf(definition, cniArgs);
  if (known.size >= MAX_PARSED) known.clear();
  parsed.set(definition, known.set(args, list));
  return list;
}

/** What a plugin of a list is told for a key: `args.cni` comes before the config. */
export function keyOf(plugin: PluginConfig, key: string): unknown {
  return attachmentArgs(plugin)[key] ?? plugin[key];
}

/** The plugins of a list that follow edits: all that can, unless one of their entries says by `reconcile` that it does not. */
export function followingTypes(list: NetworkList, updatable: Updatable): string[] {
  const isFollowing = (plugin: PluginConfig) => !['heal', 'off'].includes(String(keyOf(plugin, 'reconcile')));
  return updatableTypes(list, updatable).filter((type) =>
    list.plugins.filter((plugin) => plugin.type === type).every(isFollowing),
  );
}

/** The files of the node that these plugins of a list read. */
export function filesOf({ plugins }: NetworkList, types: readonly string[], updatable: Updatable): string[] {
  const paths = plugins.flatMap((plugin) => {
    const keys = types.includes(plugin.type) ? (updatable.get(plugin.type)?.fileKeys ?? []) : [];
    return keys.map((key) => plugin[key]).filter((path): path is string => typeof path === 'string');
  });
  return [...new Set(paths)];
}

/** What of the node these plugins of a list depend on; undefined: none of them does. */
export function nodeReaderOf(
  { plugins }: NetworkList,
  types: readonly string[],
  updatable: Updatable,
): NodeReader | undefined {
  const read = plugins.flatMap((plugin) => {
    const nodeState = types.includes(plugin.type) ? updatable.get(plugin.type)?.nodeState : undefined;
    const document = { ...plugin, ...attachmentArgs(plugin) };
    return nodeState === undefined ? [] : (host: Observation) => nodeState(document, host);
  });
  if (read.length === 0) return undefined;
  return (host) => {
    const texts = read.flatMap((each) => each(host) ?? []);
    return texts.length === 0 ? undefined : texts.join('; ');
  };
}

/**
 * The keys of `cni-args` whose edits need no swap of a list with these plugins; undefined if none of them can be updated. Those
 * that a pod's author must not set are among them, and what looks like a misspelling: the update is refused, and the interface
 * stays.
 */
export function keysUpdating(types: readonly string[], updatable: Updatable): UpdatingKeys | undefined {
  const keys = types.flatMap((type) => updatable.get(type)?.updatedBy ?? []);
  if (keys.length === 0) return undefined;
  const ours = [...Object.keys(commonKeys), ...keys];
  // A key that none of ours knows may be one that another plugin of the list reads, and only its ADD brings that about.
  const hasOthers = types.some((type) => !updatable.has(type));
  return { has: (key) => !hasOthers || meantBy(key, ours) !== undefined };
}

/** The config as whoever cached it wrote it: one plugin, or a list. */
export function sourceFor({ plugins, source, name, cniVersion }: NetworkList, isSingle: boolean): string {
  const [only] = plugins;
  return isSingle && plugins.length === 1 ? JSON.stringify({ ...only, name, cniVersion }) : source;
}

function readable(config: NonNullable<CachedAttachment['config']>): NetworkList | undefined {
  try {
    return networkFromRecord(config);
  } catch (error) {
    if (error instanceof RuntimeError) return undefined;
    throw error;
  }
}
