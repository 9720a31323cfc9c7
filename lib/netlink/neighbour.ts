import { FlagsNew } from 'netlink/dist/constants.js';
import {
  formatNeighbor,
  MessageType,
  __LENGTH_Neighbor as NDMSG_BYTES,
  type NeighborFlags,
  type NeighborState,
  parseNeighbor,
} from 'netlink/dist/rt/gen_structs.js';
import { type NetlinkMessage, readU16 } from 'netlink/dist/structs.js';
import { addressFromBytes, addressToBytes, familyOf } from '../address/address.ts';
import { AF_UNSPEC, afOf, familyOfAf } from './family.ts';
import { macText } from './link.ts';
import { attributesOf, payloadOf, type Request } from './message.ts';
import type { RouteSocket } from './socket.ts';

/** An entry of the neighbour table (ARP, neighbour discovery), as `ip -j neighbour` shows it. */
export type Neighbour = {
  /** The link's index. */
  link: number;
  address: string;
  /** Its hardware address, once it is known. */
  mac?: string;
  state: NeighbourState;
};

/** NUD_* of linux/neighbour.h; what `ip neighbour` prints. */
export type NeighbourState = (typeof STATES)[number][1];

const STATES = [
  [0x01, 'INCOMPLETE'],
  [0x02, 'REACHABLE'],
  [0x04, 'STALE'],
  [0x08, 'DELAY'],
  [0x10, 'PROBE'],
  [0x20, 'FAILED'],
  [0x40, 'NOARP'],
  [0x80, 'PERMANENT'],
  [0x00, 'NONE'],
] as const;

// linux/neighbour.h
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;
const NDM_STATE_OFFSET = 8;

/** The neighbours on one link, both families, in the kernel's order. Throws NetlinkError. */
export function listNeighbours(socket: RouteSocket, linkIndex: number): Neighbour[] {
  const payload = payloadOf((out) => {
    out.emit(formatNeighbor({ family: AF_UNSPEC }));
    out.pushU32(NDA_IFINDEX, linkIndex);
  });
  return socket
    .dump('list neighbours', { type: MessageType.GETNEIGH, flags: 0, payload })
    .flatMap((message) => decodeNeighbour(message) ?? [])
    .filter(({ link }) => link === linkIndex);
}

/** Reads an RTM_NEWNEIGH; undefined for other messages and families. */
export function decodeNeighbour(message: NetlinkMessage): Neighbour | undefined {
  if (message.type !== MessageType.NEWNEIGH) return undefined;
  const header = parseNeighbor(message.data.subarray(0, NDMSG_BYTES));
  const attributes = new Map(attributesOf(message.data.subarray(NDMSG_BYTES)));
  const destination = attributes.get(NDA_DST);
  if (familyOfAf(header.family) === undefined || destination === undefined) return undefined;
  const lladdr = attributes.get(NDA_LLADDR);
  const bits = readU16.call(message.data, NDM_STATE_OFFSET);
  return {
    link: header.ifindex ?? 0,
    address: addressFromBytes(destination),
    ...(lladdr && { mac: macText(lladdr) }),
    state: STATES.find(([bit]) => bit === bits)?.[1] ?? 'NONE',
  };
}

/** A request to add an entry, permanent by default. The kernel refuses it with EEXIST if the address has one. */
export function addNeighbourRequest(
  entry: Omit<Neighbour, 'state'> & { mac: string; state?: NeighbourState },
): Request {
  const bits = STATES.find(([, name]) => name === (entry.state ?? 'PERMANENT'))?.[0] ?? 0;
  const payload = payloadOf((out) => {
    out.emit(headerOf(entry, { __unknown: bits }));
    out.push(NDA_DST, addressToBytes(entry.address));
    out.push(NDA_LLADDR, Buffer.from(entry.mac.replaceAll(':', ''), 'hex'));
  });
  return { type: MessageType.NEWNEIGH, flags: FlagsNew.CREATE | FlagsNew.EXCL, payload };
}

/** A request to make the kernel resolve the address's hardware address by itself (NTF_USE). */
export function resolveNeighbourRequest(entry: { link: number; address: string }): Request {
  const payload = payloadOf((out) => {
    out.emit(headerOf(entry, {}, { use: true }));
    out.push(NDA_DST, addressToBytes(entry.address));
  });
  return { type: MessageType.NEWNEIGH, flags: FlagsNew.CREATE, payload };
}

/** A request to delete the entry of an address. The kernel refuses it with ENOENT if there is none. */
export function deleteNeighbourRequest(entry: { link: number; address: string }): Request {
  const payload = payloadOf((out) => {
    out.emit(headerOf(entry, {}));
    out.push(NDA_DST, addressToBytes(entry.address));
  });
  return { type: MessageType.DELNEIGH, flags: 0, payload };
}

function headerOf(
  { link, address }: { link: number; address: string },
  state: NeighborState,
  flags: NeighborFlags = {},
): Uint8Array {
  return formatNeighbor({ family: afOf(familyOf(address)), ifindex: link, state, flags });
}
