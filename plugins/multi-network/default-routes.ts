import { type Family, familyOf } from '../../lib/address/address.ts';
import { defaultDestination } from '../../lib/address/prefix.ts';
import { newestResult } from '../../lib/attachments/result-status.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import { type Result, toVersion } from '../../lib/cni/result.ts';
import { isSupported } from '../../lib/cni/version.ts';
import type { Delegation } from './delegation.ts';
import type { Attached } from './networks.ts';

/** The families of which the selections choose a default route. */
export function chosenFamilies(attached: readonly Attached[]): ReadonlySet<Family> {
  return new Set(attached.flatMap(({ network }) => (network.request.defaultRoute ?? []).map(familyOf)));
}

/**
 * Makes the gateways that selections ask for the pod's default routes, once all networks are there; those of the others go,
 * and come back with DEL. The results say who has which, also the cached ones, by which CHECK looks. Throws RuntimeError.
 */
export async function withDefaultRoutes(delegation: Delegation, attached: readonly Attached[]): Promise<Attached[]> {
  const chosen = chosenFamilies(attached);
  const all: Attached[] = [];
  for (const { network, result } of attached) {
    const { list, input, request } = network;
    const own = (request.defaultRoute ?? []).map(familyOf);
    const set = own.length === 0 ? result : await delegation.setDefaultRoutes(network, result);
    const lost = new Set([...chosen].filter((family) => !own.includes(family)));
    const changed = hasDefaultRoute(set, lost) ? withoutDefaultRoutes(set, lost, list.cniVersion) : set;
    if (changed !== result) delegation.remember(list, input, changed);
    all.push({ network, result: changed });
  }
  return all;
}

/** A result without the default routes of these families. */
export function withoutDefaults<R extends Pick<Result, 'routes'>>(result: R, families: ReadonlySet<Family>): R {
  const { routes } = result;
  if (routes === undefined || families.size === 0) return result;
  return { ...result, routes: routes.filter(({ dst }) => !isDefault(dst, families)) };
}

function withoutDefaultRoutes(result: JsonObject, families: ReadonlySet<Family>, version: string): JsonObject {
  const left = withoutDefaults(newestResult(result), families);
  return (isSupported(version) ? toVersion(left, version) : left) as JsonObject;
}

function hasDefaultRoute(result: JsonObject, families: ReadonlySet<Family>): boolean {
  return (newestResult(result).routes ?? []).some(({ dst }) => isDefault(dst, families));
}

function isDefault(dst: string, families: ReadonlySet<Family>): boolean {
  return [...families].some((family) => dst === defaultDestination(family));
}
