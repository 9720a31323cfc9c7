import { parsePrefix } from '../../../lib/address/prefix.ts';
import { type LinkAddress, lastingAddress } from '../../../lib/netlink/address.ts';
import { type Link, plainLink } from '../../../lib/netlink/link.ts';
import { type Route, RT_SCOPE_LINK } from '../../../lib/netlink/route.ts';
import { Observation } from '../../../lib/observation/observation.ts';

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
  return Observation.ofData({
    links: names.map((name, i) => ({ ...plainLink(name, i + 1), loopback: name === 'lo', ...more[name] })),
    addresses: Object.values(links).flatMap((lines, i) => lines.map((line) => address(line, i + 1))),
    routes,
  });
}

function address(line: string, link: number): LinkAddress {
  const [text = '', ...words] = line.split(' ');
  const has = (word: string) => words.includes(word);
  const flags = { secondary: has('secondary'), deprecated: has('deprecated'), tentative: has('tentative') };
  return { ...lastingAddress(parsePrefix(text), link), ...flags, ...(has('link') && { scope: RT_SCOPE_LINK }) };
}
