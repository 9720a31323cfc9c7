import { FlagsNew } from 'netlink/dist/constants.js';
import {
  formatRoute,
  RouteType as KernelRouteType,
  MessageType,
  parseRoute,
  RouteProtocol,
  RouteScope,
  __LENGTH_Route as RTMSG_BYTES,
} from 'netlink/dist/rt/gen_structs.js';
import { type AttrStream, getU32, type NetlinkMessage, putEnum, putU32, readU32 } from 'netlink/dist/structs.js';
import { addressFromBytes, addressToBytes, type Family, familyOf, unspecified } from '../address/address.ts';
import { parsePrefix } from '../address/prefix.ts';
import { afOf, familyOfAf } from './family.ts';
import { attributesOf, payloadOf, type Request } from './message.ts';
import { decodeHops, decodeVia, encodeHops, encodeVia, RTNH_F_ONLINK } from './next-hop-message.ts';
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
const RTM_TYPE_OFFSET = 7;

/** A request to add the route. Refused with EEXIST if its key is taken, by an identical route too. */
export function addRouteRequest(route: Route): Request {
  return { type: MessageType.NEWROUTE, flags: FlagsNew.CREATE | FlagsNew.EXCL, payload: encodeRoute(route) };
}

/**
 * A request to delete the route. The kernel compares what is given and non-zero, so a priority of 0 matches any: look
 * first whether this very route is there. Refused with ESRCH if none matches.
 */
export function deleteRouteRequest(route: Route): Request {
  return { type: MessageType.DELROUTE, flags: 0, payload: encodeRoute(route) };
}

/** A request to dump the routes of a family: all of them, or those of one table or out of one link. */
export function dumpRoutesRequest(family: Family, filter: { table?: number; oif?: number } = {}): Request {
  const payload = payloadOf((out) => {
    out.emit(formatRoute({ family: afOf(family) }));
    if (filter.table !== undefined) out.push(RTA_TABLE, putU32(filter.table));
    if (filter.oif !== undefined) out.push(RTA_OIF, putU32(filter.oif));
  });
  return { type: MessageType.GETROUTE, flags: 0, payload };
}

/** The payload of RTM_NEWROUTE or RTM_DELROUTE. */
export function encodeRoute(route: Route): Uint8Array {
  const { length, address } = parsePrefix(route.dst);
  return payloadOf((out) => {
    out.emit(
      formatRoute({
        family: afOf(route.family),
        dstLen: length,
        srcLen: route.from === undefined ? 0 : parsePrefix(route.from).length,
        tos: route.tos ?? 0,
        protocol: route.protocol,
        scope: route.scope,
        type: kernelType(route.type),
        flags: route.hops.length === 1 && route.hops[0]?.onlink ? { __unknown: RTNH_F_ONLINK } : {},
      }),
    );
    if (length > 0) out.push(RTA_DST, addressToBytes(address));
    if (route.from !== undefined) out.push(RTA_SRC, addressToBytes(parsePrefix(route.from).address));
    out.push(RTA_TABLE, putU32(route.table));
    out.push(RTA_PRIORITY, putU32(route.priority));
    if (route.src !== undefined) out.push(RTA_PREFSRC, addressToBytes(route.src));
    pushNextHops(out, route);
    pushMetrics(out, route);
    if (route.expires !== undefined) out.push(RTA_EXPIRES, putU32(route.expires));
    pushRaw(out, route.other);
  });
}

function pushNextHops(out: AttrStream, { family, hops, nexthopId }: Route): void {
  if (nexthopId !== undefined) {
    // The kernel shows an object's hops beside its id, but takes only the id.
    out.push(RTA_NH_ID, putU32(nexthopId));
    return;
  }
  const [hop, another] = hops;
  if (hop === undefined) return;
  if (another !== undefined) {
    out.push(RTA_MULTIPATH, encodeHops(hops, family));
    return;
  }
  if (hop.gw !== undefined && familyOf(hop.gw) === family) out.push(RTA_GATEWAY, addressToBytes(hop.gw));
  else if (hop.gw !== undefined) out.push(RTA_VIA, encodeVia(hop.gw));
  out.push(RTA_OIF, putU32(hop.oif));
  pushRaw(out, hop.other);
}

function pushMetrics(out: AttrStream, { mtu, advmss, metrics }: Route): void {
  if (mtu === undefined && advmss === undefined && metrics === undefined) return;
  out.push(
    RTA_METRICS,
    payloadOf((nested) => {
      if (mtu !== undefined) nested.push(RTAX_MTU, putU32(mtu));
      if (advmss !== undefined) nested.push(RTAX_ADVMSS, putU32(advmss));
      pushRaw(nested, metrics);
    }),
  );
}

function pushRaw(out: AttrStream, attributes: readonly RawAttribute[] = []): void {
  for (const [type, hex] of attributes) out.push(type, Buffer.from(hex, 'hex'));
}

/** Reads an RTM_NEWROUTE; undefined for other messages and families. */
export function decodeRoute(message: NetlinkMessage): Route | undefined {
  if (message.type !== MessageType.NEWROUTE) return undefined;
  const header = parseRoute(message.data.subarray(0, RTMSG_BYTES));
  const family = familyOfAf(header.family);
  if (family === undefined) return undefined;

  const attributes = new Map(attributesOf(message.data.subarray(RTMSG_BYTES)));
  const take = <T>(type: number, read: (data: Buffer) => T): T | undefined => {
    const data = attributes.get(type);
    attributes.delete(type);
    return data && read(data);
  };
  const type = routeTypeOf(message.data[RTM_TYPE_OFFSET] ?? 0);
  const prefix = (rta: number, length = 0) => `${take(rta, addressFromBytes) ?? unspecified(family)}/${length}`;
  const onlink = ((header.flags?.__unknown ?? 0) & RTNH_F_ONLINK) !== 0;
  const metrics = take(RTA_METRICS, attributesOf) ?? [];
  return compact({
    family,
    dst: prefix(RTA_DST, header.dstLen),
    type,
    table: take(RTA_TABLE, getU32) ?? header.table ?? 0,
    priority: take(RTA_PRIORITY, getU32) ?? 0,
    protocol: putEnum(RouteProtocol, header.protocol ?? 0),
    scope: putEnum(RouteScope, header.scope ?? 0),
    tos: header.tos || undefined,
    from: header.srcLen ? prefix(RTA_SRC, header.srcLen) : undefined,
    src: take(RTA_PREFSRC, addressFromBytes),
    mtu: metricIn(metrics, RTAX_MTU),
    advmss: metricIn(metrics, RTAX_ADVMSS),
    metrics: rawList(metrics.filter(([rtax]) => rtax !== RTAX_MTU && rtax !== RTAX_ADVMSS)),
    nexthopId: take(RTA_NH_ID, getU32),
    expires: take(RTA_CACHEINFO, expiresIn),
    hops: takeHops(take, type, onlink),
    // The last, for it takes what the others left. RTA_PREF is in every IPv6 route; its value is 0 but for those that
    // a router advertised otherwise.
    other: rawList([...attributes].filter(([rta, data]) => rta !== RTA_PREF || data[0] !== 0)),
  });
}

type Take = <T>(type: number, read: (data: Buffer) => T) => T | undefined;

function takeHops(take: Take, type: RouteType, onlink: boolean): NextHop[] {
  const multipath = take(RTA_MULTIPATH, decodeHops);
  const gw = take(RTA_GATEWAY, addressFromBytes) ?? take(RTA_VIA, decodeVia);
  const oif = take(RTA_OIF, getU32);
  // IPv6 shows `lo` as the link of a blackhole and the like.
  if (needsNoHop(type)) return [];
  if (multipath !== undefined) return multipath;
  if (oif === undefined) return [];
  return [{ ...(gw !== undefined && { gw }), oif, ...(onlink && { onlink }) }];
}

function metricIn(metrics: [number, Buffer][], wanted: number): number | undefined {
  const data = metrics.find(([type]) => type === wanted)?.[1];
  return data && getU32(data);
}

function expiresIn(cacheinfo: Buffer): number | undefined {
  return Math.floor(readU32.call(cacheinfo, CACHEINFO_EXPIRES_OFFSET) / USER_HZ) || undefined;
}

function rawList(attributes: [number, Buffer][]): RawAttribute[] | undefined {
  return attributes.length === 0 ? undefined : attributes.map(([type, data]) => [type, data.toString('hex')]);
}

function routeTypeOf(number: number): RouteType {
  return (KernelRouteType[number]?.toLowerCase() as RouteType | undefined) ?? 'unspec';
}

function kernelType(type: RouteType): number {
  return KernelRouteType[type.toUpperCase() as keyof typeof KernelRouteType];
}

// A route without the fields that are undefined, so that it is the same before and after JSON.
function compact(fields: { [K in keyof Route]: Route[K] | undefined }): Route {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Route;
}
