import { Flags } from 'netlink/dist/constants.js';
import { MessageType as RouteMessage } from 'netlink/dist/rt/gen_structs.js';
import { parsePrefix } from '../lib/address/prefix.ts';
import { type NativeSockets, withAddon } from '../lib/native/native.ts';
import { addAddressRequest, lastingAddress } from '../lib/netlink/address.ts';
import { renameLinkRequest } from '../lib/netlink/link.ts';
import { ControlType, formatRequests, type Request } from '../lib/netlink/message.ts';
import type { Route } from '../lib/netlink/route.ts';
import { addRouteRequest } from '../lib/netlink/route-message.ts';
import { RouteSocket, type Transport } from '../lib/netlink/socket.ts';

/**
 * Does some work with a kernel that is read from a script: in every namespace that a socket is opened in, it has one link,
 * `eth0`, with 10.0.0.5/24 and fd00::5/64, and it accepts every change without making it. It is for rehearsals, not for
 * tests: the kernel is not like this. It takes the kernel's part, so it is the only file outside lib/netlink that
 * uses the constants of the messages.
 */
export async function withScriptedKernel(work: () => Promise<void>): Promise<void> {
  const { open } = RouteSocket;
  RouteSocket.open = () => new RouteSocket(scriptedKernel());
  try {
    await withAddon(ADDON, work);
  } finally {
    RouteSocket.open = open;
  }
}

function isNotScripted(): never {
  throw new Error('the script has no answer to this');
}

/** Locks are free. A snapshot with the addon in it cannot be taken. */
const ADDON: NativeSockets = {
  lockFile: () => true,
  openSocket: isNotScripted,
  peerOf: isNotScripted,
  notify: isNotScripted,
  startProcess: isNotScripted,
  openNotifications: isNotScripted,
  readNotification: isNotScripted,
  onReadable: isNotScripted,
  wakeOnce: isNotScripted,
  unmapCode: isNotScripted,
};

function scriptedKernel(): Transport {
  const answers: Buffer[] = [];
  return {
    send: (bytes) => {
      const request = Buffer.from(bytes);
      answers.push(Buffer.concat(answersTo(request.readUInt16LE(4), lastOf(request)).map(numbered(lastOf(request)))));
    },
    receive: () => answers.shift() ?? Buffer.alloc(0),
    close: () => undefined,
  };
}

type Header = { seq: number; flags: number; family: number };

// The header of the last request of a write: the one that asks for an acknowledgement.
function lastOf(requests: Buffer): Header {
  let offset = 0;
  for (let next = 0; next < requests.length; next += (requests.readUInt32LE(next) + 3) & ~3) offset = next;
  const family = requests[offset + 16] ?? 0;
  return { seq: requests.readUInt32LE(offset + 8), flags: requests.readUInt16LE(offset + 6), family };
}

function numbered({ seq }: Header): (message: Request) => Buffer {
  return (message) => formatRequests([message], seq);
}

function answersTo(type: number, { flags, family }: Header): Request[] {
  const done = { type: ControlType.DONE, flags: Flags.MULTI, payload: Buffer.alloc(4) };
  if (type === RouteMessage.GETLINK) return [answer(RouteMessage.NEWLINK, LINK), done];
  if (type === RouteMessage.GETADDR) return [...ADDRESSES.map((one) => answer(RouteMessage.NEWADDR, one)), done];
  if (type === RouteMessage.GETROUTE) {
    const routes = ROUTES.filter(({ payload }) => payload[0] === family);
    return [...routes.map((one) => answer(RouteMessage.NEWROUTE, one)), done];
  }
  if ((flags & Flags.ACK) === 0) throw new Error(`the script has no answer to message ${type}`);
  // errno 0, and the header of the request that it is about.
  return [{ type: ControlType.ERROR, flags: 0, payload: Buffer.alloc(20) }];
}

// What the kernel says of an object is what one asks it for.
function answer(type: number, { payload }: Request): Request {
  return { type, flags: Flags.MULTI, payload };
}

const ETH0 = 2;
const LINK = renameLinkRequest({ link: ETH0, name: 'eth0' });
const ADDRESSES = ['10.0.0.5/24', 'fd00::5/64'].map((text) =>
  addAddressRequest(lastingAddress(parsePrefix(text), ETH0)),
);
const ROUTES = [route(4, '10.0.0.0/24'), route(6, 'fd00::/64')].map(addRouteRequest);

function route(family: 4 | 6, dst: string): Route {
  return { family, dst, type: 'unicast', table: 254, priority: 0, protocol: 2, scope: 253, hops: [{ oif: ETH0 }] };
}
