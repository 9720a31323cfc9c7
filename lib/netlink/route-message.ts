import { FlagsNew } from 'netlink/dist/constants.js';
import { formatRoute, MessageType, __LENGTH_Route as RTMSG_BYTES } from 'netlink/dist/rt/gen_structs.js';
import { getU32, type NetlinkMessage, readS32, readU32, writeU32 } from 'netlink/dist/structs.js';
import { AddressError, addressFromBytes, addressToBytes, type Family, unspecified } from '../address/address.ts';
import { bitsOf } from '../address/prefix.ts';
import { afOf, familyOfAf } from './family.ts';
import { attributesOf, type PayloadWriter, payloadOf, type Request } from './message.ts';
import { decodeHops, decodeVia, encodeHops, pushGateway, RTNH_F_ONLINK } from './next-hop-message.ts';
import { type NextHop, needsNoHop, type RawAttribute, type Route, type RouteType } from './route.ts';

// RTA_* and RTAX_* of linux/rtnetlink.h. netlink's own parseRouteAttrs is not used: it drops what it does not know,
// and makes an object with thirty functions for every route of a dump.
const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_CACHEINFO = 12;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTA_PREF = 20;
const RTA_EXPIRES = 23;
const RTA_NH_ID = 30;
const RTAX_MTU = 2;
const RTAX_ADVMSS = 8;

/** Where `rta_expires` stands in struct rta_cacheinfo; it counts in 1/100 s (USER_HZ). */
const CACHEINFO_EXPIRES_OFFSET = 8;
const USER_HZ = 100;

// struct rtmsg: the offsets of its fields.
const RTM_FAMILY = 0;
const RTM_DST_LEN = 1;
const RTM_SRC_LEN = 2;
const RTM_TOS = 3;
const RTM_TABLE = 4;
const RTM_PROTOCOL = 5;
const RTM_SCOPE = 6;
const RTM_TYPE = 7;
const RTM_FLAGS = 8;

/** A request to add the route. Refused with EEXIST if its key is taken, by an identical route too. */
export function addRouteRequest(route: Route): Request {
  return { type: MessageType.NEWROUTE, flags: FlagsNew.CREATE | FlagsNew.EXCL, payload: encodeRoute(route) };
}

/** A request to append the hops of an IPv6 route to one that is there, with the same key. */
export function appendRouteRequest(route: Route): Request {
  return { type: MessageType.NEWROUTE, flags: FlagsNew.CREATE | FlagsNew.APPEND, payload: encodeRoute(route) };
}

/**
 * A request to delete the route. The kernel compares what is given and non-zero, so a priority of 0 matches any: look
 * first whether this very route is there. Metrics are not compared. Refused with ESRCH if none matches.
 */
export function deleteRouteRequest(route: Route): Request {
  const { mtu: _mtu, advmss: _advmss, metrics: _metrics, ...rest } = route;
  return { type: MessageType.DELROUTE, flags: 0, payload: encodeRoute(rest) };
}

/** Routes of one table, out of one link, or of one protocol (`rtm_protocol`): what the kernel can choose a dump by. */
export type RouteFilter = { readonly table?: number; readonly oif?: number; readonly protocol?: number };

/** A request to dump the routes of a family: all of them, or those of a filter. */
export function dumpRoutesRequest(family: Family, filter: RouteFilter = {}): Request {
  const payload = payloadOf((out) => {
    const header = Buffer.alloc(RTMSG_BYTES);
    header[RTM_FAMILY] = afOf(family);
    header[RTM_PROTOCOL] = filter.protocol ?? 0;
    out.emit(header);
    if (filter.table !== undefined) out.pushU32(RTA_TABLE, filter.table);
    if (filter.oif !== undefined) out.pushU32(RTA_OIF, filter.oif);
  });
  return { type: MessageType.GETROUTE, flags: 0, payload };
}

/** A request for the route that a packet to this address would take, out of this link if one is given, as it is in its table. */
export function lookUpRouteRequest(family: Family, address: string, oif?: number): Request {
  const payload = payloadOf((out) => {
    // Without it, IPv4 says that every route is of the main table; IPv6 tells the table anyway, and refuses the flag.
    const flags = family === 4 ? ({ fibMatch: true, lookupTable: true } as const) : ({ fibMatch: true } as const);
    out.emit(formatRoute({ family: afOf(family), dstLen: bitsOf(family), flags }));
    out.push(RTA_DST, addressToBytes(address));
    if (oif !== undefined) out.pushU32(RTA_OIF, oif);
  });
  return { type: MessageType.GETROUTE, flags: 0, payload };
}

/** The payload of RTM_NEWROUTE or RTM_DELROUTE. */
export function encodeRoute(route: Route): Uint8Array {
  const [dst = '', dstLength] = route.dst.split('/');
  const [from = '', fromLength] = route.from?.split('/') ?? [];
  if (dstLength === undefined) throw new AddressError(route.dst, 'is not in CIDR notation');
  return payloadOf((out) => {
    out.emit(headerOf(route, Number(dstLength), Number(fromLength ?? 0)));
    if (dstLength !== '0') out.push(RTA_DST, addressToBytes(dst));
    if (route.from !== undefined) out.push(RTA_SRC, addressToBytes(from));
    out.pushU32(RTA_TABLE, route.table);
    out.pushU32(RTA_PRIORITY, route.priority);
    if (route.src !== undefined) out.push(RTA_PREFSRC, addressToBytes(route.src));
    pushNextHops(out, route);
    pushMetrics(out, route);
    if (route.expires !== undefined) out.pushU32(RTA_EXPIRES, route.expires);
    pushRaw(out, route.other);
  });
}

// The table is in RTA_TABLE, for it may be above 255.
function headerOf(route: Route, dstLength: number, srcLength: number): Uint8Array {
  const header = Buffer.alloc(RTMSG_BYTES);
  header[RTM_FAMILY] = afOf(route.family);
  header[RTM_DST_LEN] = dstLength;
  header[RTM_SRC_LEN] = srcLength;
  header[RTM_TOS] = route.tos ?? 0;
  header[RTM_PROTOCOL] = route.protocol;
  header[RTM_SCOPE] = route.scope;
  header[RTM_TYPE] = kernelType(route.type);
  const onlink = route.hops.length === 1 && route.hops[0]?.onlink === true;
  writeU32.call(header, onlink ? RTNH_F_ONLINK : 0, RTM_FLAGS);
  return header;
}

function pushNextHops(out: PayloadWriter, { family, hops, nexthopId }: Route): void {
  if (nexthopId !== undefined) {
    // The kernel shows an object's hops beside its id, but takes only the id.
    out.pushU32(RTA_NH_ID, nexthopId);
    return;
  }
  const [hop, another] = hops;
  if (hop === undefined) return;
  if (another !== undefined) {
    out.push(RTA_MULTIPATH, encodeHops(hops, family));
    return;
  }
  pushGateway(out, hop.gw, family);
  out.pushU32(RTA_OIF, hop.oif);
  pushRaw(out, hop.other);
}

function pushMetrics(out: PayloadWriter, { mtu, advmss, metrics }: Route): void {
  if (mtu === undefined && advmss === undefined && metrics === undefined) return;
  out.push(
    RTA_METRICS,
    payloadOf((nested) => {
      if (mtu !== undefined) nested.pushU32(RTAX_MTU, mtu);
      if (advmss !== undefined) nested.pushU32(RTAX_ADVMSS, advmss);
      pushRaw(nested, metrics);
    }),
  );
}

function pushRaw(out: PayloadWriter, attributes: readonly RawAttribute[] = []): void {
  for (const [type, hex] of attributes) out.push(type, Buffer.from(hex, 'hex'));
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Reads an RTM_NEWROUTE; undefined for other messages and families. */
export function decodeRoute({ type: messageType, data }: NetlinkMessage): Route | undefined {
  const family = familyOfAf(data[RTM_FAMILY]);
  if (messageType !== MessageType.NEWROUTE || family === undefined) return undefined;
  const any = unspecified(family);
  const type = routeTypeOf(data[RTM_TYPE] ?? 0);
  const parts: Parts = { dst: any, from: any, gw: undefined, oif: undefined, multipath: undefined, other: [] };
  const route: Writable<Route> = {
    family,
    dst: '',
    type,
    table: data[RTM_TABLE] ?? 0,
    priority: 0,
    protocol: data[RTM_PROTOCOL] ?? 0,
    scope: data[RTM_SCOPE] ?? 0,
    hops: [],
  };
  for (const [rta, value] of attributesOf(data.subarray(RTMSG_BYTES))) readAttribute(route, parts, rta, value);
  route.dst = `${parts.dst}/${data[RTM_DST_LEN]}`;
  if (data[RTM_SRC_LEN]) route.from = `${parts.from}/${data[RTM_SRC_LEN]}`;
  if (data[RTM_TOS]) route.tos = data[RTM_TOS];
  if (parts.other.length > 0) route.other = parts.other;
  const onlink = (readU32.call(data, RTM_FLAGS) & RTNH_F_ONLINK) !== 0;
  // IPv6 shows `lo` as the link of a blackhole and the like.
  if (!needsNoHop(type)) route.hops = parts.multipath ?? singleHop(parts, onlink);
  return route;
}

/** What stands in attributes, but not as such in a Route. */
type Parts = {
  dst: string;
  from: string;
  gw: string | undefined;
  oif: number | undefined;
  multipath: NextHop[] | undefined;
  other: RawAttribute[];
};

function readAttribute(route: Writable<Route>, parts: Parts, rta: number, value: Buffer): void {
  if (rta === RTA_DST) parts.dst = addressFromBytes(value);
  else if (rta === RTA_SRC) parts.from = addressFromBytes(value);
  else if (rta === RTA_TABLE) route.table = getU32(value);
  else if (rta === RTA_PRIORITY) route.priority = getU32(value);
  else if (rta === RTA_PREFSRC) route.src = addressFromBytes(value);
  else if (rta === RTA_GATEWAY) parts.gw = addressFromBytes(value);
  else if (rta === RTA_VIA) parts.gw = decodeVia(value);
  else if (rta === RTA_OIF) parts.oif = getU32(value);
  else if (rta === RTA_MULTIPATH) parts.multipath = decodeHops(value);
  else if (rta === RTA_METRICS) readMetrics(route, value);
  else if (rta === RTA_NH_ID) route.nexthopId = getU32(value);
  else if (rta === RTA_CACHEINFO) readExpiry(route, value);
  // RTA_PREF is in every IPv6 route; its value is 0 but for those that a router advertised otherwise.
  else if (rta !== RTA_PREF || value[0] !== 0) parts.other.push([rta, value.toString('hex')]);
}

function singleHop({ gw, oif }: Parts, onlink: boolean): NextHop[] {
  if (oif === undefined) return [];
  return [{ ...(gw !== undefined && { gw }), oif, ...(onlink && { onlink }) }];
}

function readMetrics(route: Writable<Route>, nested: Buffer): void {
  const others: RawAttribute[] = [];
  for (const [rtax, value] of attributesOf(nested)) {
    if (rtax === RTAX_MTU) route.mtu = getU32(value);
    else if (rtax === RTAX_ADVMSS) route.advmss = getU32(value);
    else others.push([rtax, value.toString('hex')]);
  }
  if (others.length > 0) route.metrics = others;
}

// Negative for a route that has expired and is not removed yet. Never 0, with which it would be added for ever.
function readExpiry(route: Writable<Route>, cacheinfo: Buffer): void {
  const ticks = readS32.call(cacheinfo, CACHEINFO_EXPIRES_OFFSET);
  if (ticks !== 0) route.expires = Math.max(1, Math.floor(ticks / USER_HZ));
}

const ROUTE_TYPES: readonly RouteType[] = [
  'unspec',
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
  'nat',
];

function routeTypeOf(number: number): RouteType {
  return ROUTE_TYPES[number] ?? 'unspec';
}

function kernelType(type: RouteType): number {
  return ROUTE_TYPES.indexOf(type);
}
