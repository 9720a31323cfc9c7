import { closeSync, readSync, writeSync } from 'node:fs';
import type { Test } from 'tap';
import { nativeSockets } from '../../../lib/native/native.ts';
import { RouteSocket, type Transport } from '../../../lib/netlink/socket.ts';
import { type Namespace, openNamespace } from '../../../lib/netns/netns.ts';

/** A real socket in a scratch namespace. It is closed when the test ends. */
export function socketIn(t: Test, pod: { path: string }): RouteSocket {
  const namespace = openNamespace(pod.path);
  const socket = RouteSocket.open(namespace);
  namespace.close();
  t.teardown(() => socket.close());
  return socket;
}

/** A request to a fake kernel: the fields of nlmsghdr (linux/netlink.h) and the payload. */
export type Sent = { type: number; flags: number; seq: number; payload: Buffer };

/** A transport to a fake kernel, with the requests of each write. */
export type FakeTransport = Transport & { readonly writes: Sent[][]; readonly closed: boolean };

/** `answer` returns the datagrams that answer a write. A read beyond them fails like a socket's (EAGAIN). */
export function fakeTransport(answer: (sent: Sent[], write: number) => Buffer[]): FakeTransport {
  const writes: Sent[][] = [];
  const datagrams: Buffer[] = [];
  let closed = false;
  return {
    writes,
    get closed() {
      return closed;
    },
    send: (bytes) => {
      const sent = parseRequests(Buffer.from(bytes));
      writes.push(sent);
      datagrams.push(...answer(sent, writes.length - 1));
    },
    receive: () => {
      const datagram = datagrams.shift();
      if (datagram === undefined) throw systemError('EAGAIN', 11);
      return datagram;
    },
    close: () => {
      closed = true;
    },
  };
}

/** A transport that answers every request with recorded datagrams. */
export function replay(datagrams: readonly string[]): FakeTransport {
  let first = true;
  return fakeTransport(() => {
    const all = first ? datagrams : [];
    first = false;
    return all.map((base64) => Buffer.from(base64, 'base64'));
  });
}

/** A real socket in a namespace that records the answers. */
export function recordingTransport(namespace: Namespace, received: string[]): Transport {
  const { fd } = nativeSockets().openSocket(namespace.fd);
  return {
    send: (bytes) => {
      writeSync(fd, bytes);
    },
    receive: () => {
      const datagram = Buffer.alloc(65_536);
      const bytes = datagram.subarray(0, readSync(fd, datagram));
      received.push(bytes.toString('base64'));
      return bytes;
    },
    close: () => closeSync(fd),
  };
}

/** An error as node:fs throws it. */
export function systemError(code: string, errno: number): Error {
  return Object.assign(new Error(code), { code, errno: -errno });
}

// struct nlmsghdr: u32 length, u16 type, u16 flags, u32 sequence number, u32 port. Little endian, as on every machine
// that the project is built for.

/** A message with its header, padded to 4 bytes. */
export function message(header: { type: number; flags?: number; seq: number }, ...data: Uint8Array[]): Buffer {
  const payload = Buffer.concat(data);
  const bytes = Buffer.alloc(16 + payload.length + (-payload.length & 3));
  bytes.writeUInt32LE(16 + payload.length, 0);
  bytes.writeUInt16LE(header.type, 4);
  bytes.writeUInt16LE(header.flags ?? 0, 6);
  bytes.writeUInt32LE(header.seq, 8);
  payload.copy(bytes, 16);
  return bytes;
}

/** An attribute (struct rtattr), padded to 4 bytes. */
export function attribute(type: number, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(4 + data.length + (-data.length & 3));
  bytes.writeUInt16LE(4 + data.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(data, 4);
  return bytes;
}

export function s32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

/** NLMSG_ERROR: the negative errno, the header of the request, and the kernel's text if there is one. */
export function acknowledgement(request: Sent, errno: number, text?: string): Buffer {
  const header = message({ type: request.type, flags: request.flags, seq: request.seq });
  return message(
    { type: NLMSG_ERROR, flags: NLM_F_CAPPED | (text === undefined ? 0 : NLM_F_ACK_TLVS), seq: request.seq },
    s32(-errno),
    header,
    extended(text),
  );
}

/** NLMSG_DONE: the negative errno, and the kernel's text if there is one. */
export function done(request: Sent, errno = 0, text?: string, flags = 0): Buffer {
  const tlvs = text === undefined ? 0 : NLM_F_ACK_TLVS;
  return message({ type: NLMSG_DONE, flags: flags | tlvs, seq: request.seq }, s32(-errno), extended(text));
}

function extended(text?: string): Buffer {
  return text === undefined ? Buffer.alloc(0) : attribute(NLMSGERR_ATTR_MSG, Buffer.from(`${text}\0`));
}

/** The requests of one write. */
export function parseRequests(bytes: Buffer): Sent[] {
  const sent: Sent[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const length = bytes.readUInt32LE(offset);
    sent.push({
      type: bytes.readUInt16LE(offset + 4),
      flags: bytes.readUInt16LE(offset + 6),
      seq: bytes.readUInt32LE(offset + 8),
      payload: bytes.subarray(offset + 16, offset + length),
    });
    offset += length + (-length & 3);
  }
  return sent;
}
