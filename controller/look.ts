import { type BirthAttachment, ownBirthAttachments } from '../lib/attachments/birth-record.ts';
import { CACHE_FOLDERS, type CachedCall, cachedCalls } from '../lib/attachments/caches.ts';
import { furtherSelectionsOf } from '../lib/attachments/kactus.ts';
import { gatewaysIn, linksIn, type PodLink } from '../lib/attachments/links.ts';
import type { Pod } from '../lib/attachments/pod.ts';
import { isolated } from '../lib/attachments/selection.ts';
import { parseStatus } from '../lib/attachments/status.ts';
import {
  type InterfaceNames,
  type Observed,
  type Plan,
  planSteps,
  type UpdatingKeys,
} from '../lib/attachments/steps.ts';
import type { PathOf } from '../lib/cni/place.ts';
import type { Sandbox } from '../lib/cri/runtime-service.ts';
import type { KnownSandboxes } from './known-sandboxes.ts';
import { observedOf } from './observed.ts';
import type { SandboxRecord } from './records.ts';

export type LookOptions = {
  readonly sandboxes: Pick<KnownSandboxes, 'networkNamespace'>;
  readonly pathOf: PathOf;
  /** See `isolationProblem`. */
  readonly globalNamespaces: ReadonlySet<string> | undefined;
  readonly cacheFolders?: readonly string[];
  readonly interfaceNames?: InterfaceNames;
  readonly recordOf: (sandboxed: Sandboxed) => SandboxRecord;
  /** See `Known`. */
  readonly updatedBy?: (types: readonly string[]) => UpdatingKeys | undefined;
};

type Observing = Pick<LookOptions, 'recordOf' | 'pathOf' | 'cacheFolders' | 'updatedBy'>;

/** A pod with its sandbox. `netns` is the node's path. */
export type Sandboxed = { readonly pod: Pod; readonly containerID: string; readonly netns: string };

/** A pod with its sandbox, and what is known of it elsewhere. */
export type View = Sandboxed & { readonly cached: () => readonly CachedCall[] };

/** A pod with what it holds, and what is to be done. */
export type Looked = View & { readonly observed: Observed; readonly plan: Plan };

/**
 * What a running pod holds, and which steps make it hold what its annotation selects. Reads only. undefined if the runtime
 * has no sandbox for it, yet or any more. Throws GrpcError, NamespaceError and NetlinkError.
 */
export async function lookAt(options: LookOptions, pod: Pod, found: readonly Sandbox[]): Promise<Looked | undefined> {
  const { sandboxes, pathOf, globalNamespaces, cacheFolders = CACHE_FOLDERS, interfaceNames } = options;
  const sandbox = found.filter(({ isReady }) => isReady).toSorted((a, b) => b.attempt - a.attempt)[0];
  const netns = sandbox && (await sandboxes.networkNamespace(sandbox));
  if (sandbox === undefined || netns === undefined) return undefined;
  let calls: readonly CachedCall[] | undefined;
  const cached = () => (calls ??= cachedCalls(sandbox.id, cacheFolders, pathOf));
  const view = { pod, containerID: sandbox.id, netns, cached };
  const gateways = pod.networks?.includes('default-route') ? gatewaysIn(pathOf(netns)) : undefined;
  const observed = observe(options, view, linksIn(pathOf(netns)), gateways);
  const selections = isolated(furtherSelectionsOf(pod), pod.namespace, globalNamespaces);
  return { ...view, observed, plan: planSteps(selections, observed, interfaceNames) };
}

/** What is in the pod, given its links. */
export function observe(
  { recordOf, pathOf, cacheFolders = CACHE_FOLDERS, updatedBy }: Observing,
  view: View,
  links: readonly PodLink[],
  gateways?: ReadonlyMap<string, readonly string[]>,
): Observed {
  const { pod, cached, containerID } = view;
  let born: readonly BirthAttachment[] | undefined;
  const atBirth = (name: string) => {
    born ??= ownBirthAttachments(containerID, cacheFolders, pathOf);
    return born.find(({ ifname }) => ifname === name)?.request;
  };
  const entries = parseStatus(pod.status) ?? [];
  const known = { record: recordOf(view), entries, cached, atBirth, gateways };
  return observedOf(links, { ...known, ...(updatedBy && { updatedBy }) });
}
