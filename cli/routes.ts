import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { formatPrefix, mostSpecific, type Prefix } from '../lib/address/prefix.ts';
import { describe, holds } from '../lib/change/change.ts';
import { apply } from '../lib/change/transaction.ts';
import { CniCode, CniError } from '../lib/cni/errors.ts';
import type { Variables } from '../lib/cni/request.ts';
import type { RouteSocket } from '../lib/netlink/socket.ts';
import { Observation } from '../lib/observation/observation.ts';
import { linkOrError } from '../lib/plugin/attachment.ts';
import { openOwn } from '../lib/plugin/pod.ts';
import { reconcileRoutes } from '../lib/plugin/reconcile.ts';
import { parseStaticRouteConfig } from '../plugins/static-route/config.ts';
import { mappedRoutes } from '../plugins/static-route/mapped-routes.ts';
import { readTopologyFile, type Topology } from '../plugins/static-route/topology.ts';

export type RoutesOptions = { config?: string; interface?: string; noop?: boolean };

/** Where the map is looked for, in this order: where ddsnet4u did, and then in a folder of our own. */
const FILES = ['waymark.yaml', 'ddsnet4u.yaml'];

/** The first interface that Multus adds to a pod. */
const DEFAULT_INTERFACE = 'net1';

/**
 * Adds the routes that follow from a map of subnets, in the namespace that it runs in: the pod's, in an init container.
 * `say` gets a line for every step, so that the container's log explains the pod. It needs CAP_NET_ADMIN only.
 *
 * Throws CniError for a map that is missing or wrong (7), an interface that does not exist (100) or has no address (101),
 * and a route that the kernel refuses; then no route was added.
 */
export async function addMappedRoutes(
  options: RoutesOptions,
  env: Variables,
  say: (line: string) => void,
): Promise<void> {
  const file = options.config ?? findMap(env, say);
  const topology = await readTopologyFile(file);
  say(`map: ${file}, ${topology.length} subnets`);
  const socket = openOwn();
  try {
    await addRoutes(socket, topology, options, say);
  } finally {
    socket.close();
  }
}

async function addRoutes(socket: RouteSocket, topology: Topology, options: RoutesOptions, say: (line: string) => void) {
  const observed = Observation.of(socket);
  const link = linkOrError(options.interface ?? DEFAULT_INTERFACE, observed, '--interface');
  const addresses = observed.addresses(link.index).map(({ prefix }) => prefix);
  const assumed = options.interface === undefined ? ' (assumed; --interface names another)' : '';
  say(`interface: ${link.name}${assumed}, ${addresses.map(formatPrefix).join(', ') || 'no address'}`);

  const { config } = parseStaticRouteConfig({});
  const wanted = mappedRoutes({ config: { ...config, topology }, observed, link });
  saySubnets(topology, addresses, say);
  const { changes, kept } = reconcileRoutes(wanted, observed, 'keep');
  const there = changes.map(({ change }) => change).filter((change) => holds(change, observed));
  const pending = changes.map(({ change }) => change).filter((change) => !holds(change, observed));
  for (const change of there) say(`there already: ${describe(change, observed)}`);
  for (const change of kept) say(`another route is there, and stays: ${describe(change, observed)}`);
  for (const change of pending) say(`${options.noop ? 'would ' : ''}${describe(change, observed)}`);
  if (!options.noop) await apply(socket, pending, observed);
  say(
    pending.length === 0
      ? 'nothing to do'
      : options.noop
        ? 'changed nothing (--noop)'
        : `added ${pending.length} ${pending.length === 1 ? 'route' : 'routes'}`,
  );
}

function saySubnets(topology: Topology, addresses: readonly Prefix[], say: (line: string) => void): void {
  for (const { address } of addresses) {
    const subnet = mostSpecific(topology, address);
    say(
      subnet === undefined
        ? `${address} is in no subnet of the map`
        : `${address} is in ${formatPrefix(subnet)} of vrf ${subnet.vrf}, gateway ${subnet.gw}`,
    );
  }
}

function findMap(env: Variables, say: (line: string) => void): string {
  const folders = ['.', ...(env.HOME ? [env.HOME] : []), '/usr/local/etc', '/etc/ddsnet4u', '/etc/waymark'];
  const candidates = folders.flatMap((folder) => FILES.map((name) => join(folder, name)));
  const found = candidates.find((path) => existsSync(path));
  if (found !== undefined) return found;
  say(`looked for ${candidates.join(', ')}`);
  throw new CniError(CniCode.invalidConfig, 'there is no map of subnets; name it with --config');
}
