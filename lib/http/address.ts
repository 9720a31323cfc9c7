import { type AddressInfo, isIPv6, type Server } from 'node:net';

/** Where a server listens. */
export type Address = { readonly host: string; readonly port: number };

const MAX_PORT = 65_535;

/**
 * Parses `127.0.0.1:9100`, `[::1]:9100` or `localhost:9100`; port 0 means any free port. An IPv6 address may lack the
 * brackets, because a manifest builds the text from the node's address. Throws RangeError.
 */
export function parseAddress(text: string): Address {
  const [, written = '', port] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  const bracketed = /^\[(.+)\]$/.exec(written)?.[1];
  const host = bracketed ?? written;
  const isHost = isIPv6(host) || (bracketed === undefined && /^[^:[\]]+$/.test(host));
  if (!isHost || Number(port) > MAX_PORT) throw new RangeError(`"${text}" is not of the form HOST:PORT`);
  return { host, port: Number(port) };
}

/** The address that a server listens on, in the form of a URL. */
export function addressOf(server: Server): string {
  const { address, port } = server.address() as AddressInfo;
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}
