import { parsePrefix } from '../../lib/address/prefix.ts';
import { Observation } from '../../lib/change/observation.ts';
import type { LinkAddress } from '../../lib/netlink/address.ts';
import type { Link } from '../../lib/netlink/link.ts';
import { type Route, RT_SCOPE_LINK, RT_SCOPE_UNIVERSE } from '../../lib/netlink/route.ts';

/**
 * A namespace made of data, to plan against: links by name with their addresses, and the routes that are there. Behind
 * an address stands what is special about it, as `10.0.0.1/24 secondary`. `more` is what else some of the links have.
 */
export function observed(
  links: { [name: string]: string[] },
  routes: Route[] = [],
  more: { [name: string]: Partial<Link> } = {},
): Observation {
  const names = Object.keys(links);
  return new Observation({
    links: () => names.map((name, i) => ({ ...link(name, i + 1), ...more[name] })),
    addresses: (index) => (links[names[index - 1] ?? ''] ?? []).map((text) => address(text, index)),
    defaultRoute: (family) => routes.find((route) => route.family === family && route.dst.endsWith('/0')),
    routes: (family, table) => routes.filter((route) => route.family === family && route.table === table),
  });
}

function link(name: string, index: number): Link {
  return { index, name, altnames: [], mtu: 1500, up: true, loopback: name === 'lo' };
}

function address(line: string, link: number): LinkAddress {
  const [text = '', ...words] = line.split(' ');
  const prefix = parsePrefix(text);
  const forEver = { preferredLifetime: 0xffffffff, validLifetime: 0xffffffff };
  const has = (word: string) => words.includes(word);
  const flags = { secondary: has('secondary'), deprecated: has('deprecated'), tentative: has('tentative') };
  const scope = text.startsWith('fe80:') || has('link') ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  return { link, prefix, flags: 0x80, scope, ...flags, permanent: true, ...forEver };
}
