import { FlagsNew } from 'netlink/dist/constants.js';
import { MessageType } from 'netlink/dist/rt/gen_structs.js';
import {
  getString,
  getU32,
  type NetlinkMessage,
  putString,
  readU16,
  readU32,
  writeU16,
  writeU32,
} from 'netlink/dist/structs.js';
import { addressFromBytes, addressToBytes, type Family, unspecified } from '../address/address.ts';
import { NetlinkError } from './errors.ts';
import { afOf, familyOfAf } from './family.ts';
import { attributesOf, type PayloadWriter, payloadOf, type Request } from './message.ts';
import type { RawAttribute } from './route.ts';
import { FULL_MASK, type PortRange, type Rule, type RuleAction } from './rule.ts';
import type { RouteSocket } from './socket.ts';

// FRA_* of linux/fib_rules.h.
const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const FRA_PAD = 18;
const FRA_PROTOCOL = 21;
const FRA_IP_PROTO = 22;
const FRA_SPORT_RANGE = 23;
const FRA_DPORT_RANGE = 24;
const FRA_SPORT_MASK = 28;
const FRA_DPORT_MASK = 29;

/** Values that the kernel shows of every rule, and that say nothing: no suppression, and ports compared as they are. */
const SAYS_NOTHING = new Map([
  [FRA_SUPPRESS_PREFIXLEN, 'ffffffff'],
  [FRA_SPORT_MASK, 'ffff'],
  [FRA_DPORT_MASK, 'ffff'],
]);

// struct fib_rule_hdr: the offsets of its fields. A table above 255 has no room in it, so tables are in FRA_TABLE.
const FIB_RULE_HDR_BYTES = 12;
const FRH_FAMILY = 0;
const FRH_DST_LEN = 1;
const FRH_SRC_LEN = 2;
const FRH_TOS = 3;
const FRH_TABLE = 4;
const FRH_ACTION = 7;
const FRH_FLAGS = 8;

/** FIB_RULE_IIF_DETACHED and FIB_RULE_OIF_DETACHED: states that the kernel shows beside the flags that were given. */
const DETACHED = 0x08 | 0x10;
/** The rest of what the kernel sets by itself: FIB_RULE_PERMANENT and FIB_RULE_UNRESOLVED. */
const KERNELS_FLAGS = DETACHED | 0x01 | 0x04;

/** A request to add the rule. Refused with EEXIST if the same rule with the same protocol is there. */
export function addRuleRequest(rule: Rule): Request {
  return { type: MessageType.NEWRULE, flags: FlagsNew.CREATE | FlagsNew.EXCL, payload: encodeRule(rule) };
}

/**
 * A request to delete the rule. The kernel takes the first one that has what is given (`isTakenFor`): look first whether
 * this very rule is there. Refused with ENOENT if none has.
 */
export function deleteRuleRequest(rule: Rule): Request {
  return { type: MessageType.DELRULE, flags: 0, payload: encodeRule(rule) };
}

/** A request to dump the rules of a family. */
export function dumpRulesRequest(family: Family): Request {
  const payload = payloadOf((out) => {
    const header = Buffer.alloc(FIB_RULE_HDR_BYTES);
    header[FRH_FAMILY] = afOf(family);
    out.emit(header);
  });
  return { type: MessageType.GETRULE, flags: 0, payload };
}

/**
 * The rules of a family in the order in which the kernel asks them; undefined if it has none of this family, as without
 * IPv6 or without CONFIG_IP_MULTIPLE_TABLES. Throws NetlinkError.
 */
export function listRules(socket: RouteSocket, family: Family): Rule[] | undefined {
  try {
    const messages = socket.dump('list rules', dumpRulesRequest(family));
    return messages.flatMap((message) => decodeRule(message) ?? []).filter((rule) => rule.family === family);
  } catch (error) {
    const isUnknown = error instanceof NetlinkError && ['EAFNOSUPPORT', 'EOPNOTSUPP'].includes(error.code);
    if (isUnknown) return undefined;
    throw error;
  }
}

/** The payload of RTM_NEWRULE or RTM_DELRULE. */
export function encodeRule(rule: Rule): Uint8Array {
  const { family, from, to, tos = 0, action, flags = 0 } = rule;
  const [src, srcLength] = from?.split('/') ?? [];
  const [dst, dstLength] = to?.split('/') ?? [];
  return payloadOf((out) => {
    const header = Buffer.alloc(FIB_RULE_HDR_BYTES);
    header[FRH_FAMILY] = afOf(family);
    header[FRH_DST_LEN] = Number(dstLength ?? 0);
    header[FRH_SRC_LEN] = Number(srcLength ?? 0);
    header[FRH_TOS] = tos;
    header[FRH_ACTION] = ACTIONS.indexOf(action);
    writeU32.call(header, flags, FRH_FLAGS);
    out.emit(header);
    if (dst !== undefined) out.push(FRA_DST, addressToBytes(dst));
    if (src !== undefined) out.push(FRA_SRC, addressToBytes(src));
    pushAttributes(out, rule);
  });
}

function pushAttributes(out: PayloadWriter, rule: Rule): void {
  const { iif, oif, priority, fwmark, table, protocol, ipproto, sport, dport, other = [] } = rule;
  if (iif !== undefined) out.push(FRA_IIFNAME, putString(iif));
  if (oif !== undefined) out.push(FRA_OIFNAME, putString(oif));
  out.pushU32(FRA_PRIORITY, priority);
  if (fwmark !== undefined) {
    out.pushU32(FRA_FWMARK, fwmark.mark);
    out.pushU32(FRA_FWMASK, fwmark.mask);
  }
  if (table !== 0) out.pushU32(FRA_TABLE, table);
  if (protocol !== undefined) out.push(FRA_PROTOCOL, Uint8Array.of(protocol));
  if (ipproto !== undefined) out.push(FRA_IP_PROTO, Uint8Array.of(ipproto));
  if (sport !== undefined) out.push(FRA_SPORT_RANGE, rangeBytes(sport));
  if (dport !== undefined) out.push(FRA_DPORT_RANGE, rangeBytes(dport));
  for (const [type, bytes] of other) out.push(type, Buffer.from(bytes, 'hex'));
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Reads an RTM_NEWRULE; undefined for other messages and families. */
export function decodeRule({ type, data }: NetlinkMessage): Rule | undefined {
  const family = familyOfAf(data[FRH_FAMILY]);
  if (type !== MessageType.NEWRULE || family === undefined) return undefined;
  const flags = readU32.call(data, FRH_FLAGS);
  const own = flags & ~KERNELS_FLAGS;
  const rule: Writable<Rule> = {
    family,
    priority: 0,
    action: ACTIONS[data[FRH_ACTION] ?? 0] ?? 'unspec',
    table: data[FRH_TABLE] ?? 0,
    ...(data[FRH_TOS] && { tos: data[FRH_TOS] }),
    ...(own !== 0 && { flags: own }),
    ...((flags & DETACHED) !== 0 && { detached: true as const }),
  };
  // A prefix of no bits has no attribute; with FRA_DST of a length of 0 there is nothing to compare either.
  const [srcLength, dstLength] = [data[FRH_SRC_LEN] ?? 0, data[FRH_DST_LEN] ?? 0];
  if (srcLength > 0) rule.from = `${unspecified(family)}/${srcLength}`;
  if (dstLength > 0) rule.to = `${unspecified(family)}/${dstLength}`;
  const attributes = attributesOf(data.subarray(FIB_RULE_HDR_BYTES));
  const other = attributes.filter(([fra, value]) => !readAttribute(rule, fra, value));
  if (other.length > 0) rule.other = other.map(([fra, value]): RawAttribute => [fra, value.toString('hex')]);
  return rule;
}

// Returns whether the attribute has a field, or says nothing.
function readAttribute(rule: Writable<Rule>, fra: number, value: Buffer): boolean {
  if (fra === FRA_SRC) rule.from = `${addressFromBytes(value)}${lengthOf(rule.from)}`;
  else if (fra === FRA_DST) rule.to = `${addressFromBytes(value)}${lengthOf(rule.to)}`;
  else if (fra === FRA_IIFNAME) rule.iif = getString(value);
  else if (fra === FRA_OIFNAME) rule.oif = getString(value);
  else if (fra === FRA_PRIORITY) rule.priority = getU32(value);
  else if (fra === FRA_FWMARK) rule.fwmark = { mask: FULL_MASK, ...rule.fwmark, mark: getU32(value) };
  else if (fra === FRA_FWMASK) rule.fwmark = { mark: 0, ...rule.fwmark, mask: getU32(value) };
  else if (fra === FRA_TABLE) rule.table = getU32(value);
  else if (fra === FRA_PROTOCOL) rule.protocol = value[0] ?? 0;
  else if (fra === FRA_IP_PROTO) rule.ipproto = value[0] ?? 0;
  else if (fra === FRA_SPORT_RANGE) rule.sport = rangeOf(value);
  else if (fra === FRA_DPORT_RANGE) rule.dport = rangeOf(value);
  else return fra === FRA_PAD || SAYS_NOTHING.get(fra) === value.toString('hex');
  return true;
}

function lengthOf(prefix = '/0'): string {
  return prefix.slice(prefix.indexOf('/'));
}

// struct fib_rule_port_range
function rangeBytes({ start, end }: PortRange): Uint8Array {
  const bytes = Buffer.alloc(4);
  writeU16.call(bytes, start, 0);
  writeU16.call(bytes, end, 2);
  return bytes;
}

function rangeOf(bytes: Buffer): PortRange {
  return { start: readU16.call(bytes, 0), end: readU16.call(bytes, 2) };
}

/** FR_ACT_* by number; 4 and 5 are reserved. */
const ACTIONS: readonly RuleAction[] = [
  'unspec',
  'lookup',
  'goto',
  'nop',
  'unspec',
  'unspec',
  'blackhole',
  'unreachable',
  'prohibit',
];
