import { parsePrefix } from '../../lib/address/prefix.ts';
import { Observation } from '../../lib/change/observation.ts';
import type { LinkAddress } from '../../lib/netlink/address.ts';
import type { Link } from '../../lib/netlink/link.ts';
import type { Route } from '../../lib/netlink/route.ts';

/** A namespace made of data, to plan against: links by name with their addresses, and the routes that are there. */
export function observed(links: { [name: string]: string[] }, routes: Route[] = []): Observation {
  const names = Object.keys(links);
  return new Observation({
    links: () => names.map((name, i) => link(name, i + 1)),
    addresses: (index) => (links[names[index - 1] ?? ''] ?? []).map((text) => address(text, index)),
    routes: (family, table) => routes.filter((route) => route.family === family && route.table === table),
  });
}

function link(name: string, index: number): Link {
  return { index, name, altnames: [], mtu: 1500, up: true, loopback: name === 'lo' };
}

function address(text: string, link: number): LinkAddress {
  const prefix = parsePrefix(text);
  const forEver = { preferredLifetime: 0xffffffff, validLifetime: 0xffffffff };
  const flags = { secondary: false, deprecated: false, tentative: false, permanent: true };
  return { link, prefix, scope: text.startsWith('fe80:') ? 253 : 0, ...flags, ...forEver };
}
