import type { Family } from '../address/address.ts';
import { isUsable, type LinkAddress } from '../netlink/address.ts';
import type { Link } from '../netlink/link.ts';
import type { Route } from '../netlink/route.ts';

type Links = { linkAt(index: number): Link | undefined; addresses(link: number): readonly LinkAddress[] };

/**
 * Which of the links that these routes leave by does the default route of a family count for? undefined if none of them
 * exists. The routes have one metric, and their order, like that of their next hops, does not matter: the kernel's depends
 * on a hash seeded at boot, and on which route came up first.
 *
 * A link with a usable address of the family comes before one without, a link with a carrier before one without, and
 * then the one whose name is first, byte by byte.
 */
export function preferredLink(routes: readonly Route[], family: Family, links: Links): Link | undefined {
  const indices = new Set(routes.flatMap(({ hops }) => hops.map(({ oif }) => oif)));
  const candidates = [...indices].flatMap((index) => links.linkAt(index) ?? []);
  // Most hosts have one, of which nothing more needs to be read.
  if (candidates.length < 2) return candidates[0];
  const hasAddress = ({ index }: Link) =>
    links.addresses(index).some((address) => address.prefix.family === family && isUsable(address));
  const addressed = preferring(candidates, hasAddress);
  const connected = preferring(addressed, ({ carrier }) => carrier);
  return connected.toSorted((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))[0];
}

function preferring(links: readonly Link[], isPreferred: (link: Link) => boolean): readonly Link[] {
  const preferred = links.filter(isPreferred);
  return preferred.length > 0 ? preferred : links;
}
