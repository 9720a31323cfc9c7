import { type Family, familyOf } from '../../lib/address/address.ts';
import { bitsOf, firstHost, formatPrefix, lastHost, nthAddress, type Prefix } from '../../lib/address/prefix.ts';
import { effectOf } from '../../lib/change/change.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import { withRoutes } from '../../lib/cni/result.ts';
import { isNotYetUsable, isUsable, type LinkAddress } from '../../lib/netlink/address.ts';
import type { Link } from '../../lib/netlink/link.ts';
import { routeVia } from '../../lib/netlink/route.ts';
import type { Observation } from '../../lib/observation/observation.ts';
import { attachmentLink } from '../../lib/plugin/attachment.ts';
import { NotYet, type Plan, type PlanInput } from '../../lib/plugin/plan.ts';
import { reconcileRoutes, type WantedRoute } from '../../lib/plugin/reconcile.ts';
import { resultRoute } from '../../lib/plugin/result-route.ts';
import { unchainedResult } from '../../lib/plugin/unchained.ts';
import { type GatewayChoice, gatewayChoice, type SeamlessGatewayConfig } from './config.ts';

type Input = PlanInput<SeamlessGatewayConfig>;

const FAMILIES: readonly Family[] = [4, 6];

/**
 * Plans a route to each of the host's addresses, through the gateway of the pod's subnet.
 *
 * Throws CniError 100 or 101 if either side lacks an interface or an address, 102 if no gateway can be computed.
 */
export function planSeamlessGateway(input: Input): Plan {
  const { request, config, previous, observed } = input;
  const link = attachmentLink(request, config.interface, previous, observed);
  const wanted = hostAddresses(input, link).map((host) => wantedRoute(input, link, host));
  const { changes, conflicts, kept, routes } = reconcileRoutes(wanted, observed, config.onConflict);
  const base = previous ?? unchainedResult(link, request.netns, observed);
  return { changes, conflicts, kept, result: withRoutes(base, routes.flatMap(resultRoute)) };
}

/** The addresses of the host that a plan with this config has routes to, if they are the host's own. */
export function hostState({ hostAddresses, hostInterface: name }: JsonObject, host: Observation): string | undefined {
  if (hostAddresses !== undefined) return undefined;
  try {
    const link = hostInterface(host, typeof name === 'string' ? name : undefined);
    const found = FAMILIES.flatMap((family) => primaryOf({ observed: host, link }, family)?.prefix.address ?? []);
    return found.length === 0 ? undefined : found.join(' ');
  } catch (error) {
    if (error instanceof NotYet) return undefined;
    throw error;
  }
}

/** The gateways of a plan's routes, each once: those that `verifyGateway` verifies. */
export function gatewaysOf(plan: Plan): { link: number; address: string }[] {
  const hops = plan.changes.flatMap(({ change }) => effectOf(change).adds?.hops ?? []);
  const gateways = new Map(hops.flatMap(({ gw, oif }) => (gw === undefined ? [] : [[gw, { link: oif, address: gw }]])));
  return [...gateways.values()];
}

function wantedRoute({ config, observed }: Input, link: Link, { address, source }: HostAddress): WantedRoute {
  const family = familyOf(address);
  const pod = primaryOf({ observed, link }, family);
  if (pod === undefined) throw noAddress({ observed, link, text: podText(link) }, family);
  const gw = gatewayIn(pod.prefix, gatewayChoice(config, family));
  const dst = `${address}/${bitsOf(family)}`;
  const { protocol } = config;
  return { route: routeVia(gw, { dst, family, link: link.index, protocol, table: observed.tableOf(link) }), source };
}

/** An address of the host, and where it comes from, for messages. */
type HostAddress = { address: string; source: string };

/** A link of the host or of the pod, and what messages call it. */
type Side = { observed: Observation; link: Link; text: string };

// Those of the config; else the primary one of each family that both sides have, or will have.
function hostAddresses(input: Input, link: Link): HostAddress[] {
  const { config, observed } = input;
  const wanted = config.families?.map((name): Family => (name === 'ipv4' ? 4 : 6));
  const isWanted = (family: Family) => wanted === undefined || wanted.includes(family);
  const given = config.hostAddresses?.map((address, index) => ({ address, source: `hostAddresses[${index}]` }));
  if (given !== undefined) return given.filter(({ address }) => isWanted(familyOf(address)));

  const host = input.host();
  const hostLink = hostInterface(host, config.hostInterface);
  const sides: Side[] = [
    { observed: host, link: hostLink, text: `the host's interface "${hostLink.name}"` },
    { observed, link, text: podText(link) },
  ];
  const found = FAMILIES.filter(isWanted).flatMap((family) => {
    const isRequired = wanted?.includes(family) ?? false;
    if (!isRequired && !sides.every((side) => hasOrWillHave(side, family))) return [];
    const [onHost] = sides.map((side) => {
      const address = primaryOf(side, family);
      if (address === undefined) throw noAddress(side, family);
      return address.prefix.address;
    });
    return onHost === undefined ? [] : [{ address: onHost, source: `host address ${onHost}` }];
  });
  if (found.length > 0) return found;
  throw missing(`the host's interface "${hostLink.name}" and the pod's "${link.name}" have no addresses of one family`);
}

// IPv4's default route comes first: metrics cannot be compared across families.
function hostInterface(host: Observation, name: string | undefined): Link {
  if (name !== undefined) {
    const link = host.linkNamed(name);
    if (link !== undefined) return link;
    const names = host.links().map((present) => present.name);
    const details = `the host has ${names.join(', ')}`;
    throw new NotYet(CniCode.noInterface, `hostInterface: the host has no interface "${name}"`, { details });
  }
  for (const family of FAMILIES) {
    const link = host.defaultLink(family);
    if (link !== undefined) return link;
  }
  throw missing('the host has no default route; set "hostInterface"');
}

// A tentative address is not yet usable, but will be: without this, a pod would get the routes of one family only.
function hasOrWillHave(side: Side, family: Family): boolean {
  return primaryOf(side, family) !== undefined || tentativeOf(side, family) !== undefined;
}

// The kernel's first of those that can be used.
function primaryOf({ observed, link }: Omit<Side, 'text'>, family: Family): LinkAddress | undefined {
  return observed.addresses(link.index).find((address) => address.prefix.family === family && isUsable(address));
}

function tentativeOf({ observed, link }: Side, family: Family): LinkAddress | undefined {
  return observed.addresses(link.index).find((address) => address.prefix.family === family && isNotYetUsable(address));
}

function noAddress(side: Side, family: Family): NotYet {
  const tentative = tentativeOf(side, family)?.prefix.address;
  if (tentative === undefined) return missing(`${side.text} has no IPv${family} address`);
  const details = 'duplicate address detection takes a second or two; set "waitSeconds" to wait for it';
  return new NotYet(CniCode.noAddress, `${side.text} has no IPv${family} address yet: ${tentative} is tentative`, {
    details,
  });
}

function podText(link: Link): string {
  return `the pod's interface "${link.name}"`;
}

function gatewayIn(subnet: Prefix, choice: GatewayChoice): string {
  const text = formatPrefix(subnet);
  if (subnet.length >= bitsOf(subnet.family) - 1 && (choice === 'first' || choice === 'last')) {
    throw noGateway(`the pod's subnet ${text} has no address for a gateway; name it with "gateway"`);
  }
  const gw = chosenAddress(subnet, choice);
  if (familyOf(gw) !== subnet.family) {
    throw noGateway(`gateway ${gw} is not of the family of the pod's subnet ${text}; name one for each family`);
  }
  if (gw !== subnet.address) return gw;
  throw noGateway(`the gateway of the pod's subnet ${text} would be the pod itself; name another with "gateway"`);
}

function chosenAddress(subnet: Prefix, choice: GatewayChoice): string {
  if (choice === 'first') return firstHost(subnet);
  if (choice === 'last') return lastHost(subnet);
  if (typeof choice === 'string') return choice;
  try {
    return nthAddress(subnet, choice.offset);
  } catch (error) {
    throw noGateway(`gateway.offset: ${(error as RangeError).message}`);
  }
}

function noGateway(message: string): CniError {
  return new CniError(CniCode.noGateway, message);
}

function missing(message: string): NotYet {
  return new NotYet(CniCode.noAddress, message);
}
