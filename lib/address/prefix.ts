import { Address4, Address6 } from 'ip-address';
import {
  AddressError,
  addressFromBytes,
  addressToBytes,
  canonicalAddress,
  type Family,
  familyOf,
  unspecified,
} from './address.ts';

/**
 * An address with its prefix length, such as `10.131.0.5/23`: a subnet, or an address within one.
 * `address` is canonical and keeps its host bits; `length` is 0 to 32 or 128.
 */
export type Prefix = { readonly family: Family; readonly address: string; readonly length: number };

/** Parses CIDR notation. Throws AddressError, also for a length that is missing, padded or too large. */
export function parsePrefix(text: string): Prefix {
  const slash = text.indexOf('/');
  if (slash < 0) throw new AddressError(text, 'has no prefix length; the form is 10.0.0.0/24');
  const address = canonicalAddress(text.slice(0, slash));
  const family = familyOf(address);
  const digits = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(digits) || Number(digits) > bitsOf(family)) {
    throw new AddressError(text, `has an invalid prefix length; IPv${family} allows 0 to ${bitsOf(family)}`);
  }
  return { family, address, length: Number(digits) };
}

/** The prefix in CIDR notation. */
export function formatPrefix(prefix: Prefix): string {
  return `${prefix.address}/${prefix.length}`;
}

/** The destination of a default route, as a prefix. */
export function defaultDestination(family: Family): string {
  return `${unspecified(family)}/0`;
}

/** Is this canonical prefix the destination of a default route of either family? */
export function isDefaultDestination(prefix: unknown): boolean {
  return prefix === defaultDestination(4) || prefix === defaultDestination(6);
}

/** How many bits does an address of this family have? */
export function bitsOf(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** The subnet that the address is in: the same prefix with the host bits cleared. */
export function networkOf(prefix: Prefix): Prefix {
  const bytes = addressToBytes(prefix.address);
  return clearHostBits(bytes, prefix.length) ? { ...prefix, address: addressFromBytes(bytes) } : prefix;
}

/** Are host bits set, as in 10.0.0.1/24? */
export function hasHostBits(prefix: Prefix): boolean {
  return clearHostBits(addressToBytes(prefix.address), prefix.length);
}

/** Does the subnet contain this address? Never across families. */
export function contains(prefix: Prefix, address: string): boolean {
  if (familyOf(address) !== prefix.family) return false;
  // Without the library: a map of subnets asks this of each of its 10,000.
  const [own, other] = [addressToBytes(prefix.address), addressToBytes(address)];
  const bytes = prefix.length >> 3;
  for (let i = 0; i < bytes; i++) if (own[i] !== other[i]) return false;
  const bits = prefix.length & 7;
  return bits === 0 || ((own[bytes] ?? 0) ^ (other[bytes] ?? 0)) >> (8 - bits) === 0;
}

/** Is every address of `inner` in `outer`, as when both are the same? Never across families. */
export function covers(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && contains(outer, inner.address);
}

/** Which of the prefixes is the longest match for the address (RFC 1812, 5.2.4.3)? The first of equal ones. */
export function mostSpecific<T extends Prefix>(prefixes: readonly T[], address: string): T | undefined {
  let best: T | undefined;
  for (const prefix of prefixes) {
    if ((best === undefined || prefix.length > best.length) && contains(prefix, address)) best = prefix;
  }
  return best;
}

/**
 * The first host address of the subnet: the network address + 1.
 *
 * For IPv4 this is what `ipcalc --minaddr` prints, so /31 (RFC 3021) gives its lower address, and /32 gives itself.
 * For IPv6 the network address is the Subnet-Router anycast address (RFC 4291, 2.6.1) and does not count,
 * except for /127 (RFC 6164) and /128.
 */
export function firstHost(prefix: Prefix): string {
  const { lowest } = bounds(prefix);
  return addressFromNumber(prefix.family, isPointToPoint(prefix) ? lowest : lowest + 1n);
}

/**
 * The last host address of the subnet, as `ipcalc --maxaddr` prints it: for IPv4 the one before the broadcast
 * address, except for /31 and /32; for IPv6, which has no broadcast, the highest.
 */
export function lastHost(prefix: Prefix): string {
  const { highest } = bounds(prefix);
  const reserved = prefix.family === 4 && !isPointToPoint(prefix);
  return addressFromNumber(prefix.family, reserved ? highest - 1n : highest);
}

/**
 * The n-th address of the subnet, counted from the network address (0), or backwards from the highest (-1).
 * Throws RangeError if the subnet has no such address.
 */
export function nthAddress(prefix: Prefix, n: number | bigint): string {
  const { lowest, highest } = bounds(prefix);
  const offset = BigInt(n);
  const number = offset < 0n ? highest + 1n + offset : lowest + offset;
  if (number < lowest || number > highest) {
    throw new RangeError(`${formatPrefix(prefix)} has no address number ${n}`);
  }
  return addressFromNumber(prefix.family, number);
}

// Works in place. Returns whether any were set.
function clearHostBits(bytes: Uint8Array, length: number): boolean {
  let had = false;
  for (let i = length >> 3; i < bytes.length; i++) {
    const mask = i === length >> 3 ? 0xff >> (length & 7) : 0xff;
    had ||= ((bytes[i] ?? 0) & mask) !== 0;
    bytes[i] = (bytes[i] ?? 0) & ~mask;
  }
  return had;
}

function isPointToPoint(prefix: Prefix): boolean {
  return prefix.length >= bitsOf(prefix.family) - 1;
}

function bounds(prefix: Prefix): { lowest: bigint; highest: bigint } {
  const text = formatPrefix(prefix);
  const subnet = prefix.family === 4 ? new Address4(text) : new Address6(text);
  return { lowest: subnet.startAddress().bigInt(), highest: subnet.endAddress().bigInt() };
}

function addressFromNumber(family: Family, number: bigint): string {
  if (family === 4) return Address4.fromBigInt(number).correctForm();
  return addressFromBytes(Uint8Array.from(Address6.fromBigInt(number).toUnsignedByteArray()));
}
