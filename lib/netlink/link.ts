import { FlagsNew } from 'netlink/dist/constants.js';
import { formatLink, __LENGTH_Link as IFINFOMSG_BYTES, MessageType } from 'netlink/dist/rt/gen_structs.js';
import { getString, getU32, type NetlinkMessage, putString, readS32, readU32 } from 'netlink/dist/structs.js';
import { NetlinkError } from './errors.ts';
import { attributesOf, payloadOf, type Request } from './message.ts';
import type { RouteSocket } from './socket.ts';

/** A network interface, as `ip -j -d link` shows it. `mac` is absent if the link has no address. */
export type Link = {
  index: number;
  name: string;
  altnames: string[];
  mtu: number;
  mac?: string;
  up: boolean;
  /** Can it send: is the cable plugged in, the other end of a veth pair up (IFF_LOWER_UP)? */
  carrier: boolean;
  loopback: boolean;
  /** The driver, as `veth`; absent for physical devices. */
  kind?: string;
  /** The index of the bridge, VRF or the like that it is a port of. */
  master?: number;
  /** The routing table of a VRF device, which the routes of its ports are in. */
  vrfTable?: number;
};

/** A link of which only the name and the index are known: taken for an Ethernet link that is up. */
export function plainLink(name: string, index: number): Link {
  return { index, name, altnames: [], mtu: 1500, up: true, carrier: true, loopback: false };
}

// linux/if_link.h. netlink's parseLinkAttrs is not used: it fails on the statistics of kernels newer than itself.
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_EXT_MASK = 29;
const IFLA_PROP_LIST = 52;
const IFLA_ALT_IFNAME = 53;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_VRF_TABLE = 1;
const NLA_F_NESTED = 1 << 15;
const RTEXT_FILTER_SKIP_STATS = 1 << 3;

/** What is read of a link. */
const WANTED = new Set([IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_PROP_LIST]);

/** Where struct ifinfomsg has them, and some of the flags (linux/if.h). */
const INDEX_OFFSET = 4;
const FLAGS_OFFSET = 8;
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_LOWER_UP = 0x10000;

/** The kernel takes a name of at most 15 bytes (IFNAMSIZ) or an altname of at most 127 (ALTIFNAMSIZ). */
const IFNAMSIZ = 16;

/** Every link of the namespace, in the kernel's order. Throws NetlinkError. */
export function listLinks(socket: RouteSocket): Link[] {
  const payload = payloadOf((out) => {
    out.emit(formatLink({}));
    out.pushU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  });
  return socket
    .dump('list links', { type: MessageType.GETLINK, flags: 0, payload })
    .flatMap((message) => decodeLink(message) ?? []);
}

/** The link with this name, altname or index; undefined if there is none. Throws NetlinkError. */
export function findLink(socket: RouteSocket, wanted: string | number): Link | undefined {
  const payload = payloadOf((out) => {
    out.emit(formatLink(typeof wanted === 'number' ? { index: wanted } : {}));
    if (typeof wanted === 'string') out.push(nameAttribute(wanted), putString(wanted));
    out.pushU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  });
  try {
    const request = { type: MessageType.GETLINK, flags: 0, payload };
    return decodeLink(socket.get(`look up link ${wanted}`, request));
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'ENODEV') return undefined;
    throw error;
  }
}

/** A request to rename a link. Refused with EEXIST if the name is taken; with EBUSY, before Linux 6.2, if the link is up. */
export function renameLinkRequest({ link, name }: { link: number; name: string }): Request {
  const payload = payloadOf((out) => {
    out.emit(formatLink({ index: link }));
    out.push(IFLA_IFNAME, putString(name));
  });
  return { type: MessageType.SETLINK, flags: 0, payload };
}

/** A request to take a link up or down. */
export function setLinkUpRequest({ link, up }: { link: number; up: boolean }): Request {
  const payload = payloadOf((out) =>
    out.emit(formatLink({ index: link, flags: up ? { up } : {}, change: { up: true } })),
  );
  return { type: MessageType.SETLINK, flags: 0, payload };
}

/** A request to add an altname to a link. Refused with EEXIST if it is a name or an altname of any link. */
export function addAltnameRequest({ link, name }: { link: number; name: string }): Request {
  const flags = FlagsNew.CREATE | FlagsNew.EXCL | FlagsNew.APPEND;
  return { type: MessageType.NEWLINKPROP, flags, payload: altnamePayload(link, name) };
}

/** A request to delete an altname of a link. Refused with ENOENT or EINVAL if the link has no such altname. */
export function deleteAltnameRequest({ link, name }: { link: number; name: string }): Request {
  return { type: MessageType.DELLINKPROP, flags: 0, payload: altnamePayload(link, name) };
}

function altnamePayload(link: number, name: string): Uint8Array {
  return payloadOf((out) => {
    out.emit(formatLink({ index: link }));
    out.push(
      IFLA_PROP_LIST | NLA_F_NESTED,
      payloadOf((list) => list.push(IFLA_ALT_IFNAME, putString(name))),
    );
  });
}

/** Reads an RTM_NEWLINK; undefined for other messages. */
export function decodeLink(message: NetlinkMessage): Link | undefined {
  if (message.type !== MessageType.NEWLINK) return undefined;
  const flags = readU32.call(message.data, FLAGS_OFFSET);
  const link: Link = {
    index: readS32.call(message.data, INDEX_OFFSET),
    name: '',
    altnames: [],
    mtu: 0,
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
  };
  const attributes = attributesOf(message.data.subarray(IFINFOMSG_BYTES), WANTED);
  for (const [type, data] of attributes) readAttribute(link, type, data);
  return link;
}

function readAttribute(link: Link, type: number, data: Buffer): void {
  if (type === IFLA_IFNAME) link.name = getString(data);
  else if (type === IFLA_MTU) link.mtu = getU32(data);
  else if (type === IFLA_MASTER) link.master = getU32(data);
  else if (type === IFLA_ADDRESS && data.length > 0) link.mac = macText(data);
  else if (type === IFLA_LINKINFO) readKind(link, data);
  else if (type === IFLA_PROP_LIST) link.altnames = altnamesIn(data);
}

function readKind(link: Link, linkinfo: Buffer): void {
  const attributes = attributesOf(linkinfo);
  const kind = attributes.find(([type]) => type === IFLA_INFO_KIND)?.[1];
  if (kind) link.kind = getString(kind);
  if (link.kind !== 'vrf') return;
  const data = attributes.find(([type]) => type === IFLA_INFO_DATA)?.[1];
  const table = data && attributesOf(data).find(([type]) => type === IFLA_VRF_TABLE)?.[1];
  if (table) link.vrfTable = getU32(table);
}

function altnamesIn(properties: Buffer): string[] {
  return attributesOf(properties).flatMap(([type, data]) => (type === IFLA_ALT_IFNAME ? [getString(data)] : []));
}

// IFLA_IFNAME finds altnames too, but takes short names only.
function nameAttribute(name: string): number {
  return Buffer.byteLength(name) < IFNAMSIZ ? IFLA_IFNAME : IFLA_ALT_IFNAME;
}

/** A hardware address of any length as text: `00:11:22:33:44:55`. */
export function macText(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/..(?=.)/g, '$&:');
}
