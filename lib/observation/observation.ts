import type { Family } from '../address/address.ts';
import { type LinkAddress, listAddresses } from '../netlink/address.ts';
import { findDefaultRoutes, lowestDefaults } from '../netlink/default-routes.ts';
import { type Link, listLinks } from '../netlink/link.ts';
import { hasSameKey, type Route, RT_TABLE_MAIN } from '../netlink/route.ts';
import { listRoutes } from '../netlink/routes.ts';
import type { Rule } from '../netlink/rule.ts';
import { listRules } from '../netlink/rule-message.ts';
import type { RouteSocket } from '../netlink/socket.ts';
import { preferredLink } from './default-link.ts';

/**
 * The state of a namespace before any change: read from the kernel when it is first needed, then remembered. Plans
 * depend on nothing else, so a test can plan against an observation made of data.
 */
export class Observation {
  readonly #read: Reader;
  readonly #addresses = new Map<number, LinkAddress[]>();
  readonly #tables = new Map<string, Map<string, Route[]>>();
  readonly #rules = new Map<Family, readonly Rule[] | 'none'>();
  #links: Link[] | undefined;

  constructor(read: Reader) {
    this.#read = read;
  }

  /** What the kernel says; of the routes, if `protocols` are given, those with such an `rtm_protocol`, and no others. */
  static of(socket: RouteSocket, protocols?: ReadonlySet<number>): Observation {
    const filters = protocols === undefined ? [{}] : [...protocols].map((protocol) => ({ protocol }));
    return new Observation({
      links: () => listLinks(socket),
      addresses: (link) => listAddresses(socket, link),
      routes: (family, table) => filters.flatMap((filter) => listRoutes(socket, family, { ...filter, table })),
      defaultRoutes: (family) => findDefaultRoutes(socket, family),
      rules: (family) => listRules(socket, family),
    });
  }

  /** A namespace made of data. */
  static ofData({ links, addresses, routes, rules = [] }: NamespaceData): Observation {
    const routesIn = (family: Family, table: number) =>
      routes.filter((route) => route.family === family && route.table === table);
    return new Observation({
      links: () => [...links],
      addresses: (link) => addresses.filter((address) => address.link === link),
      routes: routesIn,
      defaultRoutes: (family) => lowestDefaults(routesIn(family, RT_TABLE_MAIN)),
      rules: (family) => rules.filter((rule) => rule.family === family),
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

  /** The name of the link with this index, for messages. */
  readonly linkName = (index: number): string => {
    return this.linkAt(index)?.name ?? `#${index}`;
  };

  /** The table that the kernel looks up for what arrives on a link: that of its VRF, else the main one. */
  tableOf({ master }: Link): number {
    const vrf = master === undefined ? undefined : this.linkAt(master);
    return vrf?.vrfTable ?? RT_TABLE_MAIN;
  }

  /** The addresses of a link, both families, in the kernel's order. */
  addresses(link: number): LinkAddress[] {
    return remember(this.#addresses, link, () => this.#read.addresses(link));
  }

  /**
   * The routes with the same key (destination, table, priority and so on), whatever else they do. There is at most one,
   * except for IPv6 routes without a gateway, of which each link can have one.
   */
  routesLike(route: Route): readonly Route[] {
    const known = this.#read.routesLike?.(route);
    if (known !== undefined) return known;
    const near = this.#table(route.family, route.table).get(route.dst) ?? [];
    const isLike = (other: Route) => hasSameKey(other, route);
    return near.every(isLike) ? near : near.filter(isLike);
  }

  /** Every route of a table, in the kernel's order, except that routes with the same destination are together. */
  routesIn(family: Family, table: number): readonly Route[] {
    return [...this.#table(family, table).values()].flat();
  }

  #table(family: Family, table: number): Map<string, Route[]> {
    return remember(this.#tables, `${family} ${table}`, () => {
      return Map.groupBy(this.#read.routes(family, table), ({ dst }) => dst);
    });
  }

  /** The policy rules of a family, in the order in which the kernel asks them. */
  rulesIn(family: Family): readonly Rule[] {
    const rules = this.#rulesOrNone(family);
    return rules === 'none' ? [] : rules;
  }

  /** Does the kernel have policy rules for this family? It has none without IPv6, for example. */
  hasRules(family: Family): boolean {
    return this.#rulesOrNone(family) !== 'none';
  }

  #rulesOrNone(family: Family): readonly Rule[] | 'none' {
    return remember(this.#rules, family, () => this.#read.rules(family) ?? 'none');
  }

  /** The default routes of a family that have the lowest metric, in no particular order. */
  defaultRoutes(family: Family): Route[] {
    return this.#read.defaultRoutes(family);
  }

  /**
   * The link that the default route of a family leaves by: the same one at every call and on every boot, by the rule in
   * default-link.ts. undefined if there is no default route.
   */
  defaultLink(family: Family): Link | undefined {
    return preferredLink(this.defaultRoutes(family), family, this);
  }
}

export type Reader = {
  links(): Link[];
  addresses(link: number): LinkAddress[];
  routes(family: Family, table: number): Route[];
  /** Those of a table with the key of this route, where they can be told without reading the whole table. */
  routesLike?(route: Route): readonly Route[];
  defaultRoutes(family: Family): Route[];
  /** undefined if the kernel has no rules for this family. */
  rules(family: Family): readonly Rule[] | undefined;
};

/** What a namespace consists of: its links, their addresses (by the link's index), the routes of all tables, and rules. */
export type NamespaceData = {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
  /** Those beside the kernel's own; none unless given. */
  readonly rules?: readonly Rule[];
};

function remember<K, V>(memory: Map<K, V>, key: K, read: () => V): V {
  const known = memory.get(key);
  if (known !== undefined) return known;
  const value = read();
  memory.set(key, value);
  return value;
}
