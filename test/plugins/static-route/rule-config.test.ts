import t from 'tap';
import { CniError } from '../../../lib/cni/errors.ts';
import { parseStaticRouteConfig } from '../../../plugins/static-route/config.ts';
import { problemsIn } from '../../support/plugins/problems.ts';

// What the kernel makes of rules is in test/plugins/static-route/rules.test.ts.

const read = (...rules: object[]) => parseStaticRouteConfig({ cniVersion: '1.1.0', name: 'net', rules }).config.rules;
const one = (rule: object) => read({ table: 7, from: '10.0.0.0/8', ...rule })[0]?.rules[0];

function problems(...rules: object[]): string[] {
  try {
    read(...rules);
    return [];
  } catch (error) {
    if (error instanceof CniError && error.code === 7) return problemsIn(error);
    throw error;
  }
}

t.test('what is not given, and of which family it is', async (t) => {
  const plain = { priority: 20_000, action: 'lookup', table: 7 };
  t.strictSame(read({ table: 7 }), [
    {
      rules: [
        { family: 4, ...plain },
        { family: 6, ...plain },
      ],
      isOfEither: true,
    },
  ]);
  t.strictSame(read({ table: 7, from: '10.0.0.5' }), [
    { rules: [{ family: 4, ...plain, from: '10.0.0.5/32' }], isOfEither: false },
  ]);
  t.strictSame(read({ table: 7, to: 'FD00::5' }), [
    { rules: [{ family: 6, ...plain, to: 'fd00::5/128' }], isOfEither: false },
  ]);
  t.strictSame(read({ table: 7, from: '::/0', to: '::/0' })[0]?.rules, [{ family: 6, ...plain }], 'all is not said');
  for (const number of [1, 0xffff_ffff])
    t.match(one({ table: number, priority: number }), { table: number, priority: number });
  t.strictSame(read({ action: 'prohibit', from: '10.0.0.0/8' })[0]?.rules, [
    { family: 4, priority: 20_000, action: 'prohibit', table: 0, from: '10.0.0.0/8' },
  ]);
});

t.test('marks, ports and protocols as text or number', async (t) => {
  const full = 0xffff_ffff;
  t.strictSame(one({ fwmark: 256 })?.fwmark, { mark: 256, mask: full });
  t.strictSame(one({ fwmark: '0X100/0xFF00' })?.fwmark, { mark: 256, mask: 0xff00 });
  t.strictSame(one({ fwmark: '0/15' })?.fwmark, { mark: 0, mask: 15 });
  t.strictSame(one({ fwmark: '4294967295/4294967295' })?.fwmark, { mark: full, mask: full });
  t.strictSame(one({ sport: 1, dport: '65534' }), {
    ...one({}),
    sport: { start: 1, end: 1 },
    dport: { start: 65534, end: 65534 },
  });
  t.strictSame(one({ sport: '5-5', dport: '1-65534' }), {
    ...one({}),
    sport: { start: 5, end: 5 },
    dport: { start: 1, end: 65534 },
  });
  // IANA's numbers.
  const numbers = {
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
  };
  for (const [ipproto, number] of [...Object.entries(numbers), [1, 1], ['255', 255]])
    t.equal(one({ ipproto })?.ipproto, number);
});

const MARK = 'a mark is needed, such as 0x100, or a mark and a mask, such as 0x100/0xff00';
const PORT = 'a port from 1 to 65534 is needed, or a range such as 5000-5999';
const WRONG: [rule: object, problem: string | RegExp][] = [
  [
    { from: '10.0.0.1/8' },
    'rules[0].from: 10.0.0.1/8 has bits set beyond its prefix length; the network is 10.0.0.0/8',
  ],
  [{ from: '10.0.0.0/8', to: 'fd00::/8' }, 'rules[0].to: fd00::/8 is of IPv6, but "from" is of IPv4'],
  ...['table', 'priority'].flatMap((key) =>
    [0, 0x1_0000_0000].map((number): [object, RegExp] => [{ [key]: number }, /: a whole number from 1 to 4294967295/]),
  ),
  [{ table: undefined }, 'rules[0].table: is missing: a rule looks a route up in a table'],
  [{ action: 'blackhole' }, 'rules[0].table: goes with "lookup", not with "blackhole"'],
  ...[0, '0', '65535', '5-4', '1-65535', '123456', 'http', '1-'].map((sport): [object, string] => [
    { sport },
    `rules[0].sport: ${PORT}`,
  ]),
  ...['x', '', '0x', '0x123456789', '4294967296', '1/4294967296', '1/'].map((fwmark): [object, string] => [
    { fwmark },
    `rules[0].fwmark: ${MARK}`,
  ]),
  [{ fwmark: '1/0' }, /has a mask without bits, which compares nothing/],
  [{ fwmark: 0 }, /needs a mask, as in 0\/0xff/],
  [{ fwmark: '0x10/0xf' }, /has bits beyond its mask, which never match/],
  ...[0, 256, 'htcp', 'toString', '1.5'].map((ipproto): [object, RegExp] => [
    { ipproto },
    /^rules\[0\]\.ipproto: a number from 1 to 255 is needed, or icmp, /,
  ]),
  [{ from: `10.0.0.0/${'9'.repeat(200)}` }, /^rules\[0\]\.from: a prefix or an address is needed/],
];

for (const [rule, problem] of WRONG) {
  t.test(`refuses ${JSON.stringify(rule).slice(0, 80)}`, async (t) => {
    t.match(problems({ table: 7, ...rule }), [problem]);
  });
}

t.test('two rules that the kernel would not keep apart', async (t) => {
  const from = { from: '10.0.0.0/8', table: 7 };
  const clash = (...rules: object[]) => problems(...rules);
  t.strictSame(clash(from, { from: '11.0.0.0/8', table: 7 }, from), ['rules[2]: is rules[0] again']);
  t.strictSame(clash(from, { ...from, table: 8 }), [
    'rules[1]: selects what rules[0] does at the same priority, and would never count',
  ]);
  t.match(clash({ ...from, iif: 'eth0' }, from), [
    /^rules\[1\]: covers rules\[0\] \(priority 20000 from 10\.0\.0\.0\/8 iif eth0 lookup 7\) at the same priority, /,
  ]);
  t.strictSame(clash(from, { ...from, iif: 'eth0' }), []);
  t.strictSame(clash(from, { ...from, priority: 5 }), []);
  t.strictSame(clash({ table: 7 }, { table: 7, to: 'fd00::/8' }), []);
});
