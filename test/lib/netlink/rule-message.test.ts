import t from 'tap';
import type { Request } from '../../../lib/netlink/message.ts';
import { describeRule, type Rule } from '../../../lib/netlink/rule.ts';
import {
  addRuleRequest,
  decodeRule,
  deleteRuleRequest,
  encodeRule,
  listRules,
} from '../../../lib/netlink/rule-message.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { exampleRules } from '../../support/namespaces/example-state.ts';
import { golden, printedRule } from '../../support/namespaces/ip-json.ts';
import { noNamespaces, type Scratch, scratchPod } from '../../support/namespaces/namespace.ts';
import { done, fakeTransport, replay, socketIn } from '../../support/namespaces/transport.ts';

/** Requests as bytes, derived by hand from linux/fib_rules.h (struct fib_rule_hdr, FRA_*), little endian. */
const REQUESTS: [what: string, rule: Rule, bytes: string[]][] = [
  [
    'a rule for a source address',
    { family: 4, priority: 30000, action: 'lookup', table: 87002, protocol: 87, from: '10.7.168.173/32' },
    [
      '02 00 20 00 00 00 00 01 00000000', // AF_INET, no destination, /32, no tos, table below, FR_ACT_TO_TBL
      '0800 0200 0a07a8ad', // FRA_SRC
      '0800 0600 30750000', // FRA_PRIORITY
      '0800 0f00 da530100', // FRA_TABLE
      '0500 1500 57', // FRA_PROTOCOL
    ],
  ],
  [
    'an IPv6 rule with every selector',
    {
      family: 6,
      priority: 7,
      action: 'prohibit',
      table: 0,
      protocol: 87,
      from: 'fd00::/64',
      to: 'fd01::5/128',
      iif: 'eth0',
      oif: 'net1',
      fwmark: { mark: 0x100, mask: 0xff00 },
      ipproto: 6,
      sport: { start: 5000, end: 5999 },
      dport: { start: 80, end: 80 },
      tos: 0x10,
      flags: 2,
    },
    [
      '0a 80 40 10 00 00 00 08 02000000', // FR_ACT_PROHIBIT, FIB_RULE_INVERT
      '1400 0100 fd010000000000000000000000000005', // FRA_DST
      '1400 0200 fd000000000000000000000000000000', // FRA_SRC
      '0900 0300 6574683000 000000', // FRA_IIFNAME, "eth0" and NUL, padding
      '0900 1100 6e65743100 000000', // FRA_OIFNAME
      '0800 0600 07000000',
      '0800 0a00 00010000', // FRA_FWMARK
      '0800 1000 00ff0000', // FRA_FWMASK
      '0500 1500 57 000000',
      '0500 1600 06 000000', // FRA_IP_PROTO
      '0800 1700 8813 6f17', // FRA_SPORT_RANGE
      '0800 1800 5000 5000', // FRA_DPORT_RANGE
    ],
  ],
  [
    'an attribute that has no field',
    { family: 4, priority: 1, action: 'goto', table: 0, other: [[4, 'c8000000']] },
    ['02 00 00 00 00 00 00 02 00000000', '0800 0600 01000000', '0800 0400 c8000000'],
  ],
];

for (const [what, rule, bytes] of REQUESTS) {
  t.test(`${what}, as bytes`, async (t) => {
    t.equal(Buffer.from(encodeRule(rule)).toString('hex'), bytes.join('').replaceAll(' ', ''));
    const data = Buffer.from(encodeRule(rule));
    const read = decodeRule({ type: 32, flags: 0, seq: 0, port: 0, data });
    t.strictSame(read, rule, 'and back');
  });
}

t.test('messages of other types and families are not read', async (t) => {
  const data = Buffer.from(encodeRule({ family: 4, priority: 1, action: 'nop', table: 0 }));
  t.equal(decodeRule({ type: 24, flags: 0, seq: 0, port: 0, data }), undefined);
  data[0] = 28;
  t.equal(decodeRule({ type: 32, flags: 0, seq: 0, port: 0, data }), undefined);
});

for (const family of [4, 6] as const) {
  t.test(`the recorded IPv${family} dump is decoded to what ip -j -d rule printed of the same rules`, async (t) => {
    const { ip, received } = golden(`rules-ipv${family}`);
    const rules = listRules(new RouteSocket(replay(received.all ?? [])), family) ?? [];
    t.equal(rules.length, ip.length);
    for (const [i, printed] of ip.entries()) {
      const rule = rules[i];
      t.strictSame(rule && printedRule(rule), printed, `priority ${printed.priority}`);
      t.strictSame(JSON.parse(JSON.stringify(rule)), rule, `priority ${printed.priority} survives JSON`);
      t.equal(rule?.detached === true, printed.iif_detached === null, `priority ${printed.priority}: detached`);
    }
  });
}

t.test('a kernel without rules of a family has none, and any other refusal is thrown', async (t) => {
  const list = (errno: number) =>
    listRules(new RouteSocket(fakeTransport(([sent]) => (sent ? [done(sent, errno)] : []))), 6);
  t.equal(list(97), undefined);
  t.equal(list(95), undefined);
  t.throws(() => list(13), { name: 'NetlinkError', code: 'EACCES' });
});

t.test('in a real namespace', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  pod.ip('link add br0 type bridge');
  const socket = socketIn(t, pod);
  const refusalsOf = async (request: Request) => (await socket.change([request], () => 'change')).refusals;
  for (const family of [4, 6] as const) for (const command of exampleRules(family)) pod.ip(command);

  for (const family of [4, 6] as const) {
    t.test(`the IPv${family} rules are what ip -j -d rule prints`, async (t) => {
      t.strictSame(listRules(socket, family)?.map(printedRule), pod.ipJson(`-d -${family} rule show`));
    });

    t.test(
      `every IPv${family} rule that is deleted and added again is the same, and no other is touched`,
      async (t) => {
        const rules = listRules(socket, family) ?? [];
        t.ok(rules.length > 15);
        for (const rule of rules) {
          const name = describeRule(rule);
          const before = linesOf(pod, family);
          t.strictSame(await refusalsOf(deleteRuleRequest(rule)), [], `${name} can be deleted`);
          const without = linesOf(pod, family);
          t.equal(without.length, before.length - 1, `${name} is gone, and only it`);
          t.ok(
            without.every((line) => before.includes(line)),
            `nothing else changed with ${name}`,
          );
          const { detached: _, ...copy } = JSON.parse(JSON.stringify(rule));
          t.strictSame(await refusalsOf(addRuleRequest(copy)), [], `${name} can be added`);
          t.strictSame(linesOf(pod, family), before, `${name} is back as it was`);
          t.match(await refusalsOf(addRuleRequest(copy)), [{ error: { code: 'EEXIST' } }], `${name} only once`);
        }
      },
    );
  }

  t.test('a rule that is not there is refused with ENOENT, which undoing takes for undone', async (t) => {
    const rule: Rule = { family: 4, priority: 4711, action: 'lookup', table: 9, protocol: 87 };
    t.match(await refusalsOf(deleteRuleRequest(rule)), [{ error: { code: 'ENOENT' } }]);
  });
});

/** The rules as text, one line each. */
function linesOf(pod: Scratch, family: 4 | 6): string[] {
  return pod.ip(`-d -${family} rule show`).split('\n').filter(Boolean);
}
