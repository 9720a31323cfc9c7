import { FlagsNew } from 'netlink/dist/constants.js';
import { formatAddress, __LENGTH_Address as IFADDRMSG_BYTES, MessageType } from 'netlink/dist/rt/gen_structs.js';
import { getString, getU32, type NetlinkMessage, putString, readU32, writeU32 } from 'netlink/dist/structs.js';
import { addressFromBytes, addressToBytes, type Family } from '../address/address.ts';
import type { Prefix } from '../address/prefix.ts';
import { AF_UNSPEC, afOf, familyOfAf } from './family.ts';
import { attributesOf, payloadOf, type Request } from './message.ts';
import { RT_SCOPE_LINK, RT_SCOPE_UNIVERSE } from './route.ts';
import type { RouteSocket } from './socket.ts';

/** An address of a link, as `ip -j address` shows it. Lifetimes in seconds, 4294967295 for ever. */
export type LinkAddress = {
  /** The link's index. */
  link: number;
  /** The address itself (`local`) with the length of its subnet's prefix. */
  prefix: Prefix;
  /** The other end of a point-to-point link, if it has one. */
  peer?: string;
  broadcast?: string;
  label?: string;
  /** The priority of the route to its subnet, where it is not the usual one. */
  metric?: number;
  /** IFAPROT_*: who added it, as 3 for the kernel's link-local one; since Linux 5.18. */
  protocol?: number;
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  scope: number;
  /** IFA_F_*; the fields below are some of them. */
  flags: number;
  secondary: boolean;
  deprecated: boolean;
  tentative: boolean;
  permanent: boolean;
  preferredLifetime: number;
  validLifetime: number;
};

// linux/if_addr.h
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_BROADCAST = 4;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFA_RT_PRIORITY = 9;
const IFA_PROTO = 11;
const IFA_F_SECONDARY = 0x01;
const IFA_F_NODAD = 0x02;
const IFA_F_OPTIMISTIC = 0x04;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;
/** The flags that the kernel gives by itself. */
const KERNELS_FLAGS = IFA_F_PERMANENT | IFA_F_TENTATIVE | IFA_F_SECONDARY;
/** Where struct ifaddrmsg has them; of the flags, the first 8. */
const FAMILY_OFFSET = 0;
const LENGTH_OFFSET = 1;
const FLAGS_OFFSET = 2;
const SCOPE_OFFSET = 3;
const INDEX_OFFSET = 4;
const CACHEINFO_BYTES = 16;

/** An ordinary address that lasts for ever: global, or link-local if its prefix says so. `link` is an index. */
export function lastingAddress(prefix: Prefix, link: number): LinkAddress {
  const scope = prefix.address.startsWith('fe80:') ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  const is = { secondary: false, deprecated: false, tentative: false, permanent: true };
  return { link, prefix, scope, flags: IFA_F_PERMANENT, ...is, preferredLifetime: FOR_EVER, validLifetime: FOR_EVER };
}

/** The addresses of one link, both families, in the kernel's order. Throws NetlinkError. */
export function listAddresses(socket: RouteSocket, linkIndex: number): LinkAddress[] {
  return dumpAddresses(socket, { family: AF_UNSPEC, index: linkIndex }).filter(({ link }) => link === linkIndex);
}

/** The addresses of every link, both families, in the kernel's order. Throws NetlinkError. */
export function listAllAddresses(socket: RouteSocket): LinkAddress[] {
  return dumpAddresses(socket, { family: AF_UNSPEC });
}

/** The addresses of one family on every link, in the kernel's order. Throws NetlinkError. */
export function listAddressesOf(socket: RouteSocket, family: Family): LinkAddress[] {
  return dumpAddresses(socket, { family: afOf(family) });
}

function dumpAddresses(socket: RouteSocket, header: { family: number; index?: number }): LinkAddress[] {
  const payload = payloadOf((out) => out.emit(formatAddress(header)));
  return socket
    .dump('list addresses', { type: MessageType.GETADDR, flags: 0, payload })
    .flatMap((message) => decodeAddress(message) ?? []);
}

/**
 * Can a host be reached at this address? It is global and in use: not a second one of its subnet or a temporary one
 * (`secondary`), not on its way out (`deprecated`), and not waiting for duplicate address detection (`tentative`), unless
 * the kernel uses it meanwhile (optimistic, RFC 4429).
 */
export function isUsable(address: LinkAddress): boolean {
  const isWaiting = address.tentative && (address.flags & IFA_F_OPTIMISTIC) === 0;
  return isPrimary(address) && !isWaiting;
}

/** Is this address usable once duplicate address detection (RFC 4862, 5.4) is through? Not if that has failed. */
export function isNotYetUsable(address: LinkAddress): boolean {
  return isPrimary(address) && !isUsable(address) && (address.flags & IFA_F_DADFAILED) === 0;
}

function isPrimary({ scope, secondary, deprecated }: LinkAddress): boolean {
  return scope === RT_SCOPE_UNIVERSE && !secondary && !deprecated;
}

/** Reads an RTM_NEWADDR; undefined for other messages and families. */
export function decodeAddress(message: NetlinkMessage): LinkAddress | undefined {
  if (message.type !== MessageType.NEWADDR) return undefined;
  const { data } = message;
  const family = familyOfAf(data[FAMILY_OFFSET]);
  if (family === undefined) return undefined;

  const attributes = new Map(attributesOf(data.subarray(IFADDRMSG_BYTES)));
  const text = (type: number) => mapDefined(attributes.get(type), addressFromBytes);
  // IFA_LOCAL is the address itself; IFA_ADDRESS is it too, but on point-to-point links the peer's.
  const address = text(IFA_LOCAL) ?? text(IFA_ADDRESS);
  if (address === undefined) return undefined;
  const peer = text(IFA_ADDRESS);
  const broadcast = text(IFA_BROADCAST);
  const label = mapDefined(attributes.get(IFA_LABEL), (data) => getString(data));
  const metric = mapDefined(attributes.get(IFA_RT_PRIORITY), getU32);
  const protocol = attributes.get(IFA_PROTO)?.[0];
  const flags = mapDefined(attributes.get(IFA_FLAGS), getU32) ?? data[FLAGS_OFFSET] ?? 0;
  return {
    link: readU32.call(data, INDEX_OFFSET),
    prefix: { family, address, length: data[LENGTH_OFFSET] ?? 0 },
    ...(peer !== undefined && peer !== address && { peer }),
    ...(broadcast !== undefined && { broadcast }),
    ...(label !== undefined && { label }),
    ...(metric !== undefined && { metric }),
    ...(protocol !== undefined && { protocol }),
    scope: data[SCOPE_OFFSET] ?? 0,
    flags,
    secondary: (flags & IFA_F_SECONDARY) !== 0,
    deprecated: (flags & IFA_F_DEPRECATED) !== 0,
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
    permanent: (flags & IFA_F_PERMANENT) !== 0,
    ...lifetimesOf(attributes.get(IFA_CACHEINFO)),
  };
}

/**
 * A request to add the address as it was read, and to use it at once, without duplicate address detection: it was in
 * use before. Refused with EEXIST if the link has it.
 */
export function addAddressRequest(address: LinkAddress): Request {
  const flags = address.prefix.family === 6 ? address.flags | IFA_F_NODAD : address.flags;
  const payload = encodeAddress({ ...address, flags });
  return { type: MessageType.NEWADDR, flags: FlagsNew.CREATE | FlagsNew.EXCL, payload };
}

/** A request to set the flags, lifetimes and metric of an address that the link has to those that were read. */
export function updateAddressRequest(address: LinkAddress): Request {
  return { type: MessageType.NEWADDR, flags: FlagsNew.REPLACE, payload: encodeAddress(address) };
}

function encodeAddress(address: LinkAddress): Uint8Array {
  const { prefix, peer, broadcast, label, metric, protocol, flags, scope, link } = address;
  return payloadOf((out) => {
    out.emit(formatAddress({ family: afOf(prefix.family), prefixlen: prefix.length, scope, index: link }));
    out.push(IFA_LOCAL, addressToBytes(prefix.address));
    out.push(IFA_ADDRESS, addressToBytes(peer ?? prefix.address));
    if (broadcast !== undefined) out.push(IFA_BROADCAST, addressToBytes(broadcast));
    if (label !== undefined) out.push(IFA_LABEL, putString(label));
    if (metric !== undefined) out.pushU32(IFA_RT_PRIORITY, metric);
    if (protocol !== undefined) out.push(IFA_PROTO, Buffer.of(protocol));
    out.pushU32(IFA_FLAGS, flags & ~KERNELS_FLAGS);
    out.push(IFA_CACHEINFO, lifetimes(address));
  });
}

/** A request to delete the address. Refused with EADDRNOTAVAIL if the link does not have it. */
export function deleteAddressRequest({ prefix, link }: LinkAddress): Request {
  const payload = payloadOf((out) => {
    out.emit(formatAddress({ family: afOf(prefix.family), prefixlen: prefix.length, index: link }));
    out.push(IFA_LOCAL, addressToBytes(prefix.address));
  });
  return { type: MessageType.DELADDR, flags: 0, payload };
}

function lifetimes({ preferredLifetime, validLifetime }: LinkAddress): Uint8Array {
  const cacheinfo = Buffer.alloc(CACHEINFO_BYTES);
  writeU32.call(cacheinfo, preferredLifetime, 0);
  writeU32.call(cacheinfo, validLifetime, 4);
  return cacheinfo;
}

// struct ifa_cacheinfo: preferred, valid, then two time stamps.
function lifetimesOf(cacheinfo: Buffer | undefined) {
  if (cacheinfo === undefined) return { preferredLifetime: FOR_EVER, validLifetime: FOR_EVER };
  return { preferredLifetime: readU32.call(cacheinfo, 0), validLifetime: readU32.call(cacheinfo, 4) };
}

const FOR_EVER = 0xffffffff;

function mapDefined<T, U>(value: T | undefined, map: (value: T) => U): U | undefined {
  return value === undefined ? undefined : map(value);
}
