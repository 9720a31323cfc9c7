import {
  type AddressFlags,
  formatAddress,
  __LENGTH_Address as IFADDRMSG_BYTES,
  MessageType,
  parseAddress,
  parseAddressFlags,
} from 'netlink/dist/rt/gen_structs.js';
import { getString, getU32, type NetlinkMessage, readU32 } from 'netlink/dist/structs.js';
import { addressFromBytes } from '../address/address.ts';
import type { Prefix } from '../address/prefix.ts';
import { AF_UNSPEC, familyOfAf } from './family.ts';
import { attributesOf, payloadOf } from './message.ts';
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
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  scope: number;
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

/** The addresses of one link, both families, in the kernel's order. Throws NetlinkError. */
export function listAddresses(socket: RouteSocket, linkIndex: number): LinkAddress[] {
  const payload = payloadOf((out) => out.emit(formatAddress({ family: AF_UNSPEC, index: linkIndex })));
  return socket
    .dump('list addresses', { type: MessageType.GETADDR, flags: 0, payload })
    .flatMap((message) => decodeAddress(message) ?? [])
    .filter(({ link }) => link === linkIndex);
}

/** Reads an RTM_NEWADDR; undefined for other messages and families. */
export function decodeAddress(message: NetlinkMessage): LinkAddress | undefined {
  if (message.type !== MessageType.NEWADDR) return undefined;
  const header = parseAddress(message.data.subarray(0, IFADDRMSG_BYTES));
  const family = familyOfAf(header.family);
  if (family === undefined) return undefined;

  const attributes = new Map(attributesOf(message.data.subarray(IFADDRMSG_BYTES)));
  const text = (type: number) => mapDefined(attributes.get(type), addressFromBytes);
  // IFA_LOCAL is the address itself; IFA_ADDRESS is it too, but on point-to-point links the peer's.
  const address = text(IFA_LOCAL) ?? text(IFA_ADDRESS);
  if (address === undefined) return undefined;
  const peer = text(IFA_ADDRESS);
  const broadcast = text(IFA_BROADCAST);
  const label = mapDefined(attributes.get(IFA_LABEL), (data) => getString(data));
  const flags = mapDefined(attributes.get(IFA_FLAGS), (data) => parseAddressFlags(getU32(data))) ?? header.flags;
  return {
    link: header.index ?? 0,
    prefix: { family, address, length: header.prefixlen ?? 0 },
    ...(peer !== undefined && peer !== address && { peer }),
    ...(broadcast !== undefined && { broadcast }),
    ...(label !== undefined && { label }),
    scope: header.scope ?? 0,
    ...flagsOf(flags),
    ...lifetimesOf(attributes.get(IFA_CACHEINFO)),
  };
}

function flagsOf(flags: AddressFlags = {}) {
  return {
    secondary: flags.secondary === true,
    deprecated: flags.deprecated === true,
    tentative: flags.tentative === true,
    permanent: flags.permanent === true,
  };
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
