import { parsePrefix } from '../../../lib/address/prefix.ts';
import { type LinkAddress, lastingAddress } from '../../../lib/netlink/address.ts';
import { type Link, plainLink } from '../../../lib/netlink/link.ts';
import { type Route, RT_SCOPE_LINK } from '../../../lib/netlink/route.ts';
import { Observation } from '../../../lib/observation/observation.ts';

// linux/if_addr.h
const IFA_F_OPTIMISTIC = 0x04;
const IFA_F_DADFAILED = 0x08;

/**
 * A namespace made of data, to plan against: links by name with their addresses, and the existing routes. Words after an
 * address are its flags, as in `10.0.0.1/24 secondary`. `more` has further fields of some of the links.
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
  const is = { secondary: has('secondary'), deprecated: has('deprecated'), tentative: has('tentative') };
  const plain = lastingAddress(parsePrefix(text), link);
  const flags = plain.flags | (has('optimistic') ? IFA_F_OPTIMISTIC : 0) | (has('dadfailed') ? IFA_F_DADFAILED : 0);
  return { ...plain, ...is, flags, ...(has('link') && { scope: RT_SCOPE_LINK }) };
}
