import t from 'tap';
import { describeRule, isSameRule, isSameSelection, isTakenFor, type Rule } from '../../../lib/netlink/rule.ts';
import { addRuleRequest, deleteRuleRequest, listRules } from '../../../lib/netlink/rule-message.ts';
import { noNamespaces, scratchNamespace } from '../../support/namespaces/namespace.ts';
import { socketIn } from '../../support/namespaces/transport.ts';

const RULE: Rule = { family: 4, priority: 7, action: 'lookup', table: 100, protocol: 87, from: '10.0.0.5/32' };

const WORDS: [rule: Rule, words: string][] = [
  [RULE, 'priority 7 from 10.0.0.5/32 lookup 100'],
  [{ family: 6, priority: 7, action: 'blackhole', table: 0 }, 'priority 7 from all blackhole for IPv6'],
  [{ ...RULE, flags: 2 }, 'priority 7 not from 10.0.0.5/32 lookup 100'],
  [
    {
      family: 4,
      priority: 9,
      action: 'lookup',
      table: 254,
      to: '10.0.0.0/8',
      tos: 0x10,
      fwmark: { mark: 0x100, mask: 0xff00 },
      iif: 'lo',
      oif: 'eth0',
      ipproto: 6,
      sport: { start: 5, end: 9 },
      dport: { start: 80, end: 80 },
    },
    'priority 9 from all to 10.0.0.0/8 tos 0x10 fwmark 0x100/0xff00 iif lo oif eth0 ipproto 6 sport 5-9 dport 80 lookup 254',
  ],
  [
    { family: 4, priority: 9, action: 'lookup', table: 5, fwmark: { mark: 1, mask: 0xffffffff } },
    'priority 9 from all fwmark 0x1 lookup 5 for IPv4',
  ],
];

for (const [rule, words] of WORDS) t.test(words, async (t) => t.equal(describeRule(rule), words));

t.test(
  'a rule is the same whoever added it and in whatever state, and another if it selects or does another thing',
  async (t) => {
    t.ok(isSameRule(RULE, { ...RULE, protocol: 3, detached: true }));
    t.notOk(isSameRule(RULE, { ...RULE, table: 101 }));
    t.ok(isSameSelection(RULE, { ...RULE, table: 101 }));
    t.notOk(isSameRule(RULE, { ...RULE, action: 'prohibit' }));
    const others: Partial<Rule>[] = [
      { priority: 8 },
      { from: '10.0.0.0/24' },
      { to: '10.0.0.0/24' },
      { iif: 'eth0' },
      { oif: 'eth0' },
      { fwmark: { mark: 1, mask: 1 } },
      { ipproto: 6 },
      { sport: { start: 1, end: 2 } },
      { dport: { start: 1, end: 2 } },
      { tos: 4 },
      { flags: 2 },
      { other: [[20, '00']] },
    ];
    for (const more of others) t.notOk(isSameSelection(RULE, { ...RULE, ...more }), JSON.stringify(more));
  },
);

// The kernel is the oracle: two rules, and the request to delete the second.
t.test(
  'the kernel deletes the first rule that has what the request names, as isTakenFor says',
  { skip: noNamespaces },
  async (t) => {
    const pod = scratchNamespace(t);
    const socket = socketIn(t, pod);
    const bare: Rule = { family: 4, priority: 7, action: 'lookup', table: 100, protocol: 87 };
    const variants: Partial<Rule>[] = [
      {},
      { from: '10.0.0.5/32' },
      { from: '10.0.0.0/24' },
      { from: '10.0.0.5/32', to: '10.1.0.0/16' },
      { to: '10.1.0.0/16' },
      { iif: 'lo' },
      { oif: 'lo' },
      { fwmark: { mark: 1, mask: 0xff } },
      { fwmark: { mark: 0, mask: 0xff } },
      { fwmark: { mark: 1, mask: 0xffffffff } },
      { ipproto: 6 },
      { ipproto: 6, dport: { start: 80, end: 80 } },
      { sport: { start: 5, end: 6 } },
      { tos: 0x10 },
      { table: 101 },
      { action: 'blackhole', table: 0 },
      { protocol: 88 },
      { priority: 8 },
      { iif: 'lo', fwmark: { mark: 1, mask: 0xff }, ipproto: 6 },
      { other: [[20, '0500000006000000']] },
      { flags: 2, from: '10.0.0.5/32' },
    ];
    const change = (rules: Rule[], request: typeof addRuleRequest) => socket.change(rules.map(request), () => 'change');
    for (const [i, first] of variants.entries()) {
      for (const [j, second] of variants.entries()) {
        if (i === j) continue;
        const [present, wanted] = [
          { ...bare, ...first },
          { ...bare, ...second },
        ];
        const both = await change([present, wanted], addRuleRequest);
        // The kernel does not compare FIB_RULE_INVERT.
        if (both.refusals.length === 0) {
          await change([wanted], deleteRuleRequest);
          const gone = !listRules(socket, 4)?.some(
            (rule) => isSameRule(rule, present) && rule.protocol === present.protocol,
          );
          t.equal(gone, isTakenFor(present, wanted), `${describeRule(present)} for ${describeRule(wanted)}`);
        }
        await change([present, wanted], deleteRuleRequest);
        await change([present, wanted], deleteRuleRequest);
        t.equal(listRules(socket, 4)?.length, 3);
      }
    }
  },
);
