import type { Family } from '../address/address.ts';
import type { RawAttribute } from './route.ts';

/** What is done with a packet that a rule selects, in the words of `ip rule`. */
export type RuleAction = 'unspec' | 'lookup' | 'goto' | 'nop' | 'blackhole' | 'unreachable' | 'prohibit';

/** Ports from `start` to `end`, both included. */
export type PortRange = { readonly start: number; readonly end: number };

/**
 * A policy rule as the kernel has it: everything that `ip -d rule` shows, and what has no field of its own in `other`, so
 * that adding a rule that was read makes the same rule again. Plain data that survives JSON.
 */
export type Rule = {
  readonly family: Family;
  /** The order in which rules are asked, the lowest first; those of one priority in the order in which they were added. */
  readonly priority: number;
  readonly action: RuleAction;
  /** The table of a `lookup`; 0 for other actions. */
  readonly table: number;
  /** FRA_PROTOCOL: who added it. Absent on kernels before 4.17, which do not remember it. */
  readonly protocol?: number;
  /** The prefix of the source address, canonical, without host bits. Absent for all of them. */
  readonly from?: string;
  /** The prefix of the destination. */
  readonly to?: string;
  /** The name of the link that the packet came in by; `lo` for those that the pod sends. */
  readonly iif?: string;
  /** The name of the link that the packet's socket is bound to. */
  readonly oif?: string;
  readonly fwmark?: { readonly mark: number; readonly mask: number };
  readonly ipproto?: number;
  readonly sport?: PortRange;
  readonly dport?: PortRange;
  readonly tos?: number;
  /** FIB_RULE_* that whoever added the rule gave, as FIB_RULE_INVERT for `not`. */
  readonly flags?: number;
  /** A link that the rule names does not exist, or has been renamed: the rule selects nothing. */
  readonly detached?: true;
  /** FRA_* that have no field of their own. */
  readonly other?: readonly RawAttribute[];
};

/** Do both select the same packets, at the same priority? */
export function isSameSelection(a: Rule, b: Rule): boolean {
  return selectionOf(a) === selectionOf(b);
}

/** Do both do the same with the same packets, at the same priority? Who added them (`protocol`) is left out. */
export function isSameRule(a: Rule, b: Rule): boolean {
  return isSameSelection(a, b) && a.action === b.action && a.table === b.table;
}

/**
 * Would the kernel delete `present` when it is asked to delete `wanted`? It deletes the first rule of the priority that
 * has what the request names, and whatever the request does not name (rule_find in net/core/fib_rules.c).
 */
export function isTakenFor(present: Rule, wanted: Rule): boolean {
  const named: readonly (keyof Rule)[] = ['from', 'to', 'iif', 'oif', 'ipproto', 'sport', 'dport', 'tos'];
  return (
    present.family === wanted.family &&
    present.priority === wanted.priority &&
    present.action === wanted.action &&
    (wanted.table === 0 || present.table === wanted.table) &&
    (present.protocol === undefined || isMatched(present.protocol, wanted.protocol || undefined)) &&
    named.every((key) => isMatched(present[key], wanted[key])) &&
    isMatched(present.fwmark?.mark, wanted.fwmark?.mark || undefined) &&
    isMatched(present.fwmark?.mask, wanted.fwmark?.mask) &&
    (wanted.other ?? []).every((attribute) => hasAttribute(present, attribute))
  );
}

/** The rule in the words of `ip rule`. Where no address says which family it is of, the last words do. */
export function describeRule(rule: Rule): string {
  const { from, to, iif, oif, fwmark, ipproto, sport, dport, tos, action, table, priority, family } = rule;
  const words = {
    to,
    tos: tos === undefined ? undefined : hex(tos),
    fwmark: fwmark && `${hex(fwmark.mark)}${fwmark.mask === FULL_MASK ? '' : `/${hex(fwmark.mask)}`}`,
    iif,
    oif,
    ipproto,
    sport: sport && rangeText(sport),
    dport: dport && rangeText(dport),
  };
  return [
    `priority ${priority}${isInverted(rule) ? ' not' : ''} from ${from ?? 'all'}`,
    ...Object.entries(words).flatMap(([word, value]) => (value === undefined ? [] : ` ${word} ${value}`)),
    ` ${action}${action === 'lookup' ? ` ${table}` : ''}`,
    from === undefined && to === undefined ? ` for IPv${family}` : '',
  ].join('');
}

/** A mask that compares every bit of a mark, which is what a mark without a mask means. */
export const FULL_MASK = 0xffff_ffff;

/** FIB_RULE_INVERT of linux/fib_rules.h: the rule is for the packets that it does not describe. */
const FIB_RULE_INVERT = 0x02;

function isInverted({ flags = 0 }: Rule): boolean {
  return (flags & FIB_RULE_INVERT) !== 0;
}

function selectionOf(rule: Rule): string {
  const { family, priority, from, to, iif, oif, fwmark, ipproto, sport, dport, tos, flags, other } = rule;
  const ports = [sport, dport].map((range) => range && rangeText(range));
  const mark = fwmark && [fwmark.mark, fwmark.mask];
  return JSON.stringify([
    family,
    priority,
    from,
    to,
    iif,
    oif,
    mark,
    ipproto,
    ports,
    tos ?? 0,
    flags ?? 0,
    other ?? [],
  ]);
}

// What is not named matches anything.
function isMatched(present: unknown, wanted: unknown): boolean {
  return wanted === undefined || JSON.stringify(present) === JSON.stringify(wanted);
}

function hasAttribute({ other = [] }: Rule, attribute: RawAttribute): boolean {
  return other.some((own) => JSON.stringify(own) === JSON.stringify(attribute));
}

function rangeText({ start, end }: PortRange): string {
  return start === end ? `${start}` : `${start}-${end}`;
}

function hex(number: number): string {
  return `0x${number.toString(16)}`;
}
