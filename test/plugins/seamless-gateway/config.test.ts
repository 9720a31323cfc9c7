import t from 'tap';
import type { CniError } from '../../../lib/cni/errors.ts';
import { gatewayChoice, parseSeamlessGatewayConfig } from '../../../plugins/seamless-gateway/config.ts';
import { problemsIn } from '../../support/plugins/problems.ts';

const parse = (keys: object) => parseSeamlessGatewayConfig({ name: 'net', ...keys }).config;

t.test('without keys of its own, every key has its default', async (t) => {
  t.match(parse({}), { gateway: 'first', waitSeconds: 0, onConflict: 'fail', protocol: 87 });
});

t.test('addresses are made canonical', async (t) => {
  t.match(parse({ hostAddresses: ['FD00:0::1'] }), { hostAddresses: ['fd00::1'] });
  t.match(parse({ gateway: 'FD00:0::1' }), { gateway: 'fd00::1' });
  t.match(parse({ gateway: { ipv6: 'FD00:0::1' } }), { gateway: { ipv6: 'fd00::1' } });
});

t.test('the choice of each family is the one for both, or its own, or the first', async (t) => {
  const choices = (gateway: unknown) => ([4, 6] as const).map((family) => gatewayChoice(parse({ gateway }), family));
  t.strictSame(choices('first'), ['first', 'first']);
  t.strictSame(choices('last'), ['last', 'last']);
  t.strictSame(choices({ ipv4: 'last', ipv6: 'first' }), ['last', 'first']);
  t.strictSame(choices({ offset: 3 }), [{ offset: 3 }, { offset: 3 }]);
  t.strictSame(choices({ ipv4: '10.0.0.9' }), ['10.0.0.9', 'first']);
  t.strictSame(choices({ ipv4: { offset: 3 }, ipv6: 'last' }), [{ offset: 3 }, 'last']);
});

const bad: [keys: object, ...lines: string[]][] = [
  [
    { gateway: 'second' },
    'gateway: "second" is not an IPv4 or IPv6 address; it may be "first", "last", an address or {"offset": n}',
  ],
  [{ args: { cni: { hostInterface: 'eth0' } } }, 'args.cni.hostInterface: can be set in the network config only'],
  [{ gateway: 5 }, 'gateway: must be a string, not a number'],
  [{ gateway: null }, 'gateway: must be a string, not null'],
  [{ gateway: '0.0.0.0' }, 'gateway: 0.0.0.0 stands for no address'],
  [{ gateway: { offst: 3 } }, 'gateway.offst: is not a known key'],
  [{ gateway: { offset: 1.5 } }, 'gateway.offset: a whole number is needed'],
  [{ gateway: { offset: 1, ipv4: 'first' } }, 'gateway.ipv4: is not a known key'],
  [{ gateway: { ipv4: 'x' } }, 'gateway.ipv4: "x" is not an IPv4 or IPv6 address'],
  [
    { gateway: { ipv4: '::', ipv6: '10.0.0.1' } },
    'gateway.ipv4: :: stands for no address',
    'gateway.ipv6: 10.0.0.1 is not an IPv6 address',
  ],
  [{ gateway: { ipv4: { offset: '1' } } }, 'gateway.ipv4.offset: a whole number is needed'],
  [{ hostAddresses: [] }, 'hostAddresses: must not be empty'],
  [{ hostAddresses: ['10.0.0.1/24'] }, 'hostAddresses[0]: "10.0.0.1/24" is a prefix, not an address'],
  [
    { hostAddresses: ['fd00::1', '::', 'FD00:0::1'] },
    'hostAddresses[1]: :: stands for no address',
    'hostAddresses[2]: is hostAddresses[0] again',
  ],
  [{ hostInterface: 'a/b' }, 'hostInterface: '],
  [{ families: [] }, 'families: must not be empty'],
  [{ families: ['ipv5'] }, 'families[0]: must be "ipv4" or "ipv6"'],
  [{ waitSeconds: -1 }, 'waitSeconds: a number from 0 to 600 is needed'],
  [{ waitSeconds: 601 }, 'waitSeconds: a number from 0 to 600 is needed'],
  [{ waitSeconds: '5' }, 'waitSeconds: must be a number, not a string'],
  [{ verifyGateway: {} }, 'verifyGateway.timeoutSeconds: a whole number from 1 to 600 is needed'],
  [{ verifyGateway: { timeoutSeconds: 5, retries: 1 } }, 'verifyGateway.retries: is not a known key'],
  [{ gatway: 'first' }, 'gatway: is not a known key; did you mean "gateway"?'],
  [{ waitSecond: 5 }, 'waitSecond: is not a known key; did you mean "waitSeconds"?'],
];

t.test('a wrong config is refused with 7 and a line for each problem', async (t) => {
  for (const [keys, ...lines] of bad) {
    const error = t.throws(() => parse(keys), { code: 7 }) as CniError;
    const told = problemsIn(error);
    t.equal(told.length, lines.length, told.join('; '));
    for (const [i, line] of lines.entries()) t.equal(told[i]?.slice(0, line.length), line);
  }
});
