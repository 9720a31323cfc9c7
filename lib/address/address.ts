import { Address4, Address6 } from 'ip-address';

/** The version of the Internet Protocol that an address belongs to. */
export type Family = 4 | 6;

/** Reports why a text is not an address or a prefix. `text` is the text that was given. */
export class AddressError extends Error {
  readonly text: string;

  constructor(text: string, reason: string) {
    super(`${JSON.stringify(text)} ${reason}`);
    this.name = 'AddressError';
    this.text = text;
  }
}

/**
 * What is the canonical text of this address?
 *
 * IPv4 in dotted decimal without leading zeroes, IPv6 by RFC 5952 (4.1 to 4.3, and the mixed notation of
 * section 5 for IPv4-mapped addresses), which is also how `ip` prints them. Two addresses are the same if and
 * only if their canonical texts are.
 *
 * Throws AddressError for everything else, including a text with a prefix length or a zone (`fe80::1%eth0`).
 */
export function canonicalAddress(text: string): string {
  if (text.includes('/')) throw new AddressError(text, 'is a prefix, not an address');
  if (text.includes(':')) return canonical6(text);
  // Mostly it is, and the library takes ten times as long for each of up to 10,000 routes.
  return CANONICAL_4.test(text) ? text : parse4(text).correctForm();
}

const CANONICAL_4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** Which family has this canonical address or prefix text? Only IPv6 has colons. */
export function familyOf(text: string): Family {
  return text.includes(':') ? 6 : 4;
}

/** The bytes of a canonical address in the kernel's form: 4 or 16, most significant first. */
export function addressToBytes(address: string): Uint8Array {
  if (familyOf(address) === 6) return Uint8Array.from(parse6(address).toUnsignedByteArray());
  // Without the library, because this runs several times for each of up to 10,000 routes.
  const bytes = new Uint8Array(4);
  let index = 0;
  for (let i = 0; i < address.length; i++) {
    const digit = address.charCodeAt(i) - ZERO;
    if (digit < 0) index++;
    else bytes[index] = (bytes[index] ?? 0) * 10 + digit;
  }
  return bytes;
}

const ZERO = 48;

/** The canonical text of 4 or 16 bytes from the kernel. Throws RangeError for another length. */
export function addressFromBytes(bytes: Uint8Array): string {
  // Not by join, which takes five times as long for each of up to 10,000 routes.
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  if (bytes.length === 16) return text6(bytes);
  throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
}

/** The unspecified address of a family, `0.0.0.0` or `::`. */
export function unspecified(family: Family): string {
  return family === 4 ? '0.0.0.0' : '::';
}

function canonical6(text: string): string {
  const address = parse6(text);
  return address.isMapped4() ? address.to4in6() : address.correctForm();
}

// RFC 5952. Without the library, like the other direction: every link has such addresses, and it takes 10 us for each.
function text6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  const run = longestZeroes(groups);
  // Only those at the start end there.
  if (run.length === 5 && groups[5] === 0xffff) return `::ffff:${bytes.slice(12).join('.')}`;
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  if (run.length < 2) return text(groups);
  return `${text(groups.slice(0, run.start))}::${text(groups.slice(run.start + run.length))}`;
}

// The first of the longest ones (4.2.3).
function longestZeroes(groups: readonly number[]): { start: number; length: number } {
  let longest = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > longest.length) longest = { start, length };
    start += length;
  }
  return longest;
}

function parse4(text: string): Address4 {
  try {
    return new Address4(text);
  } catch {
    throw new AddressError(text, 'is not an IPv4 or IPv6 address');
  }
}

function parse6(text: string): Address6 {
  if (text.includes('%')) throw new AddressError(text, 'has a zone; specify the interface with "dev"');
  try {
    return new Address6(text);
  } catch {
    throw new AddressError(text, 'is not an IPv6 address');
  }
}
