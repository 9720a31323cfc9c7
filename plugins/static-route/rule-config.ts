import * as z from 'zod/mini';
import { AddressError, canonicalAddress, type Family, familyOf } from '../../lib/address/address.ts';
import { bitsOf, formatPrefix, type Prefix, parsePrefix } from '../../lib/address/prefix.ts';
import { hostBitsProblem, integer, interfaceName } from '../../lib/cni/schema.ts';
import { describeRule, FULL_MASK, isSameRule, isSameSelection, isTakenFor, type Rule } from '../../lib/netlink/rule.ts';

// The schema of policy rules: `rules` of the config.

const UINT32_MAX = 0xffff_ffff;

/** The kernel refuses a range of ports that ends with 65535 (fib_rule_port_range_valid). */
const HIGHEST_PORT = 65_534;

/** The priority of a rule for which none is asked: behind what is asked for by number, before the main table's 32766. */
export const DEFAULT_RULE_PRIORITY = 20_000;

/** IP protocols by the names that `ip rule` has for them. Any other is given by its number. */
export const IP_PROTOCOLS = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  gre: 47,
  esp: 50,
  ah: 51,
  'ipv6-icmp': 58,
  sctp: 132,
  udplite: 136,
} as const;

type Wrong = (path: PropertyKey[], message: string) => void;

// An address stands for itself alone.
const addresses = text('a prefix or an address is needed, such as 10.0.0.0/8 or fd00::5', (written): Prefix => {
  if (written.includes('/')) return parsePrefix(written);
  const address = canonicalAddress(written);
  const family = familyOf(address);
  return { family, address, length: bitsOf(family) };
});

const ports = text(`a port from 1 to ${HIGHEST_PORT} is needed, or a range such as 5000-5999`, (written) => {
  const [, first = '', last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(written) ?? [];
  const range = { start: Number(first), end: Number(last) };
  return range.start >= 1 && range.start <= range.end && range.end <= HIGHEST_PORT ? range : undefined;
});

const MARK = 'a mark is needed, such as 0x100, or a mark and a mask, such as 0x100/0xff00';
const fwmark = text(MARK, (written) => {
  const [, first = '', second] = /^(0x[0-9a-f]{1,8}|\d{1,10})(?:\/(0x[0-9a-f]{1,8}|\d{1,10}))?$/i.exec(written) ?? [];
  const [mark, mask] = [Number(first || Number.NaN), Number(second ?? FULL_MASK)];
  if (!(mark <= UINT32_MAX && mask <= UINT32_MAX)) return undefined;
  if (mask === 0) throw new AddressError(written, 'has a mask without bits, which compares nothing');
  // A mark of 0 without a mask is no selector to the kernel.
  if (mark === 0 && second === undefined) throw new AddressError(written, 'needs a mask, as in 0/0xff');
  const isBeyond = (BigInt(mark) & ~BigInt(mask)) !== 0n;
  if (isBeyond) throw new AddressError(written, 'has bits beyond its mask, which never match');
  return { mark, mask };
});

const ipproto = text(`a number from 1 to 255 is needed, or ${Object.keys(IP_PROTOCOLS).join(', ')}`, (written) => {
  if (Object.hasOwn(IP_PROTOCOLS, written)) return IP_PROTOCOLS[written as keyof typeof IP_PROTOCOLS];
  return /^\d{1,3}$/.test(written) && Number(written) >= 1 && Number(written) <= 255 ? Number(written) : undefined;
});

const ruleKeys = z.strictObject({
  from: z.optional(addresses),
  to: z.optional(addresses),
  iif: z.optional(interfaceName),
  oif: z.optional(interfaceName),
  fwmark: z.optional(fwmark),
  ipproto: z.optional(ipproto),
  sport: z.optional(ports),
  dport: z.optional(ports),
  table: z.optional(integer(1, UINT32_MAX)),
  priority: z._default(integer(1, UINT32_MAX), DEFAULT_RULE_PRIORITY),
  action: z._default(z.enum(['lookup', 'blackhole', 'unreachable', 'prohibit']), 'lookup'),
});

type RuleKeys = z.output<typeof ruleKeys>;

const rule = z.pipe(
  ruleKeys.check((context) => {
    checkRule(context.value, (path, message) => {
      context.issues.push({ code: 'custom', message, input: context.value, path });
    });
  }),
  z.transform((keys): RuleConfig => {
    const families = familiesOf(keys);
    return { rules: families.map((family) => ruleOf(keys, family)), isOfEither: families.length > 1 };
  }),
);

/** One rule of the config: a rule for each family that it is of. `isOfEither`: no address says which. */
export type RuleConfig = { readonly rules: readonly Rule[]; readonly isOfEither: boolean };

/** The schema of `rules`. */
export const listOfRules = z.array(rule).check((context) => {
  checkTogether(context.value, (path, message) => {
    context.issues.push({ code: 'custom', message, input: context.value, path });
  });
});

function familiesOf({ from, to }: RuleKeys): Family[] {
  const written = from ?? to;
  return written === undefined ? [4, 6] : [written.family];
}

function ruleOf(keys: RuleKeys, family: Family): Rule {
  const { from, to, iif, oif, sport, dport, table = 0, priority, action } = keys;
  return {
    family,
    priority,
    action,
    table,
    ...(from !== undefined && from.length > 0 && { from: formatPrefix(from) }),
    ...(to !== undefined && to.length > 0 && { to: formatPrefix(to) }),
    ...(iif !== undefined && { iif }),
    ...(oif !== undefined && { oif }),
    ...(keys.fwmark !== undefined && { fwmark: keys.fwmark }),
    ...(keys.ipproto !== undefined && { ipproto: keys.ipproto }),
    ...(sport !== undefined && { sport }),
    ...(dport !== undefined && { dport }),
  };
}

function checkRule({ from, to, table, action }: RuleKeys, wrong: Wrong): void {
  for (const [key, prefix] of Object.entries({ from, to })) {
    const problem = prefix && hostBitsProblem(prefix);
    if (prefix !== undefined && problem !== undefined) wrong([key], `${formatPrefix(prefix)} ${problem}`);
  }
  if (from !== undefined && to !== undefined && from.family !== to.family) {
    wrong(['to'], `${formatPrefix(to)} is of IPv${to.family}, but "from" is of IPv${from.family}`);
  }
  if (action === 'lookup' && table === undefined) wrong(['table'], 'is missing: a rule looks a route up in a table');
  if (action !== 'lookup' && table !== undefined) wrong(['table'], `goes with "lookup", not with "${action}"`);
}

// The kernel asks the first of two rules for the same packets only, and cannot delete one without the other.
function checkTogether(list: readonly RuleConfig[], wrong: Wrong): void {
  const seen: { own: Rule; index: number }[] = [];
  list.forEach((each, index) => {
    // One that is wrong in itself is still as it was written.
    const { rules = [] }: Partial<RuleConfig> = each;
    const problem = rules.flatMap((own) => problemOf(own, seen) ?? [])[0];
    if (problem !== undefined) wrong([index], problem);
    seen.push(...rules.map((own) => ({ own, index })));
  });
}

function problemOf(own: Rule, seen: readonly { own: Rule; index: number }[]): string | undefined {
  const other = seen.find((earlier) => isSameSelection(earlier.own, own) || isTakenFor(earlier.own, own));
  if (other === undefined) return undefined;
  const place = `rules[${other.index}]`;
  if (isSameRule(other.own, own)) return `is ${place} again`;
  if (isSameSelection(other.own, own)) return `selects what ${place} does at the same priority, and would never count`;
  return `covers ${place} (${describeRule(other.own)}) at the same priority, and the kernel could not delete it alone; put it first, or give it another priority`;
}

// What a text or a number in its place stands for. `read` returns undefined, or throws AddressError, for what is wrong.
function text<T>(needed: string, read: (written: string) => T | undefined) {
  return z.pipe(
    z.union([z.number(), z.string()], { error: needed }),
    z.transform((written, context): T => {
      const wrong = (message: string): never => {
        context.issues.push({ code: 'custom', message, input: written });
        return z.NEVER;
      };
      try {
        return read(String(written)) ?? wrong(needed);
      } catch (error) {
        if (!(error instanceof AddressError)) throw error;
        return wrong(error.message.length > LONGEST_MESSAGE ? needed : error.message);
      }
    }),
  );
}

const LONGEST_MESSAGE = 160;
