import type { Family } from '../../lib/address/address.ts';
import { formatPrefix, mostSpecific, type Prefix } from '../../lib/address/prefix.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import type { Link } from '../../lib/netlink/link.ts';
import { routeVia } from '../../lib/netlink/route.ts';
import type { PlanInput } from '../../lib/plugin/plan.ts';
import type { WantedRoute } from '../../lib/plugin/reconcile.ts';
import type { StaticRouteConfig } from './config.ts';
import type { Subnet, Topology } from './topology.ts';

type Input = Pick<PlanInput<StaticRouteConfig>, 'config' | 'observed'> & { link: Link };

/**
 * The routes that follow from the map of subnets and the addresses that the link has now. Throws CniError 101 if it has
 * none, since the map says nothing then.
 */
export function mappedRoutes({ config, observed, link }: Input): WantedRoute[] {
  if (config.topology === undefined) return [];
  const addresses = observed.addresses(link.index).map(({ prefix }) => prefix);
  if (addresses.length === 0) throw new CniError(CniCode.noAddress, `interface "${link.name}" has no address`);
  const source = mapSource(config);
  const table = observed.tableOf(link);
  return topologyRoutes(config.topology, addresses).map(({ family, dst, gw, via }) => ({
    source: `${source}: vrf ${via.vrf}`,
    route: routeVia(gw, { dst, family, link: link.index, protocol: config.protocol, table }),
  }));
}

/**
 * Which map is it? The journal records it with each route, so that CHECK compares a map's routes with those of the same
 * map: another entry of the list can have another map, and they share a journal. A file is known by its path, an inline
 * map by a hash of its content, both with the interface if the config names one.
 */
export function mapSource({ topology, topologyFile, interface: on }: MapKeys): string {
  const map = topologyFile === undefined ? `topology ${contentHash(topology)}` : `topologyFile ${topologyFile}`;
  return on === undefined ? map : `${map}, interface ${on}`;
}

type MapKeys = Pick<StaticRouteConfig, 'topology' | 'topologyFile'> & { interface?: string | undefined };

// FNV-1a. It tells the few maps of one list apart, and unlike node:crypto's it can be part of the start-up snapshot.
function contentHash(topology: Topology | undefined): string {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(JSON.stringify(topology ?? []))) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

/**
 * Where must a pod with these addresses be routed? The vrf with the most specific subnet that holds an address is the
 * pod's; every other subnet of it, of that family, is reached through that subnet's gateway.
 */
function topologyRoutes(
  topology: Topology,
  addresses: readonly Prefix[],
): { dst: string; gw: string; family: Family; via: Subnet }[] {
  const families: Family[] = [4, 6];
  return families.flatMap((family) => {
    const via = bestSubnet(
      topology,
      addresses.filter((own) => own.family === family),
    );
    if (via === undefined) return [];
    const others = topology.filter((subnet) => subnet.vrf === via.vrf && subnet.family === family && subnet !== via);
    return others.map((subnet) => ({ dst: formatPrefix(subnet), gw: via.gw, family, via }));
  });
}

function bestSubnet(topology: Topology, addresses: readonly Prefix[]): Subnet | undefined {
  const found = addresses.flatMap((own) => mostSpecific(topology, own.address) ?? []);
  return found.toSorted((a, b) => b.length - a.length)[0];
}
