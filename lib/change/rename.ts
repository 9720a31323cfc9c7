import {
  addAddressRequest,
  deleteAddressRequest,
  type LinkAddress,
  listAddresses,
  updateAddressRequest,
} from '../netlink/address.ts';
import type { NetlinkError } from '../netlink/errors.ts';
import { renameLinkRequest, setLinkUpRequest } from '../netlink/link.ts';
import type { Request } from '../netlink/message.ts';
import { addNeighbourRequest, listNeighbours, type Neighbour } from '../netlink/neighbour.ts';
import { isSameRoute, type Route, RT_TABLE_LOCAL, RTPROT_KERNEL } from '../netlink/route.ts';
import { addRouteRequest, deleteRouteRequest } from '../netlink/route-message.ts';
import { listRoutes } from '../netlink/routes.ts';
import type { RouteSocket } from '../netlink/socket.ts';

/** `lost` is there while the link is down for it: what goes with that, and must come back. */
export type RenameLink = {
  readonly op: 'rename-link';
  readonly link: number;
  readonly from: string;
  readonly to: string;
  readonly lost?: LinkState;
};

/** What a link loses when it is taken down. */
export type LinkState = {
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
  readonly neighbours: readonly Neighbour[];
};

/** Told before a link goes down, with what it will lose, and when all of that is back. */
export type Detours = { begin(rename: RenameLink): void; end(rename: RenameLink): void };

/**
 * Gives a link another name, and returns the kernel's refusal if it does not want to.
 *
 * A link that is up keeps all that it has. Kernels before 6.2 refuse that with EBUSY: then the link goes down, gets the
 * name, comes up, and what it lost is put back: its IPv6 addresses, its routes of both families and all tables, its
 * neighbours. If that fails, it has its first name and its state again; if that fails too, NetlinkError is thrown, and
 * the recorded rename keeps what was lost.
 *
 * `rename.lost` is there if an earlier attempt ended on that way; it says what to put back. Then it is done as far as it
 * can be, and reports what was refused: something that the kernel no longer accepts must not hold up a pod forever.
 */
export async function renameLink(
  socket: RouteSocket,
  rename: RenameLink,
  text: string,
  detours?: Detours,
): Promise<NetlinkError | undefined> {
  const { lost, ...plain } = rename;
  const { link, from, to } = plain;
  let state = lost;
  if (state === undefined) {
    const refusal = await refusalOf(socket, renameLinkRequest({ link, name: to }), text);
    if (refusal?.code !== 'EBUSY') return refusal;
    state = stateOf(socket, link);
    // Nexthop objects go with their link, and groups lose them: that is not put back.
    if (state.routes.some(({ nexthopId }) => nexthopId !== undefined)) return refusal;
  }
  detours?.begin({ ...plain, lost: state });
  const refusal = await renameWhileDown(socket, { link, name: to, state, text });
  if (refusal !== undefined && lost === undefined) {
    const another = await renameWhileDown(socket, { link, name: from, state, text: `undo: ${text}` });
    if (another !== undefined) throw another;
  }
  detours?.end(plain);
  return refusal;
}

type Detour = { link: number; name: string; state: LinkState; text: string };

// Goes on after a refusal, and returns the first: a link that stays down is worse than one with the wrong name, and one
// route that is missing worse than none.
async function renameWhileDown(
  socket: RouteSocket,
  { link, name, state, text }: Detour,
): Promise<NetlinkError | undefined> {
  const down = await refusalOf(socket, setLinkUpRequest({ link, up: false }), `${text}: take it down`);
  if (down !== undefined) return down;
  const refusal = await refusalOf(socket, renameLinkRequest({ link, name }), text);
  const up = await refusalOf(socket, setLinkUpRequest({ link, up: true }), `${text}: take it up`);
  if (up !== undefined) return refusal ?? up;
  const missing = await putBack(socket, link, state);
  return refusal ?? missing;
}

function stateOf(socket: RouteSocket, link: number): LinkState {
  return {
    addresses: listAddresses(socket, link),
    routes: routesOf(socket, link),
    neighbours: listNeighbours(socket, link),
  };
}

// The kernel's own entries of the local table come and go with the addresses.
function routesOf(socket: RouteSocket, link: number): Route[] {
  const all = [...listRoutes(socket, 4, { oif: link }), ...listRoutes(socket, 6, { oif: link })];
  return all.filter(({ table, protocol }) => table !== RT_TABLE_LOCAL || protocol !== RTPROT_KERNEL);
}

// What is there again by itself stays. Addresses come first, since routes need them; what should not be there goes.
// Returns the first refusal.
async function putBack(socket: RouteSocket, link: number, state: LinkState): Promise<NetlinkError | undefined> {
  const refusals = [
    ...(await putBackAddresses(socket, link, state.addresses)),
    ...(await putBackRoutes(socket, link, state.routes)),
    ...(await putBackNeighbours(socket, link, state.neighbours)),
  ];
  return refusals[0];
}

async function putBackAddresses(
  socket: RouteSocket,
  link: number,
  wanted: readonly LinkAddress[],
): Promise<NetlinkError[]> {
  const keyOf = ({ prefix, peer }: LinkAddress) => `${prefix.address}/${prefix.length} ${peer ?? ''}`;
  const isLike = (a: LinkAddress, b: LinkAddress) =>
    keyOf(a) === keyOf(b) && (a.prefix.family === 4 || a.flags === b.flags);
  const present = listAddresses(socket, link);
  const refusals: NetlinkError[] = [];
  // The kernel has each new IPv6 address before the older ones.
  for (const address of wanted.toReversed()) {
    if (present.some((other) => isLike(other, address))) continue;
    refusals.push(...(await putBackAddress(socket, address, `put back address ${keyOf(address).trim()}`)));
  }
  const isWanted = (address: LinkAddress) => wanted.some((other) => keyOf(other) === keyOf(address));
  for (const address of present.filter((other) => !isWanted(other))) {
    refusals.push(...(await refusalsOf(socket, deleteAddressRequest(address), `delete address ${keyOf(address)}`)));
  }
  return refusals;
}

// The kernel makes a link-local address by itself, sooner or later, and would look for duplicates of it. It may do so between
// two of these requests, but not again and again.
async function putBackAddress(socket: RouteSocket, address: LinkAddress, text: string): Promise<NetlinkError[]> {
  const requests = [deleteAddressRequest(address), addAddressRequest(address), updateAddressRequest(address)];
  for (let attempt = 1; ; attempt++) {
    const { refusals } = await socket.change(requests, () => text, { keepGoing: true });
    const hasCome = refusals.some(({ index, error }) => index === 1 && error.code === 'EEXIST');
    if (hasCome && attempt < ADDRESS_ATTEMPTS) continue;
    return refusals.filter(({ index }) => index > 0).map(({ error }) => error);
  }
}

const ADDRESS_ATTEMPTS = 5;

async function putBackRoutes(socket: RouteSocket, link: number, wanted: readonly Route[]): Promise<NetlinkError[]> {
  const isLike = (a: Route, b: Route) => isSameRoute(a, b) && a.protocol === b.protocol;
  const refusals: NetlinkError[] = [];
  for (const route of routesOf(socket, link)) {
    if (wanted.some((other) => isLike(route, other))) continue;
    refusals.push(...(await refusalsOf(socket, deleteRouteRequest(route), `delete route ${route.dst}`)));
  }
  // One route may lead to the gateway of another, whichever comes first: as long as some come back, others may.
  for (let before = Number.POSITIVE_INFINITY; ; ) {
    const present = routesOf(socket, link);
    const left = wanted.filter((route) => !present.some((other) => isLike(route, other)));
    if (left.length === 0) return refusals;
    const describe = (index: number) => `put back route ${left[index]?.dst}`;
    const outcome = await socket.change(left.map(addRouteRequest), describe, { keepGoing: true });
    if (left.length >= before) return [...refusals, ...outcome.refusals.map(({ error }) => error)];
    before = left.length;
  }
}

async function putBackNeighbours(
  socket: RouteSocket,
  link: number,
  wanted: readonly Neighbour[],
): Promise<NetlinkError[]> {
  const known = new Set(listNeighbours(socket, link).map(({ address }) => address));
  const refusals: NetlinkError[] = [];
  for (const { mac, ...entry } of wanted) {
    if (mac === undefined || known.has(entry.address)) continue;
    const request = addNeighbourRequest({ ...entry, mac });
    const refused = await refusalsOf(socket, request, `put back neighbour ${entry.address}`);
    // The kernel may have made it by itself since they were listed, as it does for multicast addresses.
    refusals.push(...refused.filter(({ code }) => code !== 'EEXIST'));
  }
  return refusals;
}

async function refusalsOf(socket: RouteSocket, request: Request, text: string): Promise<NetlinkError[]> {
  return (await socket.change([request], () => text)).refusals.map(({ error }) => error);
}

async function refusalOf(socket: RouteSocket, request: Request, text: string): Promise<NetlinkError | undefined> {
  return (await refusalsOf(socket, request, text))[0];
}
