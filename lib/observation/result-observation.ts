import { familyOf } from '../address/address.ts';
import { bitsOf, formatPrefix, networkOf, parsePrefix } from '../address/prefix.ts';
import { namedGateway, type Result, type ResultInterface, type ResultRoute } from '../cni/result.ts';
import { type LinkAddress, lastingAddress } from '../netlink/address.ts';
import { type Link, plainLink } from '../netlink/link.ts';
import {
  defaultPriority,
  defaultScope,
  IP6_RT_PRIO_ADDRCONF,
  type Route,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTPROT_BOOT,
  RTPROT_KERNEL,
} from '../netlink/route.ts';
import { Observation } from './observation.ts';

/**
 * The pod's namespace as a result describes it: `lo`, the result's interfaces in a sandbox with their addresses, the
 * connected routes of these, and the result's routes. A result without interfaces (0.1.0, 0.2.0) is about `ifname`.
 */
export function observationOfResult(result: Result, ifname: string): Observation {
  const { links, indexAt } = linksOf(result.interfaces ?? [], ifname);
  const own = links.find(({ name, altnames }) => name === ifname || altnames.includes(ifname)) ?? links[0];
  if (own === undefined) return Observation.ofData({ links: [LOOPBACK], addresses: [], routes: [] });
  const addresses = (result.ips ?? []).flatMap(({ address, interface: place }) => {
    const link = place === undefined ? own.index : indexAt(place);
    return link === undefined ? [] : lastingAddress(parsePrefix(address), link);
  });
  const routes = [
    ...addresses.flatMap(connectedRoute),
    ...(result.routes ?? []).map((route) => routeOfResult(route, result, own)),
  ];
  return Observation.ofData({ links: [LOOPBACK, ...links], addresses, routes });
}

const LOOPBACK: Link = { ...plainLink('lo', 1), loopback: true };

// An entry with a hardware address that was there already is the same link by another of its names.
function linksOf(interfaces: readonly ResultInterface[], ifname: string) {
  const links: Link[] = [];
  const indices = new Map<number, number>();
  interfaces.forEach(({ name, mac, sandbox }, place) => {
    if (!sandbox) return;
    const known = links.find((link) => link.name === name || (mac !== undefined && link.mac === mac.toLowerCase()));
    const link = known ?? {
      ...plainLink(name, links.length + 2),
      ...(mac !== undefined && { mac: mac.toLowerCase() }),
    };
    if (known === undefined) links.push(link);
    else if (known.name !== name) known.altnames.push(name);
    indices.set(place, link.index);
  });
  if (interfaces.length === 0) links.push(plainLink(ifname, 2));
  return { links, indexAt: (place: number) => indices.get(place) };
}

// What the kernel adds with an address, if it has a subnet.
function connectedRoute({ prefix, link }: LinkAddress): Route | [] {
  const { family, address, length } = prefix;
  if (length === bitsOf(family)) return [];
  return {
    family,
    dst: formatPrefix(networkOf(prefix)),
    type: 'unicast',
    table: RT_TABLE_MAIN,
    priority: family === 4 ? 0 : IP6_RT_PRIO_ADDRCONF,
    protocol: RTPROT_KERNEL,
    scope: family === 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
    hops: [{ oif: link }],
    ...(family === 4 && { src: address }),
  };
}

// As the reference plugins add it (pkg/ipam of containernetworking/plugins): without `gw`, through the address's gateway.
function routeOfResult(route: ResultRoute, { ips = [] }: Result, link: Link): Route {
  const family = familyOf(route.dst);
  const gw = route.gw ?? namedGateway(ips, family);
  const hops = [{ ...(gw !== undefined && { gw }), oif: link.index }];
  const { mtu, advmss } = route;
  return {
    family,
    dst: formatPrefix(networkOf(parsePrefix(route.dst))),
    type: 'unicast',
    table: route.table ?? RT_TABLE_MAIN,
    priority: route.priority || defaultPriority(family),
    protocol: RTPROT_BOOT,
    scope: route.scope ?? defaultScope({ family, type: 'unicast', hops }),
    hops,
    ...(mtu !== undefined && { mtu }),
    ...(advmss !== undefined && { advmss }),
  };
}
