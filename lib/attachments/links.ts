import type { JsonObject } from '../cni/json.ts';
import { listAllAddresses } from '../netlink/address.ts';
import { findDefaultRoutes } from '../netlink/default-routes.ts';
import { DumpTooLarge } from '../netlink/errors.ts';
import { listLinks } from '../netlink/link.ts';
import { RT_SCOPE_UNIVERSE } from '../netlink/route.ts';
import { RouteSocket } from '../netlink/socket.ts';
import { isSameNamespace, type Namespace, OWN_NAMESPACE, openNamespace } from '../netns/netns.ts';
import { linksOf } from './caches.ts';

/** A link of the pod's, as the kernel has it. Addresses are the lasting ones that are not of the link only. */
export type PodLink = {
  readonly name: string;
  readonly altnames: readonly string[];
  readonly mac?: string;
  readonly mtu: number;
  readonly addresses: readonly string[];
};

/**
 * The links in a namespace; without their addresses it is faster. Throws NamespaceError and NetlinkError, and an Error if it is
 * the node's own: a pod on the node's network must never be taken for one of its own.
 */
export function linksIn(path: string, isWithAddresses = true): PodLink[] {
  return inside(path, (socket) => {
    const links = listLinks(socket);
    const all = isWithAddresses ? listAllAddresses(socket) : [];
    const lasting = all.filter(({ scope, permanent }) => scope === RT_SCOPE_UNIVERSE && permanent);
    return links.map(({ index, name, altnames, mac, mtu }) => ({
      name,
      altnames,
      ...(mac !== undefined && { mac }),
      mtu,
      addresses: lasting.filter(({ link }) => link === index).map(({ prefix }) => prefix.address),
    }));
  });
}

/** A pod with more routes than this has others than we gave it. */
const TABLE_BYTES = 1 << 20;

/**
 * The gateways of the default routes that a namespace uses, by the link's name; undefined if its table is too large to be
 * read. Throws as `linksIn`.
 */
export function gatewaysIn(path: string): ReadonlyMap<string, readonly string[]> | undefined {
  try {
    return inside(path, (socket) => {
      const names = new Map(listLinks(socket).map(({ index, name }) => [index, name]));
      const hops = ([4, 6] as const).flatMap((family) => findDefaultRoutes(socket, family).flatMap(({ hops }) => hops));
      const byName = Map.groupBy(hops, ({ oif }) => names.get(oif) ?? '');
      return new Map([...byName].map(([name, own]) => [name, own.flatMap(({ gw }) => gw ?? [])]));
    });
  } catch (error) {
    if (error instanceof DumpTooLarge) return undefined;
    throw error;
  }
}

function inside<T>(path: string, look: (socket: RouteSocket) => T): T {
  const namespace = openNamespace(path);
  try {
    if (isOwn(namespace)) throw new Error(`${path} is the node's own network namespace`);
    const socket = RouteSocket.open(namespace, { dumpBytes: TABLE_BYTES });
    try {
      return look(socket);
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
