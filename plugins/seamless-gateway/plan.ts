import { type Family, familyOf } from '../../lib/address/address.ts';
import { bitsOf, firstHost, formatPrefix, lastHost, nthAddress, type Prefix } from '../../lib/address/prefix.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import { withRoutes } from '../../lib/cni/result.ts';
import type { LinkAddress } from '../../lib/netlink/address.ts';
import type { Link } from '../../lib/netlink/link.ts';
import { RT_SCOPE_UNIVERSE, routeVia } from '../../lib/netlink/route.ts';
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
 * A route to each of the host's addresses, through the gateway of the pod's subnet.
 *
 * Throws CniError 100 or 101 if an interface or an address is missing on either side, 102 if no gateway can be computed.
 */
export function planSeamlessGateway(input: Input): Plan {
  const { request, config, previous, observed } = input;
  const link = attachmentLink(request, config.interface, previous, observed);
  const wanted = hostAddresses(input, link).map((host) => wantedRoute(input, link, host));
  const { changes, conflicts, kept } = reconcileRoutes(wanted, observed, config.onConflict);
  const base = previous ?? unchainedResult(link, request.netns, observed);
  const added = wanted.filter(({ route }) => !kept.has(route)).flatMap(({ route }) => resultRoute(route));
  return { changes, conflicts, kept, result: withRoutes(base, added) };
}

/** The gateways of a plan's routes, each once: what `verifyGateway` looks for. */
export function gatewaysOf(plan: Plan): { link: number; address: string }[] {
  const hops = plan.changes.flatMap(({ change }) => (change.op === 'add-route' ? change.route.hops : []));
  const gateways = new Map(hops.flatMap(({ gw, oif }) => (gw === undefined ? [] : [[gw, { link: oif, address: gw }]])));
  return [...gateways.values()];
}

function wantedRoute({ config, observed }: Input, link: Link, { address, source }: HostAddress): WantedRoute {
  const family = familyOf(address);
  const pod = primaryAddress(observed.addresses(link.index), family);
  if (pod === undefined) throw missing(`the pod's interface "${link.name}" has no IPv${family} address`);
  const gw = gatewayIn(pod.prefix, gatewayChoice(config, family));
  const dst = `${address}/${bitsOf(family)}`;
  return { route: routeVia(gw, { dst, family, link: link.index, protocol: config.protocol }), source };
}

/** An address of the host, and where it comes from, for people to read. */
type HostAddress = { address: string; source: string };

// The config's; else the primary one of each family that both sides have.
function hostAddresses(input: Input, link: Link): HostAddress[] {
  const { config, observed } = input;
  const wanted = config.families?.map((name): Family => (name === 'ipv4' ? 4 : 6));
  const isWanted = (family: Family) => wanted === undefined || wanted.includes(family);
  const given = config.hostAddresses?.map((address, index) => ({ address, source: `hostAddresses[${index}]` }));
  if (given !== undefined) return given.filter(({ address }) => isWanted(familyOf(address)));

  const host = input.host();
  const hostLink = hostInterface(host, config.hostInterface);
  const found = FAMILIES.filter(isWanted).flatMap((family) => {
    const onHost = primaryAddress(host.addresses(hostLink.index), family);
    const inPod = primaryAddress(observed.addresses(link.index), family);
    if (onHost !== undefined && inPod !== undefined) {
      const { address } = onHost.prefix;
      return [{ address, source: `host address ${address}` }];
    }
    if (!wanted?.includes(family)) return [];
    const where =
      onHost === undefined ? `the host's interface "${hostLink.name}"` : `the pod's interface "${link.name}"`;
    throw missing(`${where} has no IPv${family} address`);
  });
  if (found.length > 0) return found;
  throw missing(`the host's interface "${hostLink.name}" and the pod's "${link.name}" have no addresses of one family`);
}

// Of two default routes with the same metric, IPv4's counts; nobody compares metrics across families.
function hostInterface(host: Observation, name: string | undefined): Link {
  if (name !== undefined) {
    const link = host.linkNamed(name);
    if (link !== undefined) return link;
    const names = host.links().map((present) => present.name);
    const details = `the host has ${names.join(', ')}`;
    throw new NotYet(CniCode.noInterface, `hostInterface: the host has no interface "${name}"`, { details });
  }
  for (const family of FAMILIES) {
    const index = host.defaultRoute(family)?.hops[0]?.oif;
    const link = index === undefined ? undefined : host.linkAt(index);
    if (link !== undefined) return link;
  }
  throw missing('the host has no default route, from which to tell its interface; name it with "hostInterface"');
}

// The first that the kernel would use for itself: global, not a second one of its subnet, not on its way in or out.
function primaryAddress(addresses: readonly LinkAddress[], family: Family): LinkAddress | undefined {
  return addresses.find(({ prefix, scope, secondary, deprecated, tentative }) => {
    const isUsable = !secondary && !deprecated && !tentative;
    return prefix.family === family && scope === RT_SCOPE_UNIVERSE && isUsable;
  });
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
    if (error instanceof RangeError) throw noGateway(`gateway.offset: ${error.message}`);
    throw error;
  }
}

function noGateway(message: string): CniError {
  return new CniError(CniCode.noGateway, message);
}

function missing(message: string): NotYet {
  return new NotYet(CniCode.noAddress, message);
}
