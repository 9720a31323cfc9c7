import type { Family } from '../address/address.ts';
import { type LinkAddress, listAddresses } from '../netlink/address.ts';
import { type Link, listLinks } from '../netlink/link.ts';
import { type Route, RT_TABLE_MAIN, routeKey } from '../netlink/route.ts';
import { bestDefault, findDefaultRoute, listRoutes } from '../netlink/routes.ts';
import type { RouteSocket } from '../netlink/socket.ts';

/**
 * What the kernel says about a namespace, read when it is first asked for and then remembered: a picture from before
 * the changes. Plans depend on nothing else, so a test gives them one made of data.
 */
export class Observation {
  readonly #read: Reader;
  readonly #addresses = new Map<number, LinkAddress[]>();
  readonly #tables = new Map<string, Map<string, Route[]>>();
  #links: Link[] | undefined;

  constructor(read: Reader) {
    this.#read = read;
  }

  static of(socket: RouteSocket): Observation {
    return new Observation({
      links: () => listLinks(socket),
      addresses: (link) => listAddresses(socket, link),
      routes: (family, table) => listRoutes(socket, family, { table }),
      defaultRoute: (family) => findDefaultRoute(socket, family),
    });
  }

  /** A namespace that is known by data alone. */
  static ofData({ links, addresses, routes }: NamespaceData): Observation {
    const routesIn = (family: Family, table: number) =>
      routes.filter((route) => route.family === family && route.table === table);
    return new Observation({
      links: () => [...links],
      addresses: (link) => addresses.filter((address) => address.link === link),
      routes: routesIn,
      defaultRoute: (family) => bestDefault(routesIn(family, RT_TABLE_MAIN)),
    });
  }

  /** Every link of the namespace. */
  links(): Link[] {
    this.#links ??= this.#read.links();
    return this.#links;
  }

  /** The link with this index. */
  linkAt(index: number): Link | undefined {
    return this.links().find((link) => link.index === index);
  }

  /** The link with this name or altname. */
  linkNamed(name: string): Link | undefined {
    return this.links().find((link) => link.name === name || link.altnames.includes(name));
  }

  /** The name of the link with this index, for people to read. */
  readonly linkName = (index: number): string => {
    return this.linkAt(index)?.name ?? `#${index}`;
  };

  /** The addresses of a link, both families, in the kernel's order. */
  addresses(link: number): LinkAddress[] {
    return remember(this.#addresses, link, () => this.#read.addresses(link));
  }

  /**
   * The routes that have the same key (destination, table, priority and so on), whatever else they do: at most one, but
   * for IPv6, which has one for each link where no gateway is involved.
   */
  routesLike(route: Route): readonly Route[] {
    return this.#table(route.family, route.table).get(routeKey(route)) ?? [];
  }

  /** Every route of a table, in the kernel's order but for those with one key. */
  routesIn(family: Family, table: number): readonly Route[] {
    return [...this.#table(family, table).values()].flat();
  }

  #table(family: Family, table: number): Map<string, Route[]> {
    return remember(this.#tables, `${family} ${table}`, () => {
      return Map.groupBy(this.#read.routes(family, table), routeKey);
    });
  }

  /** The host's default route of a family: its best one, as the kernel would choose. */
  defaultRoute(family: Family): Route | undefined {
    return this.#read.defaultRoute(family);
  }
}

export type Reader = {
  links(): Link[];
  addresses(link: number): LinkAddress[];
  routes(family: Family, table: number): Route[];
  defaultRoute(family: Family): Route | undefined;
};

/** What makes a namespace: its links, their addresses (by the link's index), and the routes of all tables. */
export type NamespaceData = {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
};

function remember<K, V>(memory: Map<K, V>, key: K, read: () => V): V {
  const known = memory.get(key);
  if (known !== undefined) return known;
  const value = read();
  memory.set(key, value);
  return value;
}
