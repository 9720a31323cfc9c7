import { type Family, familyOf, unspecified } from '../address/address.ts';
import { RT_TABLE_MAIN } from '../netlink/route.ts';
import type { CniVersion } from './version.ts';

/** A route of a result, by spec 1.1.0. Earlier versions know `dst` and `gw` only. */
export type ResultRoute = {
  dst: string;
  gw?: string | undefined;
  mtu?: number | undefined;
  advmss?: number | undefined;
  priority?: number | undefined;
  table?: number | undefined;
  scope?: number | undefined;
};

export type ResultInterface = { name: string; mac?: string | undefined; sandbox?: string | undefined };

/** An address of a result. `interface` is the place in `interfaces`. */
export type ResultIp = { address: string; gateway?: string | undefined; interface?: number | undefined };

/**
 * A result by the newest version of the spec, into which those of the older ones are turned. Keys that we do not know
 * are carried along.
 */
export type Result = {
  cniVersion?: string | undefined;
  interfaces?: ResultInterface[] | undefined;
  ips?: ResultIp[] | undefined;
  routes?: ResultRoute[] | undefined;
  dns?: object | undefined;
};

type Json = { [key: string]: unknown };

/** The parts of a result of 0.1.0 and 0.2.0: one address of each family, each with its routes. */
type OldIp = { ip: string; gateway?: string; routes?: ResultRoute[] };

/** Reads a result of any version as one of the newest. The document must have the shape of its version. */
export function fromVersion(document: object, version: CniVersion): Result {
  const { cniVersion: _, ...result } = document as Json;
  if (version === '0.1.0' || version === '0.2.0') return fromSeparateFamilies(result);
  if (!version.startsWith('0.') || !Array.isArray(result.ips)) return result as Result;
  return { ...result, ips: result.ips.map(withoutKeys(['version'])) } as Result;
}

/**
 * The result as a document of a version of the spec, without what that version does not know. For 0.1.0 and 0.2.0 it
 * is the first address of each family, and the routes of the families that have one: they have no place for more.
 */
export function toVersion(result: Result, version: CniVersion): object {
  const cniVersion = version;
  if (version === '1.1.0') return { cniVersion, ...result };
  const routes = result.routes?.filter(isInMainTable).map(({ dst, gw }) => ({ dst, ...(gw !== undefined && { gw }) }));
  if (version === '0.1.0' || version === '0.2.0') return { cniVersion, ...toSeparateFamilies({ ...result, routes }) };
  const interfaces = result.interfaces?.map(withoutKeys(['mtu', 'socketPath', 'pciID']));
  const ips = version === '1.0.0' ? result.ips : result.ips?.map(withFamily);
  return compact({ cniVersion, ...result, interfaces, ips, routes });
}

/** The result with these routes added to those that it has. */
export function withRoutes(result: Result, routes: readonly ResultRoute[]): Result {
  return routes.length === 0 ? result : { ...result, routes: [...(result.routes ?? []), ...routes] };
}

/** The first gateway of a family that addresses of a result name. `0.0.0.0` and `::` stand for none. */
export function namedGateway(ips: readonly ResultIp[], family: Family): string | undefined {
  return ips
    .flatMap(({ gateway }) => gateway ?? [])
    .find((gateway) => familyOf(gateway) === family && gateway !== unspecified(family));
}

function fromSeparateFamilies({ ip4, ip6, ...rest }: Json): Result {
  const parts = [ip4, ip6].filter((part): part is OldIp => part !== undefined && part !== null);
  return {
    ...rest,
    ips: parts.map(({ ip, gateway }) => ({ address: ip, ...(gateway !== undefined && { gateway }) })),
    routes: parts.flatMap((part) => part.routes ?? []),
  };
}

function toSeparateFamilies({ interfaces: _, ips = [], routes = [], ...rest }: Result): Json {
  const part = (family: 4 | 6) => {
    const first = ips.find(({ address }) => familyOf(address) === family);
    const own = routes.filter(({ dst }) => familyOf(dst) === family);
    return first && compact({ ip: first.address, gateway: first.gateway, routes: own.length > 0 ? own : undefined });
  };
  return compact({ ...rest, ip4: part(4), ip6: part(6) });
}

// Without `table`, a route of another table would read as one of the main table.
function isInMainTable({ table }: ResultRoute): boolean {
  return table === undefined || table === RT_TABLE_MAIN;
}

function withFamily(ip: ResultIp): object {
  return { version: String(familyOf(ip.address)), ...ip };
}

function withoutKeys(keys: readonly string[]): (value: object) => object {
  return (value) => Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)));
}

function compact(fields: Json): Json {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
