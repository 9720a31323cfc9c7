import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { familyOf } from '../../../lib/address/address.ts';
import { parsePrefix } from '../../../lib/address/prefix.ts';
import type { LinkAddress } from '../../../lib/netlink/address.ts';
import type { Link } from '../../../lib/netlink/link.ts';
import type { Neighbour } from '../../../lib/netlink/neighbour.ts';
import type { NextHop, RawAttribute, Route } from '../../../lib/netlink/route.ts';
import type { PortRange, Rule } from '../../../lib/netlink/rule.ts';

/** An object that `ip -j` prints. */
export type IpObject = { [key: string]: unknown };

/** What scripts/record-golden.sh recorded for one table: the output of `ip`, and the kernel's datagrams (base64). */
export type Golden = { ip: IpObject[]; received: { [key: string]: string[] } };

export function golden(name: string): Golden {
  return JSON.parse(readFileSync(join(import.meta.dirname, '../../golden', `${name}.json`), 'utf8'));
}

/** The index of a link by its name, in the output of `ip -j link`. */
export function indexByName(links: IpObject[]): (name: unknown) => number {
  const indices = new Map(links.map(({ ifname, ifindex }) => [ifname, ifindex as number]));
  return (name) => indices.get(name) ?? -1;
}

/** The name of a link by its index, in the output of `ip -j link`. */
export function nameByIndex(links: IpObject[]): (index: number) => string {
  const names = new Map(links.map(({ ifname, ifindex }) => [ifindex as number, ifname as string]));
  return (index) => names.get(index) ?? `link ${index}`;
}

/** The link that must be decoded, given the output of `ip -j -d link`. */
export function linkOf(printed: IpObject, indexOf: (name: unknown) => number): Link {
  const flags = printed.flags as string[];
  const info = printed.linkinfo as IpObject | undefined;
  return {
    index: printed.ifindex as number,
    name: printed.ifname as string,
    altnames: (printed.altnames as string[] | undefined) ?? [],
    mtu: printed.mtu as number,
    ...(printed.address !== undefined && { mac: printed.address as string }),
    up: flags.includes('UP'),
    carrier: flags.includes('LOWER_UP'),
    loopback: flags.includes('LOOPBACK'),
    // A bridge's port has only a port's kind besides its own: `info_slave_kind`.
    ...(info?.info_kind !== undefined && { kind: info.info_kind as string }),
    ...(printed.master !== undefined && { master: indexOf(printed.master) }),
  };
}

const SCOPES: { [name: string]: number } = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 };

/** The address that must be decoded, given the `addr_info` of `ip -j -d address`. */
export function addressOf(printed: IpObject, link: number): Omit<LinkAddress, 'flags' | 'protocol'> {
  const text = (key: string) => (printed[key] === undefined ? {} : { [key]: printed[key] as string });
  return {
    link,
    prefix: {
      family: printed.family === 'inet' ? 4 : 6,
      address: printed.local as string,
      length: printed.prefixlen as number,
    },
    ...(printed.address !== undefined && { peer: printed.address as string }),
    ...text('broadcast'),
    ...text('label'),
    ...(printed.metric !== undefined && { metric: printed.metric as number }),
    scope: SCOPES[printed.scope as string] ?? Number(printed.scope),
    secondary: printed.secondary === true || printed.temporary === true,
    deprecated: printed.deprecated === true,
    tentative: printed.tentative === true,
    permanent: printed.dynamic !== true,
    preferredLifetime: printed.preferred_life_time as number,
    validLifetime: printed.valid_life_time as number,
  };
}

/** The neighbour entry that must be decoded, given the output of `ip -j neighbour show nud all`. */
export function neighbourOf(printed: IpObject, indexOf: (name: unknown) => number): Neighbour {
  return {
    link: indexOf(printed.dev),
    address: printed.dst as string,
    ...(printed.lladdr !== undefined && { mac: printed.lladdr as string }),
    state: (printed.state as Neighbour['state'][])[0] ?? 'NONE',
  };
}

const TABLES: { [number: number]: string } = { 253: 'default', 254: 'main', 255: 'local' };
const PROTOCOLS: { [number: number]: string } = {
  0: 'unspec',
  1: 'redirect',
  2: 'kernel',
  3: 'boot',
  4: 'static',
  9: 'ra',
  16: 'dhcp',
  186: 'bgp',
};
const SCOPE_NAMES = Object.fromEntries(Object.entries(SCOPES).map(([name, number]) => [number, name]));

// linux/rtnetlink.h
const RTA_FLOW = 11;
const RTA_PREF = 20;
const METRICS: { [rtax: number]: string } = {
  2: 'mtu',
  3: 'window',
  8: 'advmss',
  10: 'hoplimit',
  11: 'initcwnd',
  12: 'ecn',
  13: 'rto_min',
  14: 'initrwnd',
  15: 'quickack',
  16: 'congestion',
};
const RTAX_FEATURES = 12;
const RTAX_CC_ALGO = 16;

/** What `ip -j -d route` prints for this route: every field, and no other. */
export function printedRoute(route: Route, nameOf: (index: number) => string): IpObject {
  const [hop, another] = route.hops;
  const noHop = hop === undefined && route.family === 6 ? { dev: 'lo' } : {};
  const metrics = printedMetrics(route);
  return {
    type: route.type,
    dst: printedPrefix(route.dst),
    ...(route.from !== undefined && { from: printedPrefix(route.from) }),
    ...(route.tos !== undefined && { tos: `0x${route.tos.toString(16)}` }),
    ...(route.nexthopId !== undefined && { nhid: route.nexthopId }),
    ...(hop !== undefined && another === undefined ? printedHop(hop, route, nameOf) : noHop),
    table: TABLES[route.table] ?? String(route.table),
    protocol: PROTOCOLS[route.protocol] ?? String(route.protocol),
    scope: SCOPE_NAMES[route.scope] ?? String(route.scope),
    ...(route.src !== undefined && { prefsrc: route.src }),
    ...((route.family === 6 || route.priority !== 0) && { metric: route.priority }),
    flags: another === undefined && hop?.onlink ? ['onlink'] : [],
    ...(metrics !== undefined && { metrics: [metrics] }),
    ...printedFlow(route.other),
    ...(route.expires !== undefined && { expires: route.expires }),
    ...(route.family === 6 && { pref: printedPreference(route.other) }),
    ...(another !== undefined && {
      nexthops: route.hops.map((each) => ({
        ...printedHop(each, route, nameOf),
        ...printedFlow(each.other),
        weight: each.weight ?? 1,
        flags: each.onlink ? ['onlink'] : [],
      })),
    }),
  };
}

/** The output of `ip -j -d route` without what is not part of a route: its nexthop object and the state of its links. */
export function comparable(printed: IpObject): IpObject {
  const { nh_info: _, ...route } = printed;
  const nexthops = printed.nexthops as IpObject[] | undefined;
  return {
    ...route,
    flags: withoutState(printed.flags),
    ...(nexthops && { nexthops: nexthops.map((hop) => ({ ...hop, flags: withoutState(hop.flags) })) }),
  };
}

function withoutState(flags: unknown): string[] {
  return (flags as string[]).filter((flag) => flag !== 'dead' && flag !== 'linkdown');
}

function printedPrefix(text: string): string {
  const { family, address, length } = parsePrefix(text);
  if (length === 0) return 'default';
  return length === (family === 4 ? 32 : 128) ? address : text;
}

function printedHop({ gw, oif }: NextHop, { family }: Route, nameOf: (index: number) => string): IpObject {
  if (gw === undefined) return { dev: nameOf(oif) };
  if (familyOf(gw) === family) return { gateway: gw, dev: nameOf(oif) };
  return { via: { family: familyOf(gw) === 4 ? 'inet' : 'inet6', host: gw }, dev: nameOf(oif) };
}

// The bits of `lock` are not in ip's JSON.
function printedMetrics({ mtu, advmss, metrics = [] }: Route): IpObject | undefined {
  const printed: IpObject = { ...(mtu !== undefined && { mtu }), ...(advmss !== undefined && { advmss }) };
  for (const [rtax, hex] of metrics) {
    const key = METRICS[rtax];
    if (key !== undefined) printed[key] = printedMetric(rtax, Buffer.from(hex, 'hex'));
  }
  return Object.keys(printed).length + metrics.length === 0 ? undefined : printed;
}

function printedMetric(rtax: number, data: Buffer): unknown {
  if (rtax === RTAX_CC_ALGO) return data.toString('latin1').replace(/\0$/, '');
  return rtax === RTAX_FEATURES ? null : data.readUInt32LE();
}

function printedFlow(other: readonly RawAttribute[] = []): IpObject {
  const hex = other.find(([type]) => type === RTA_FLOW)?.[1];
  return hex === undefined ? {} : { flow: { to: String(Buffer.from(hex, 'hex').readUInt32LE()) } };
}

function printedPreference(other: readonly RawAttribute[] = []): string {
  const hex = other.find(([type]) => type === RTA_PREF)?.[1] ?? '00';
  return { '00': 'medium', '01': 'high', '03': 'low' }[hex] ?? hex;
}

const IP_PROTOCOLS: { [number: number]: string } = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'ipv6-icmp', 132: 'sctp' };

/** What `ip -j -d rule` prints for this rule: every field, and no other. */
export function printedRule(rule: Rule): IpObject {
  const { from, to, iif, oif, fwmark, ipproto, sport, dport, tos, flags = 0, action, table, protocol } = rule;
  const [src = 'all', srclen] = splitPrefix(from);
  const [dst, dstlen] = splitPrefix(to);
  return {
    priority: rule.priority,
    ...((flags & 0x02) !== 0 && { not: null }),
    src,
    ...(srclen !== undefined && { srclen }),
    ...(dst !== undefined && { dst }),
    ...(dstlen !== undefined && { dstlen }),
    ...(tos !== undefined && { tos: hex(tos) }),
    ...(fwmark !== undefined && { fwmark: fwmark.mark === 0 ? '0' : hex(fwmark.mark) }),
    ...(fwmark !== undefined && fwmark.mask !== 0xffff_ffff && { fwmask: hex(fwmark.mask) }),
    ...(iif !== undefined && { iif }),
    ...(iif === 'gone' && { iif_detached: null }),
    ...(oif !== undefined && { oif }),
    ...printedRaw(rule),
    ...(ipproto !== undefined && { ipproto: IP_PROTOCOLS[ipproto] ?? `ipproto-${ipproto}` }),
    ...printedPorts('sport', sport),
    ...printedPorts('dport', dport),
    ...(action === 'lookup' && { table: TABLES[table] ?? String(table) }),
    ...(action === 'nop' && { nop: null }),
    ...(['blackhole', 'unreachable', 'prohibit'].includes(action) && { action }),
    ...(protocol !== undefined && { protocol: PROTOCOLS[protocol] ?? String(protocol) }),
  };
}

// `ip` leaves the length of a whole address out.
function splitPrefix(prefix: string | undefined): [address?: string, length?: number] {
  const [address, length] = prefix?.split('/') ?? [];
  if (address === undefined) return [];
  return Number(length) === (address.includes(':') ? 128 : 32) ? [address] : [address, Number(length)];
}

function printedPorts(key: string, range: PortRange | undefined): IpObject {
  if (range === undefined) return {};
  const { start, end } = range;
  return start === end ? { [key]: start } : { [`${key}_start`]: start, [`${key}_end`]: end };
}

// linux/fib_rules.h
const FRA_GOTO = 4;
const FRA_TUN_ID = 12;
const FRA_SUPPRESS_IFGROUP = 13;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_UID_RANGE = 20;

function printedRaw({ other = [], flags: _ }: Rule): IpObject {
  const printed = other.map(([type, text]): IpObject => {
    const bytes = Buffer.from(text, 'hex');
    if (type === FRA_GOTO) return { goto: bytes.readUInt32LE(), unresolved: null };
    if (type === FRA_TUN_ID) return { tun_id: Number(bytes.readBigUInt64BE()) };
    if (type === FRA_SUPPRESS_IFGROUP) return { suppress_ifgroup: String(bytes.readUInt32LE()) };
    if (type === FRA_SUPPRESS_PREFIXLEN) return { suppress_prefixlen: bytes.readUInt32LE() };
    if (type === FRA_UID_RANGE) return { uid_start: bytes.readUInt32LE(), uid_end: bytes.readUInt32LE(4) };
    return { [`unknown ${type}`]: text };
  });
  return Object.assign({}, ...printed);
}

function hex(number: number): string {
  return `0x${number.toString(16)}`;
}
