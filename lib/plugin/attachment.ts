import { CniCode, CniError } from '../cni/errors.ts';
import type { Request } from '../cni/request.ts';
import type { Result, ResultIp } from '../cni/result.ts';
import type { Link } from '../netlink/link.ts';
import type { Observation } from '../observation/observation.ts';

/** The interface that an unchained plugin works on unless its config names one. */
const DEFAULT_INTERFACE = 'eth0';

/**
 * Which link is the attachment's?
 *
 * `wanted` is the config's. Else it is the interface of the previous result in the pod's sandbox that bears
 * CNI_IFNAME, else the only one in that sandbox, else CNI_IFNAME itself. Without a previous result (the plugin is in a
 * list of its own) CNI_IFNAME if the namespace has it, else `eth0`.
 *
 * Throws CniError 100, with the links that there are, if the namespace has no such link.
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

/** The name that `attachmentLink` looks for: the one that the plugins in front know the link by. */
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

/** The addresses that a result has for a link: those that point at it, and those that point nowhere. */
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
  // An interface with a sandbox is in a container; the path is compared too, where it can be.
  const inSandboxes = (previous?.interfaces ?? []).filter(({ sandbox }) => sandbox !== undefined && sandbox !== '');
  const exact = inSandboxes.filter(({ sandbox }) => sandbox === netns);
  const candidates = exact.length > 0 ? exact : inSandboxes;
  const named = candidates.find(({ name }) => name === ifname);
  // A link can be there by its name and by an altname.
  const links = new Set(candidates.map(({ name }) => observed.linkNamed(name)?.index ?? name));
  const only = links.size === 1 ? candidates[0] : undefined;
  return (named ?? only)?.name;
}

function nameWithoutResult(
  { ifname }: { ifname: string },
  previous: Result | undefined,
  observed: Observation,
): string {
  const isUnchained = previous === undefined;
  return isUnchained && observed.linkNamed(ifname) === undefined ? DEFAULT_INTERFACE : ifname;
}
