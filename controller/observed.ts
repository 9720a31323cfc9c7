import { listAddresses } from '../lib/netlink/address.ts';
import { listLinks } from '../lib/netlink/link.ts';
import { RT_SCOPE_UNIVERSE } from '../lib/netlink/route.ts';
import { RouteSocket } from '../lib/netlink/socket.ts';
import { isSameNamespace, type Namespace, OWN_NAMESPACE, openNamespace } from '../lib/netns/netns.ts';
import { type CachedCall, linksOf, requestOf } from './caches.ts';
import type { JsonObject } from './json.ts';
import type { SandboxRecord } from './records.ts';
import type { Attachment, Observed } from './steps.ts';

/** A link of the pod's, as the kernel has it. Addresses are the lasting ones that are not of the link only. */
export type PodLink = {
  readonly name: string;
  readonly altnames: readonly string[];
  readonly mac?: string;
  readonly mtu: number;
  readonly addresses: readonly string[];
};

/**
 * The links in a namespace. Throws NamespaceError and NetlinkError, and an Error if it is the node's own: a pod on the
 * node's network must never be taken for one of its own.
 */
export function linksIn(path: string): PodLink[] {
  const namespace = openNamespace(path);
  try {
    if (isOwn(namespace)) throw new Error(`${path} is the node's own network namespace`);
    const socket = RouteSocket.open(namespace);
    try {
      return listLinks(socket).map(({ index, name, altnames, mac, mtu }) => ({
        name,
        altnames,
        ...(mac !== undefined && { mac }),
        mtu,
        addresses: listAddresses(socket, index)
          .filter(({ scope, permanent }) => scope === RT_SCOPE_UNIVERSE && permanent)
          .map(({ prefix }) => prefix.address),
      }));
    } finally {
      socket.close();
    }
  } finally {
    namespace.close();
  }
}

function isOwn(namespace: Namespace): boolean {
  const own = openNamespace(OWN_NAMESPACE);
  try {
    return isSameNamespace(own, namespace);
  } finally {
    own.close();
  }
}

/** The link of this name or altname. */
export function linkNamed(links: readonly PodLink[], name: string): PodLink | undefined {
  return links.find((link) => link.name === name) ?? links.find(({ altnames }) => altnames.includes(name));
}

/** The names of an attachment's links: by its result; of one that names none, the interface itself if it is there. */
export function linkNames(ifname: string, result: JsonObject | undefined, links: readonly PodLink[]): string[] {
  const names = linksOf(result);
  const hasNone = names.length === 0 && result !== undefined && linkNamed(links, ifname) !== undefined;
  return hasNone ? [ifname] : names;
}

/** What somebody knows of a sandbox: our record, the status' entries, and the caches of whoever set the pod up. */
export type Known = {
  readonly record: SandboxRecord | undefined;
  readonly entries: readonly JsonObject[];
  readonly cached: () => readonly CachedCall[];
};

/** What is in the pod, as far as it can be somebody's attachment. Pure, but for the caches, which are read if needed. */
export function observedOf(links: readonly PodLink[], { record, entries, cached }: Known): Observed {
  const own = (record?.attachments ?? []).map(({ ifname, network, state, request, keepMac, result }): Attachment => {
    const names = linkNames(ifname, result, links);
    const mac = state === 'attached' ? macOf(links, names) : keepMac;
    return {
      ifname,
      network,
      origin: 'own',
      state,
      links: names,
      isBroken: isLost(links, names),
      request,
      ...(mac !== undefined && { mac }),
    };
  });
  const names = links.flatMap(({ name, altnames }) => [name, ...altnames]);
  return { attachments: [...own, ...birthAttachments(links, own, entries, cached)], names };
}

/** Whose network an entry of the status is of: `namespace/name` of a definition. */
const DEFINITION = /^[a-z0-9][-a-z0-9]*\/[a-z0-9][-a-z0-9.]*$/;

/**
 * Is this entry about an attachment by a definition? Those of the default network, of node-wide networks and of others
 * who write into the status are not, and are left alone.
 */
export function isOfDefinition(entry: JsonObject): entry is JsonObject & { name: string; interface: string } {
  const { name, interface: ifname } = entry;
  return (
    entry.default !== true &&
    typeof name === 'string' &&
    DEFINITION.test(name) &&
    typeof ifname === 'string' &&
    ifname !== 'eth0' &&
    ifname !== 'lo'
  );
}

function birthAttachments(
  links: readonly PodLink[],
  own: readonly Attachment[],
  entries: readonly JsonObject[],
  cached: Known['cached'],
): Attachment[] {
  const taken = new Set(own.flatMap((attachment) => [attachment.ifname, ...attachment.links]));
  const protectedNames = entries.flatMap((entry) => (entry.default === true ? [entry.interface] : []));
  const found = new Map<string, Attachment>();
  const candidates = entries.filter(isOfDefinition).filter((entry) => !taken.has(entry.interface));
  for (const entry of candidates) {
    if (protectedNames.includes(entry.interface)) continue;
    const call = cached().find(({ input, result }) => {
      return input.ifname === entry.interface || linksOf(result).includes(entry.interface);
    });
    const ifname = call?.input.ifname ?? entry.interface;
    if (taken.has(ifname) || found.has(ifname) || protectedNames.includes(ifname)) continue;
    const link = linkNamed(links, entry.interface);
    // Neither a cache nor the kernel knows of it: the status is out of date.
    if (call === undefined && link === undefined) continue;
    const names = call === undefined ? [entry.interface] : linksOf(call.result);
    const mac = macOf(links, names);
    found.set(ifname, {
      ifname,
      network: entry.name,
      origin: 'birth',
      state: 'attached',
      links: names,
      isBroken: isLost(links, names),
      ...(call !== undefined ? { request: requestOf(call) } : { addresses: link?.addresses ?? [] }),
      ...(mac !== undefined && { mac }),
    });
  }
  return [...found.values()];
}

// A plugin that renames may leave its first name in the result; one link that is there is enough.
function isLost(links: readonly PodLink[], names: readonly string[]): boolean {
  return names.length > 0 && names.every((name) => linkNamed(links, name) === undefined);
}

function macOf(links: readonly PodLink[], names: readonly string[]): string | undefined {
  return names.map((name) => linkNamed(links, name)?.mac).find((mac) => mac !== undefined);
}
