import { linkNamed, linkNames, linksIn, type PodLink } from '../lib/attachments/links.ts';
import { type Pod, podKey } from '../lib/attachments/pod.ts';
import type { PathOf } from '../lib/cni/place.ts';
import type { Sandbox } from '../lib/cri/runtime-service.ts';
import type { SandboxRecord } from './records.ts';

/** What a record is compared with. */
export type Present = {
  /** The sandboxes of the node. */
  readonly sandboxes: readonly Sandbox[];
  readonly podOf: (key: string) => Pod | undefined;
  readonly pathOf: PathOf;
};

/**
 * Must somebody look at the pod of this record? Its sandbox or the pod has ended, something is not finished, or an attachment
 * has lost its interface. It costs a fraction of looking at the pod.
 */
export function isAmiss({ containerID, netns, pod: of, attachments }: SandboxRecord, present: Present): boolean {
  const pod = present.podOf(podKey(of));
  const isReady = present.sandboxes.some(({ id, isReady }) => isReady && id === containerID);
  if (!isReady || !pod?.isRunning || pod.sandboxUid !== of.uid) return true;
  if (attachments.some(({ state }) => state !== 'attached')) return true;
  let links: readonly PodLink[];
  try {
    links = linksIn(present.pathOf(netns), false);
  } catch {
    // Whoever looks at the pod says what is wrong.
    return true;
  }
  return attachments.some(({ ifname, result }) => {
    const names = linkNames(ifname, result, links);
    return names.length > 0 && names.every((name) => linkNamed(links, name) === undefined);
  });
}
