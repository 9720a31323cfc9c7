import fc from 'fast-check';
import t from 'tap';
import { AddressError, addressFromBytes, addressToBytes, type Family } from '../../../lib/address/address.ts';
import {
  bitsOf,
  contains,
  covers,
  defaultDestination,
  firstHost,
  formatPrefix,
  hasHostBits,
  isDefaultDestination,
  lastHost,
  mostSpecific,
  networkOf,
  nthAddress,
  type Prefix,
  parsePrefix,
} from '../../../lib/address/prefix.ts';
import { run, works } from '../../support/namespaces/namespace.ts';

const good: [text: string, prefix: Prefix][] = [
  ['0.0.0.0/0', { family: 4, address: '0.0.0.0', length: 0 }],
  ['10.131.0.5/23', { family: 4, address: '10.131.0.5', length: 23 }],
  ['10.0.0.1/32', { family: 4, address: '10.0.0.1', length: 32 }],
  ['::/0', { family: 6, address: '::', length: 0 }],
  ['2001:DB8:0::5/64', { family: 6, address: '2001:db8::5', length: 64 }],
  ['fd00::1/128', { family: 6, address: 'fd00::1', length: 128 }],
  ['::ffff:10.0.0.0/104', { family: 6, address: '::ffff:10.0.0.0', length: 104 }],
];

const bad: [fault: string, text: string][] = [
  ['no length', '10.0.0.1'],
  ['no length, IPv6', 'fd00::1'],
  ['an empty length', '10.0.0.1/'],
  ['no address', '/8'],
  ['nothing', ''],
  ['only a slash', '/'],
  ['a padded length', '10.0.0.1/08'],
  ['a length of two zeroes', '10.0.0.1/00'],
  ['a length of a padded zero, IPv6', '::/064'],
  ['a length over 32', '10.0.0.1/33'],
  ['a length over 128', 'fd00::1/129'],
  ['a length of many digits', '10.0.0.1/4294967304'],
  ['a negative length', '10.0.0.1/-1'],
  ['a signed length', '10.0.0.1/+8'],
  ['a fraction', '10.0.0.1/8.0'],
  ['a netmask', '10.0.0.1/255.0.0.0'],
  ['hexadecimal', '10.0.0.1/0x8'],
  ['digits of another script', '10.0.0.1/٨'],
  ['two lengths', '10.0.0.1/8/8'],
  ['a space before the slash', '10.0.0.1 /8'],
  ['a space after the slash', '10.0.0.1/ 8'],
  ['a space at the end', '10.0.0.1/8 '],
  ['a newline at the end', '10.0.0.1/8\n'],
  ['a NUL at the end', '10.0.0.1/8\0'],
  ['a NUL before the slash', '10.0.0.1\0/8'],
  ['a short form', '10/8'],
  ['a leading zero in the address', '010.0.0.0/8'],
  ['a zone', 'fe80::1%eth0/64'],
  ['a zone at the end', 'fe80::1/64%eth0'],
  ['a word', 'default'],
];

/** A subnet with an address in it, as the bytes that the oracles below work on. */
type Raw = { family: Family; bytes: number[]; length: number };

const raw: fc.Arbitrary<Raw> = fc.constantFrom<Family>(4, 6).chain((family) =>
  fc.record({
    family: fc.constant(family),
    bytes: fc.array(fc.oneof(fc.constantFrom(0, 255), fc.nat(255)), {
      minLength: size(family),
      maxLength: size(family),
    }),
    length: fc.oneof(fc.nat(size(family) * 8), fc.constantFrom(0, size(family) * 8, size(family) * 8 - 1)),
  }),
);
const subnet = raw.map(prefixOf);

t.test('parsePrefix', async (t) => {
  for (const [text, prefix] of good) {
    t.test(`reads ${text} and keeps its host bits`, async (t) => {
      t.strictSame(parsePrefix(text), prefix);
    });
  }
  for (const [fault, text] of bad) {
    t.test(`refuses ${JSON.stringify(text)} (${fault})`, async (t) => {
      t.throws(() => parsePrefix(text), AddressError);
    });
  }
  t.test('names the whole text in the error when the length is wrong', async (t) => {
    const error = t.throws(() => parsePrefix('10.0.0.1/33')) as AddressError;
    t.equal(error.text, '10.0.0.1/33');
  });
  t.test('reads back what formatPrefix writes, for every prefix', async () => {
    fc.assert(fc.property(subnet, (prefix) => same(parsePrefix(formatPrefix(prefix)), prefix)));
  });
});

t.test('networkOf', async (t) => {
  t.test('clears the bits beyond the length and no other', async () => {
    fc.assert(
      fc.property(raw, (given) => {
        const network = networkOf(prefixOf(given));
        return same(network, { ...prefixOf(given), address: textOf(masked(given, 0)) });
      }),
    );
  });
  t.test('has no host bits, and is its own network', async () => {
    fc.assert(
      fc.property(subnet, (prefix) => {
        const network = networkOf(prefix);
        return !hasHostBits(network) && same(networkOf(network), network);
      }),
    );
  });
});

t.test('hasHostBits is true if and only if a bit beyond the length is set', async (t) => {
  t.ok(hasHostBits(parsePrefix('10.0.0.1/24')));
  t.ok(hasHostBits(parsePrefix('fd00::1/127')));
  t.notOk(hasHostBits(parsePrefix('10.0.0.1/32')));
  t.notOk(hasHostBits(parsePrefix('0.0.0.0/0')));
  t.ok(hasHostBits(parsePrefix('0.0.0.1/0')));
  fc.assert(
    fc.property(raw, (given) => hasHostBits(prefixOf(given)) === bits(given.bytes).slice(given.length).includes('1')),
  );
});

t.test('contains', async (t) => {
  t.test('is true if and only if the first bits are the same', async () => {
    fc.assert(
      fc.property(raw, fc.infiniteStream(fc.nat(255)), fc.nat(128), (given, stream, shared) => {
        // The other address has the first bits of the given one, so that both answers are frequent.
        const noise = [...given.bytes].map(() => stream.next().value as number);
        const other = bits(given.bytes).slice(0, shared) + bits(noise).slice(shared);
        const wanted = other.startsWith(bits(given.bytes).slice(0, given.length));
        return contains(prefixOf(given), textOf(fromBits(other))) === wanted;
      }),
      { numRuns: 1000 },
    );
  });
  t.test('is false across families, for the whole Internet and for mapped addresses too', async (t) => {
    t.notOk(contains(parsePrefix('0.0.0.0/0'), '::'));
    t.notOk(contains(parsePrefix('::/0'), '10.0.0.1'));
    t.notOk(contains(parsePrefix('10.0.0.0/8'), '::ffff:10.0.0.1'));
    t.notOk(contains(parsePrefix('::ffff:10.0.0.0/104'), '10.0.0.1'));
    t.ok(contains(parsePrefix('::ffff:10.0.0.0/104'), '::ffff:10.0.0.1'));
  });
  t.test('holds for the network, the first, the last and the highest address, not for those around', async () => {
    fc.assert(
      fc.property(raw, (given) => {
        const prefix = prefixOf(given);
        const inside = [networkOf(prefix).address, firstHost(prefix), lastHost(prefix), textOf(masked(given, 1))];
        const before = step(masked(given, 0), -1n);
        const behind = step(masked(given, 1), 1n);
        const outside = [before, behind].flatMap((bytes) => (bytes ? [textOf(bytes)] : []));
        return (
          inside.every((address) => contains(prefix, address)) && !outside.some((address) => contains(prefix, address))
        );
      }),
    );
  });
});

t.test('mostSpecific', async (t) => {
  t.test('is the longest of those that hold the address, the first of equals, as a linear search has it', async () => {
    // Few bits, so that prefixes nest and repeat.
    const small = fc.record({
      family: fc.constantFrom<Family>(4, 6),
      bytes: fc.tuple(fc.constantFrom(0, 128, 192), fc.constantFrom(0, 128)),
      length: fc.nat(10),
    });
    const prefixes = fc.array(
      small.map(({ family, bytes, length }) => prefixOf({ family, bytes: padded(family, bytes), length })),
    );
    fc.assert(
      fc.property(prefixes, small, (list, { family, bytes }) => {
        const wanted = bits(padded(family, bytes));
        const holding = list.filter(
          (prefix) =>
            prefix.family === family &&
            wanted.startsWith(bits([...addressToBytes(prefix.address)]).slice(0, prefix.length)),
        );
        const longest = Math.max(...holding.map(({ length }) => length));
        const model = holding.find(({ length }) => length === longest);
        return mostSpecific(list, textOf(padded(family, bytes))) === model;
      }),
      { numRuns: 2000 },
    );
  });
  t.test('is undefined when no prefix holds the address, and gives back the very object', async (t) => {
    const list = ['10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0'].map((text) => ({ ...parsePrefix(text), gw: text }));
    t.equal(mostSpecific(list, '10.1.2.3'), list[1]);
    t.equal(mostSpecific(list, '10.2.2.3'), list[0]);
    t.equal(mostSpecific(list, '11.2.2.3'), list[2]);
    t.equal(mostSpecific(list, 'fd00::1'), undefined);
    t.equal(mostSpecific([], '10.0.0.1'), undefined);
  });
});

t.test('firstHost and lastHost', async (t) => {
  const table: [prefix: string, first: string, last: string][] = [
    ['10.131.0.5/23', '10.131.0.1', '10.131.1.254'],
    ['10.244.3.9/30', '10.244.3.9', '10.244.3.10'],
    ['10.131.0.5/31', '10.131.0.4', '10.131.0.5'],
    ['10.131.0.5/32', '10.131.0.5', '10.131.0.5'],
    ['255.255.255.255/31', '255.255.255.254', '255.255.255.255'],
    ['0.0.0.0/0', '0.0.0.1', '255.255.255.254'],
    ['2001:db8::5/64', '2001:db8::1', '2001:db8::ffff:ffff:ffff:ffff'],
    ['2001:db8::5/126', '2001:db8::5', '2001:db8::7'],
    ['2001:db8::5/127', '2001:db8::4', '2001:db8::5'],
    ['2001:db8::5/128', '2001:db8::5', '2001:db8::5'],
    ['::/0', '::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['::ffff:10.0.0.9/126', '::ffff:10.0.0.9', '::ffff:10.0.0.11'],
  ];
  for (const [prefix, first, last] of table) {
    t.test(`are ${first} and ${last} for ${prefix}`, async (t) => {
      t.equal(firstHost(parsePrefix(prefix)), first);
      t.equal(lastHost(parsePrefix(prefix)), last);
    });
  }
  t.test('are the network + 1 and the highest address (IPv4: - 1), but for the last two lengths', async () => {
    fc.assert(
      fc.property(raw, (given) => {
        const pointToPoint = given.length >= given.bytes.length * 8 - 1;
        const first = pointToPoint ? masked(given, 0) : step(masked(given, 0), 1n);
        const last = pointToPoint || given.family === 6 ? masked(given, 1) : step(masked(given, 1), -1n);
        const prefix = prefixOf(given);
        return firstHost(prefix) === textOf(first ?? []) && lastHost(prefix) === textOf(last ?? []);
      }),
    );
  });
});

t.test('nthAddress', async (t) => {
  t.test('counts from the network up and from the highest address down', async () => {
    fc.assert(
      fc.property(raw, fc.bigInt({ min: 0n, max: 2n ** 128n }), (given, n) => {
        const count = 2n ** BigInt(given.bytes.length * 8 - given.length);
        const prefix = prefixOf(given);
        const offset = n % count;
        return (
          nthAddress(prefix, offset) === textOf(step(masked(given, 0), offset) ?? []) &&
          nthAddress(prefix, -1n - offset) === textOf(step(masked(given, 1), -offset) ?? [])
        );
      }),
    );
  });
  t.test('refuses a number that the subnet has not, on either side', async () => {
    fc.assert(
      fc.property(raw, fc.bigInt({ min: 0n, max: 2n ** 64n }), (given, more) => {
        const count = 2n ** BigInt(given.bytes.length * 8 - given.length);
        const prefix = prefixOf(given);
        return [count + more, -count - 1n - more].every((n) => throwsRangeError(() => nthAddress(prefix, n)));
      }),
    );
  });
  t.test('takes plain numbers', async (t) => {
    t.equal(nthAddress(parsePrefix('10.131.0.5/23'), 0), '10.131.0.0');
    t.equal(nthAddress(parsePrefix('10.131.0.5/23'), 257), '10.131.1.1');
    t.equal(nthAddress(parsePrefix('10.131.0.5/23'), -1), '10.131.1.255');
    t.equal(nthAddress(parsePrefix('10.131.0.5/23'), -512), '10.131.0.0');
    t.equal(nthAddress(parsePrefix('fd00::/64'), 2), 'fd00::2');
    t.throws(() => nthAddress(parsePrefix('10.131.0.5/23'), 512), RangeError);
    t.throws(() => nthAddress(parsePrefix('10.131.0.5/23'), -513), RangeError);
    t.throws(() => nthAddress(parsePrefix('10.131.0.5/32'), 1), RangeError);
  });
});

const noIpcalc = works('ipcalc-ng', ['--version']) ? false : 'needs ipcalc-ng';

t.test('ipcalc-ng agrees on 400 subnets', { skip: noIpcalc }, async (t) => {
  const sample = (family: Family, numRuns: number) =>
    fc.sample(raw.filter((given) => given.family === family).map(prefixOf), { numRuns, seed: 1918 });
  const every = (address: string, family: Family) =>
    [...Array(bitsOf(family) + 1).keys()].map((length) => ({ family, address, length }));
  const four = [...sample(4, 167), ...every('10.131.77.5', 4)];
  const six = [...sample(6, 71), ...every('2001:db8:aaaa:bbbb:cccc:dddd:eeee:5', 6)];
  t.equal(four.length + six.length, 400);

  t.test('IPv4: network, firstHost is its --minaddr and lastHost its --maxaddr', async (t) => {
    const answers = ipcalc(four);
    for (const [i, prefix] of four.entries()) {
      const ours = { NETWORK: networkOf(prefix).address, MINADDR: firstHost(prefix), MAXADDR: lastHost(prefix) };
      t.strictSame(ours, answers[i], formatPrefix(prefix));
    }
  });

  t.test('IPv6: network and --maxaddr; firstHost is not its --minaddr, which is the anycast address', async (t) => {
    const answers = ipcalc(six);
    for (const [i, prefix] of six.entries()) {
      const { NETWORK, MINADDR, MAXADDR } = answers[i] ?? {};
      const network = networkOf(prefix).address;
      t.strictSame([network, lastHost(prefix)], [plain(NETWORK), plain(MAXADDR)], formatPrefix(prefix));
      t.equal(plain(MINADDR), network);
      t.equal(firstHost(prefix), prefix.length < 127 ? nthAddress(prefix, 1) : network);
    }
  });
});

/** What ipcalc-ng prints for each prefix, by one shell. */
function ipcalc(prefixes: Prefix[]): { [key: string]: string }[] {
  const script = 'while read -r p; do ipcalc-ng --network --minaddr --maxaddr "$p" || exit 1; echo; done';
  const blocks = run('sh', ['-c', script], prefixes.map((prefix) => `${formatPrefix(prefix)}\n`).join('')).split(
    '\n\n',
  );
  return blocks.map((block) =>
    Object.fromEntries(block.split('\n').map((line) => line.split('=') as [string, string])),
  );
}

/** Canonical by the bytes: inet_ntop of ipcalc-ng writes ::/96 in dotted decimal. */
function plain(text = ''): string {
  return addressFromBytes(addressToBytes(text));
}

function size(family: Family): number {
  return family === 4 ? 4 : 16;
}

function padded(family: Family, bytes: number[]): number[] {
  return [...bytes, ...Array<number>(size(family) - bytes.length).fill(0)];
}

function prefixOf({ family, bytes, length }: Raw): Prefix {
  return { family, address: textOf(bytes), length };
}

function textOf(bytes: number[]): string {
  return addressFromBytes(Uint8Array.from(bytes));
}

function bits(bytes: number[]): string {
  return bytes.map((byte) => byte.toString(2).padStart(8, '0')).join('');
}

function fromBits(text: string): number[] {
  return (text.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2));
}

/** The address with all bits beyond the length set to 0 or to 1. */
function masked({ bytes, length }: Raw, bit: 0 | 1): number[] {
  return fromBits(
    bits(bytes)
      .slice(0, length)
      .padEnd(bytes.length * 8, String(bit)),
  );
}

/** The address that many further; undefined beyond either end. */
function step(bytes: number[], by: bigint): number[] | undefined {
  const number = BigInt(`0b${bits(bytes)}`) + by;
  const width = bytes.length * 8;
  if (number < 0n || number >= 2n ** BigInt(width)) return undefined;
  return fromBits(number.toString(2).padStart(width, '0'));
}

function same(a: Prefix, b: Prefix): boolean {
  return a.family === b.family && a.address === b.address && a.length === b.length;
}

function throwsRangeError(f: () => unknown): boolean {
  try {
    f();
    return false;
  } catch (error) {
    return error instanceof RangeError;
  }
}

t.test('a prefix covers those within it, itself, and none of the other family', async (t) => {
  const cases: [outer: string, inner: string, covered: boolean][] = [
    ['10.0.0.0/8', '10.96.0.0/12', true],
    ['10.96.0.0/12', '10.96.0.0/12', true],
    ['10.96.0.0/12', '10.0.0.0/8', false],
    ['10.96.0.0/12', '10.112.0.0/12', false],
    ['0.0.0.0/0', '203.0.113.5/32', true],
    ['::/0', '203.0.113.5/32', false],
    ['fd00::/8', 'fd00:96::/108', true],
    ['fd00:96::/108', 'fd00:97::/108', false],
  ];
  for (const [outer, inner, covered] of cases)
    t.equal(covers(parsePrefix(outer), parsePrefix(inner)), covered, `${outer} ${inner}`);
});

t.test('the destination of a default route has a text of its own for each family', async (t) => {
  t.strictSame([defaultDestination(4), defaultDestination(6)], ['0.0.0.0/0', '::/0']);
  const texts = ['0.0.0.0/0', '::/0', '0.0.0.0/1', '::/1', '10.0.0.0/0', 'default', undefined];
  t.strictSame(texts.filter(isDefaultDestination), ['0.0.0.0/0', '::/0']);
});
