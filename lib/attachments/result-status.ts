import { isDefaultDestination } from '../address/prefix.ts';
import type { JsonObject } from '../cni/json.ts';
import { fromVersion, type Result } from '../cni/result.ts';
import { CURRENT_VERSION, isSupported } from '../cni/version.ts';
import { linkNamed, type PodLink } from './links.ts';

/** A result of any version as one of the newest; its own `cniVersion` says which it is of. */
export function newestResult(document: JsonObject): Result {
  const { cniVersion } = document;
  return fromVersion(
    document,
    typeof cniVersion === 'string' && isSupported(cniVersion) ? cniVersion : CURRENT_VERSION,
  );
}

/**
 * The status entries of a network that a pod got when it started, as Multus writes them from a result: one for each of its
 * interfaces in the pod, of which one is the default network's. A link that the result has by two names, since a plugin
 * renamed it, has one entry.
 */
export function entriesOfResult(
  document: JsonObject,
  network: string,
  isDefault: boolean,
  links: readonly PodLink[],
): JsonObject[] {
  const result = newestResult(document);
  const interfaces = result.interfaces ?? [];
  const inPod = interfaces.flatMap((item, index) => (item.sandbox ? [{ ...item, index }] : []));
  const places = inPod.filter(({ name }, at) => {
    const link = linkNamed(links, name);
    return link === undefined || inPod.findIndex((other) => linkNamed(links, other.name) === link) === at;
  });
  const gateways = (result.routes ?? []).filter(({ dst, gw }) => isDefaultDestination(dst) && gw).map(({ gw }) => gw);
  const first = defaultPlace(result, places);
  return places.map(({ name, mac, mtu, index }: (typeof places)[number] & { mtu?: number }) => {
    const link = linkNamed(links, name);
    const ips = addressesOf(result, index, places.at(-1)?.index, links, name, interfaces.length);
    const size = mtu ?? link?.mtu;
    return {
      name: network,
      interface: link?.name ?? name,
      ...(ips.length > 0 && { ips }),
      ...((mac || link?.mac) && { mac: mac || link?.mac }),
      ...(size !== undefined && { mtu: size }),
      ...(isDefault && index === first && { default: true }),
      dns: result.dns ?? {},
      ...(gateways.length > 0 && { gateway: gateways }),
    };
  });
}

// The first interface with a gateway, else the first of all.
function defaultPlace({ ips = [] }: Result, places: readonly { index: number }[]): number | undefined {
  const withGateway = ips.find(({ gateway, interface: at }) => gateway && places.some(({ index }) => index === at));
  return withGateway?.interface ?? places[0]?.index;
}

// What points at no interface belongs to the last; a link's second name stands for it too.
function addressesOf(
  { ips = [], interfaces = [] }: Result,
  place: number,
  last: number | undefined,
  links: readonly PodLink[],
  name: string,
  count: number,
): string[] {
  const own = linkNamed(links, name);
  return ips
    .filter(({ interface: at }) => {
      if (count === 1) return true;
      if (at === undefined) return place === last;
      const other = interfaces[at]?.name;
      return at === place || (own !== undefined && other !== undefined && linkNamed(links, other) === own);
    })
    .map(({ address }) => address.split('/')[0] ?? '');
}
