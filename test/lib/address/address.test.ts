import { isIP, SocketAddress } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import {
  AddressError,
  addressFromBytes,
  addressToBytes,
  canonicalAddress,
  familyOf,
  unspecified,
} from '../../../lib/address/address.ts';

/** Texts of addresses with what they are in canonical form (RFC 5952; the examples of its section 4 are among them). */
const good: [text: string, canonical: string][] = [
  ['0.0.0.0', '0.0.0.0'],
  ['10.244.1.5', '10.244.1.5'],
  ['255.255.255.255', '255.255.255.255'],
  ['::', '::'],
  ['0:0:0:0:0:0:0:0', '::'],
  ['::1', '::1'],
  ['1::', '1::'],
  ['2001:DB8::ABCD', '2001:db8::abcd'],
  ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ['2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
  ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
  ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['::ffff:10.0.0.1', '::ffff:10.0.0.1'],
  ['::ffff:a00:1', '::ffff:10.0.0.1'],
  ['::FFFF:0:0', '::ffff:0.0.0.0'],
  ['0:0:0:0:0:ffff:1.2.3.4', '::ffff:1.2.3.4'],
  ['::ffff:0:a00:1', '::ffff:0:a00:1'],
  ['fe80::1', 'fe80::1'],
];

/** Texts that are no address, by what is wrong with them. */
const bad: [fault: string, text: string][] = [
  ['nothing', ''],
  ['only space', ' '],
  ['a space before', ' 10.0.0.1'],
  ['a space at the end', '10.0.0.1 '],
  ['a newline at the end', '10.0.0.1\n'],
  ['a newline after IPv6', '::1\n'],
  ['a tab within', '10.0.\t0.1'],
  ['a NUL at the end', '10.0.0.1\0'],
  ['a NUL and more at the end', '10.0.0.1\0.example'],
  ['a NUL after IPv6', '::1\0'],
  ['a leading zero, which some read as octal', '010.0.0.1'],
  ['a leading zero at the end', '10.0.0.01'],
  ['two zeroes', '00.0.0.0'],
  ['the short form of inet_aton', '10.1'],
  ['three parts', '10.0.1'],
  ['one number', '167772161'],
  ['hexadecimal', '0x0a.0.0.1'],
  ['five parts', '10.0.0.0.1'],
  ['an empty part', '10..0.1'],
  ['a dot at the end', '10.0.0.1.'],
  ['a part over 255', '10.0.0.256'],
  ['a sign', '+10.0.0.1'],
  ['a negative part', '10.0.0.-1'],
  ['an exponent', '1e1.0.0.1'],
  ['digits of another script', '١٠.0.0.1'],
  ['a port', '10.0.0.1:80'],
  ['a host name', 'gateway.example'],
  ['a prefix length', '10.0.0.1/8'],
  ['a prefix length with IPv6', '::1/64'],
  ['a zone', 'fe80::1%eth0'],
  ['an empty zone', 'fe80::1%'],
  ['a zone with IPv4', '10.0.0.1%eth0'],
  ['one colon', ':'],
  ['three colons', ':::'],
  ['two gaps', '1::2::3'],
  ['seven groups', '1:2:3:4:5:6:7'],
  ['nine groups', '1:2:3:4:5:6:7:8:9'],
  ['eight groups and a gap', '1:2:3:4:5:6:7:8::'],
  ['a group of five digits', '2001:0db80::1'],
  ['a letter beyond f', '2001:db8::g'],
  ['a colon before', ':1:2:3:4:5:6:7'],
  ['a colon at the end', '1:2:3:4:5:6:7:'],
  ['brackets', '[::1]'],
  ['IPv4 in the middle', '::10.0.0.1:1'],
  ['a leading zero in mapped IPv4', '::ffff:010.0.0.1'],
  ['a part over 255 in mapped IPv4', '::ffff:10.0.0.256'],
  ['short mapped IPv4', '::ffff:10.1'],
  ['a minus', '-'],
];

const bytes4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
const bytes16 = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  // Full of zeroes, so that there are runs of them to be shortened.
  fc.array(fc.constantFrom(0, 0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 }).map((list) => Uint8Array.from(list)),
);
/** Characters that addresses are made of, and those that are often beside them. */
const almost = fc.string({ unit: fc.constantFrom(...'0123456789abfFx:.:.%/ \0-'), maxLength: 24 });

t.test('canonicalAddress', async (t) => {
  for (const [text, canonical] of good) {
    t.test(`reads ${text} as ${canonical}, and leaves ${canonical} as it is`, async (t) => {
      t.equal(canonicalAddress(text), canonical);
      t.equal(canonicalAddress(canonical), canonical);
    });
  }

  for (const [fault, text] of bad) {
    t.test(`refuses ${JSON.stringify(text)} (${fault}) with the text in the error`, async (t) => {
      const error = t.throws(() => canonicalAddress(text), AddressError) as AddressError;
      t.equal(error.text, text);
      t.ok(error.message.startsWith(JSON.stringify(text)), error.message);
    });
  }

  t.test('takes what inet_pton takes (by node:net) and nothing else', async () => {
    fc.assert(
      fc.property(fc.oneof(almost, fc.ipV4(), fc.ipV6(), fc.ipV4Extended(), fc.string()), (text) => {
        const valid = isIP(text) !== 0 && !text.includes('%');
        return accepts(text) === valid;
      }),
      { numRuns: 5000 },
    );
  });

  t.test('writes IPv6 as inet_ntop does, but for the IPv4-compatible addresses of ::/96', async () => {
    fc.assert(
      fc.property(bytes16, (bytes) => {
        fc.pre(bytes.subarray(0, 12).some((byte) => byte !== 0));
        const text = fullText(bytes);
        return canonicalAddress(text) === new SocketAddress({ address: text, family: 'ipv6' }).address;
      }),
      { numRuns: 2000 },
    );
  });
});

t.test('bytes', async (t) => {
  t.test('are those of the text, most significant first', async (t) => {
    t.strictSame([...addressToBytes('10.131.0.5')], [10, 131, 0, 5]);
    t.strictSame([...addressToBytes('2001:db8::ff01')], [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 1]);
    t.strictSame([...addressToBytes('::ffff:1.2.3.4')], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4]);
  });

  t.test('come back from the text unchanged, for both families', async () => {
    fc.assert(
      fc.property(fc.oneof(bytes4, bytes16), (bytes) => {
        return Buffer.compare(addressToBytes(addressFromBytes(bytes)), bytes) === 0;
      }),
    );
  });

  t.test('of any 4 or 16 make the canonical text, never another', async () => {
    fc.assert(
      fc.property(fc.oneof(bytes4, bytes16), (bytes) => {
        const written = bytes.length === 4 ? bytes.join('.') : fullText(bytes);
        return addressFromBytes(bytes) === canonicalAddress(written);
      }),
    );
  });

  t.test('of every address above make its canonical text', async (t) => {
    for (const [, canonical] of good) t.equal(addressFromBytes(addressToBytes(canonical)), canonical);
    const like = ['::fffe:a00:1', '::1:0:ffff:a00:1', '0:0:0:0:1:ffff:a00:1', '::ffff:0:0:0', '1::ffff:a00:1'];
    for (const text of like) t.equal(addressFromBytes(addressToBytes(text)), canonicalAddress(text));
  });

  t.test('in another number than 4 or 16 are refused', async (t) => {
    for (const length of [0, 1, 3, 5, 8, 15, 17]) t.throws(() => addressFromBytes(new Uint8Array(length)), RangeError);
  });
});

t.test('familyOf says 6 for what has a colon and 4 for the rest', async (t) => {
  for (const text of ['10.0.0.1', '10.0.0.0/8', unspecified(4)]) t.equal(familyOf(text), 4);
  for (const text of ['::1', 'fd00::/8', '::ffff:10.0.0.1', unspecified(6)]) t.equal(familyOf(text), 6);
});

t.test('unspecified is all zero bytes of its family', async (t) => {
  t.strictSame([...addressToBytes(unspecified(4))], Array(4).fill(0));
  t.strictSame([...addressToBytes(unspecified(6))], Array(16).fill(0));
});

function accepts(text: string): boolean {
  try {
    canonicalAddress(text);
    return true;
  } catch (error) {
    if (error instanceof AddressError) return false;
    throw error;
  }
}

/** The longest text of an IPv6 address: eight groups of four digits. */
function fullText(bytes: Uint8Array): string {
  return (Buffer.from(bytes).toString('hex').match(/.{4}/g) ?? []).join(':');
}
