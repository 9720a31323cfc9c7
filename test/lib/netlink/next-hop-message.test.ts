import fc from 'fast-check';
import t from 'tap';
import { decodeHops, decodeVia, encodeHops, encodeVia, RTNH_F_ONLINK } from '../../../lib/netlink/next-hop-message.ts';
import type { NextHop } from '../../../lib/netlink/route.ts';

/** Next hops as bytes, derived by hand from linux/rtnetlink.h: u16 length, flags, weight less one, s32 link, attributes. */
const table: [what: string, family: 4 | 6, hops: NextHop[], hex: string][] = [
  ['no hop', 4, [], ''],
  ['only a link', 4, [{ oif: 7 }], '0800 00 00 07000000'],
  ['a gateway', 4, [{ gw: '10.0.0.1', oif: 2 }], '1000 00 00 02000000 0800 0500 0a000001'],
  ['the greatest weight', 4, [{ oif: 2, weight: 256 }], '0800 00 ff 02000000'],
  ['onlink', 4, [{ gw: '10.0.0.1', oif: 2, onlink: true }], '1000 04 00 02000000 0800 0500 0a000001'],
  [
    'an IPv6 gateway of an IPv6 route',
    6,
    [{ gw: 'fe80::1', oif: 2, weight: 3 }],
    '1c00 00 02 02000000 1400 0500 fe800000000000000000000000000001',
  ],
  [
    'an IPv6 gateway of an IPv4 route, with padding before the next hop',
    4,
    [
      { gw: 'fe80::1', oif: 2 },
      { gw: '10.0.0.1', oif: 3 },
    ],
    '1e00 00 00 02000000 1600 1200 0a00 fe800000000000000000000000000001 0000 1000 00 00 03000000 0800 0500 0a000001',
  ],
  [
    'an attribute that is carried along (RTA_FLOW)',
    4,
    [{ gw: '10.0.0.1', oif: 2, other: [[11, '09000000']] }],
    '1800 00 00 02000000 0800 0500 0a000001 0800 0b00 09000000',
  ],
];

for (const [what, family, hops, hex] of table) {
  t.test(`${what} is written and read byte for byte as rtnetlink.h has it`, async (t) => {
    const bytes = hex.replaceAll(' ', '');
    t.equal(Buffer.from(encodeHops(hops, family)).toString('hex'), bytes);
    t.strictSame(decodeHops(Buffer.from(bytes, 'hex')), hops);
  });
}

t.test('hops come back from their bytes as they were, in their order', async () => {
  const gw = fc.constantFrom('10.0.0.1', '192.0.2.255', 'fe80::1', 'fd00::ffff', undefined);
  const hop = fc
    .record({
      gw,
      oif: fc.integer({ min: 1, max: 0x7fffffff }),
      weight: fc.integer({ min: 1, max: 256 }),
      onlink: fc.boolean(),
    })
    .map(
      ({ gw, oif, weight, onlink }): NextHop => ({
        ...(gw !== undefined && { gw }),
        oif,
        ...(weight > 1 && { weight }),
        ...(onlink && { onlink }),
      }),
    );
  fc.assert(
    fc.property(fc.array(hop, { maxLength: 20 }), (hops) => {
      const read = decodeHops(Buffer.from(encodeHops(hops, 4)));
      return JSON.stringify(read) === JSON.stringify(hops);
    }),
  );
});

t.test('the state of a link (dead, linkdown, offload) is no part of a hop', async (t) => {
  t.strictSame(decodeHops(Buffer.from('0800190007000000', 'hex')), [{ oif: 7 }]);
});

t.test(
  'a length that is too short to be one is refused, and does not loop for ever',
  { timeout: 60_000 },
  async (t) => {
    t.throws(() => decodeHops(Buffer.from('0000000007000000', 'hex')), RangeError);
    t.throws(() => decodeHops(Buffer.from('0700000007000000', 'hex')), RangeError);
  },
);

t.test('RTA_VIA is the family and the address', async (t) => {
  t.equal(Buffer.from(encodeVia('10.0.0.1')).toString('hex'), '02000a000001');
  t.equal(Buffer.from(encodeVia('fe80::1')).toString('hex'), '0a00fe800000000000000000000000000001');
  t.equal(decodeVia(Buffer.from('02000a000001', 'hex')), '10.0.0.1');
  t.equal(decodeVia(Buffer.from('0a00fe800000000000000000000000000001', 'hex')), 'fe80::1');
});

t.test('RTNH_F_ONLINK is 4', async (t) => {
  t.equal(RTNH_F_ONLINK, 4);
});
