import { CniCode, CniError } from '../cni/errors.ts';
import type { Request } from '../cni/request.ts';
import type { Result, ResultInterface, ResultIp } from '../cni/result.ts';
import type { Link } from '../netlink/link.ts';
import type { Observation } from '../observation/observation.ts';

/** The interface that an unchained plugin works on if its config names none. */
const DEFAULT_INTERFACE = 'eth0';

/**
 * Which link is the attachment's?
 *
 * `wanted` is the one that the config names. Otherwise it is the interface of `prevResult` in the pod's sandbox that is
 * named CNI_IFNAME, else the only one in that sandbox, else CNI_IFNAME itself. Without a `prevResult` (the plugin is alone
 * in its list) it is CNI_IFNAME if the namespace has it, else `eth0`.
 *
 * Throws CniError 100, with the namespace's links, if it has no such link.
 */
export function attachmentLink(
  request: Pick<Request, 'ifname' | 'netns'>,
  wanted: string | undefined,
  previous: Result | undefined,
  observed: Observation,
): Link {
  const name = attachmentName(request, wanted, previous, observed);
  return linkOrError(name, observed, wanted === undefined ? undefined : 'interface');
}

/** The name that `attachmentLink` looks for: the one by which the earlier plugins know the link. */
export function attachmentName(
  request: Pick<Request, 'ifname' | 'netns'>,
  wanted: string | undefined,
  previous: Result | undefined,
  observed: Observation,
): string {
  return wanted ?? nameInResult(request, previous, observed) ?? nameWithoutResult(request, previous, observed);
}

/** The link with this name or altname. Throws CniError 100, with the `path` of the config that names it, if one does. */
export function linkOrError(name: string, observed: Observation, path?: string): Link {
  const link = observed.linkNamed(name);
  if (link !== undefined) return link;
  const names = observed.links().map((present) => present.name);
  const details = `the pod has ${names.join(', ')}`;
  const where = path === undefined ? '' : `${path}: `;
  throw new CniError(CniCode.noInterface, `${where}the pod has no interface "${name}"`, { details });
}

/** The links of the pod that a result lists. */
export function resultLinks(
  { netns }: Pick<Request, 'netns'>,
  previous: Result | undefined,
  observed: Observation,
): Link[] {
  const links = inSandbox(netns, previous).flatMap(({ name }) => observed.linkNamed(name) ?? []);
  return [...new Set(links)];
}

/** The addresses of a link in a result: those that point at it, and those that point at no interface. */
export function resultIpsOf(link: Link, previous: Result | undefined): ResultIp[] {
  const interfaces = previous?.interfaces ?? [];
  return (previous?.ips ?? []).filter((ip) => {
    const name = ip.interface === undefined ? undefined : interfaces[ip.interface]?.name;
    return name === undefined || name === link.name || link.altnames.includes(name);
  });
}

function nameInResult(
  { ifname, netns }: Pick<Request, 'ifname' | 'netns'>,
  previous: Result | undefined,
  observed: Observation,
): string | undefined {
  const candidates = inSandbox(netns, previous);
  const named = candidates.find(({ name }) => name === ifname);
  // A link can have two entries: by its name, and by an altname.
  const links = new Set(candidates.map(({ name }) => observed.linkNamed(name)?.index ?? name));
  const only = links.size === 1 ? candidates[0] : undefined;
  return (named ?? only)?.name;
}

// An interface with a sandbox is in a container. The path only counts if it is the pod's for any of them: a runtime may
// give the same namespace another path by now.
function inSandbox(netns: string, previous: Result | undefined): ResultInterface[] {
  const inSandboxes = (previous?.interfaces ?? []).filter(({ sandbox }) => sandbox !== undefined && sandbox !== '');
  const exact = inSandboxes.filter(({ sandbox }) => sandbox === netns);
  return exact.length > 0 ? exact : inSandboxes;
}

function nameWithoutResult(
  { ifname }: { ifname: string },
  previous: Result | undefined,
  observed: Observation,
): string {
  const isUnchained = previous === undefined;
  return isUnchained && observed.linkNamed(ifname) === undefined ? DEFAULT_INTERFACE : ifname;
}
