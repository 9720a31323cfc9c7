import { padding, readS32, readU16, writeS32, writeU16 } from 'netlink/dist/structs.js';
import { addressFromBytes, addressToBytes, type Family, familyOf } from '../address/address.ts';
import { afOf } from './family.ts';
import { attributesOf, type PayloadWriter, payloadOf } from './message.ts';
import type { NextHop, RawAttribute } from './route.ts';

// struct rtnexthop of linux/rtnetlink.h: u16 length, u8 flags, u8 hops (the weight less one), s32 link; then attributes.
// netlink has no codec for it.
const RTNEXTHOP_BYTES = 8;
const RTA_GATEWAY = 5;
const RTA_VIA = 18;

/** The gateway is on the link, whatever the link's subnets are. In a route with one hop it is a flag of the route. */
export const RTNH_F_ONLINK = 4;

/** The content of RTA_MULTIPATH. */
export function encodeHops(hops: readonly NextHop[], family: Family): Uint8Array {
  return Buffer.concat(hops.flatMap((hop) => encodeHop(hop, family)));
}

/** Reads the content of RTA_MULTIPATH. */
export function decodeHops(bytes: Buffer): NextHop[] {
  const hops: NextHop[] = [];
  for (let offset = 0; offset + RTNEXTHOP_BYTES <= bytes.length; ) {
    const length = readU16.call(bytes, offset);
    if (length < RTNEXTHOP_BYTES) throw new RangeError(`a next hop of ${length} bytes`);
    hops.push(decodeHop(bytes.subarray(offset, offset + length)));
    offset += length + padding(length);
  }
  return hops;
}

/** The content of RTA_VIA: a gateway of another family than the route's (RFC 5549). */
export function encodeVia(gw: string): Uint8Array {
  const family = Buffer.alloc(2);
  writeU16.call(family, afOf(familyOf(gw)), 0);
  return Buffer.concat([family, addressToBytes(gw)]);
}

/** Reads the content of RTA_VIA. */
export function decodeVia(bytes: Buffer): string {
  return addressFromBytes(bytes.subarray(2));
}

/** The gateway as an attribute of a route of this family: RTA_GATEWAY, or RTA_VIA for one of the other. */
export function pushGateway(out: PayloadWriter, gw: string | undefined, family: Family): void {
  if (gw === undefined) return;
  if (familyOf(gw) === family) out.push(RTA_GATEWAY, addressToBytes(gw));
  else out.push(RTA_VIA, encodeVia(gw));
}

function encodeHop(hop: NextHop, family: Family): Uint8Array[] {
  const attributes = payloadOf((out) => {
    pushGateway(out, hop.gw, family);
    for (const [type, hex] of hop.other ?? []) out.push(type, Buffer.from(hex, 'hex'));
  });
  const length = RTNEXTHOP_BYTES + attributes.length;
  const header = Buffer.alloc(RTNEXTHOP_BYTES);
  writeU16.call(header, length, 0);
  header[2] = hop.onlink ? RTNH_F_ONLINK : 0;
  header[3] = (hop.weight ?? 1) - 1;
  writeS32.call(header, hop.oif, 4);
  return [header, attributes, Buffer.alloc(padding(length))];
}

function decodeHop(bytes: Buffer): NextHop {
  let gw: string | undefined;
  const other: RawAttribute[] = [];
  for (const [type, data] of attributesOf(bytes.subarray(RTNEXTHOP_BYTES))) {
    if (type === RTA_GATEWAY) gw = addressFromBytes(data);
    else if (type === RTA_VIA) gw = decodeVia(data);
    else other.push([type, data.toString('hex')]);
  }
  const weight = (bytes[3] ?? 0) + 1;
  return {
    ...(gw !== undefined && { gw }),
    oif: readS32.call(bytes, 4),
    ...(weight > 1 && { weight }),
    ...(((bytes[2] ?? 0) & RTNH_F_ONLINK) !== 0 && { onlink: true as const }),
    ...(other.length > 0 && { other }),
  };
}
