import { Flags, FlagsAck, MessageType } from 'netlink/dist/constants.js';
import {
  AttrStream,
  formatHeader,
  getString,
  HEADER_LENGTH,
  type NetlinkMessage,
  padding,
  parseAttributes,
  parseError,
  readS32,
} from 'netlink/dist/structs.js';

/** What to ask of the kernel: a message type, its NLM_F_* flags beside NLM_F_REQUEST, and its payload. */
export type Request = { type: number; flags: number; payload: Uint8Array };

/** The kernel's answer to one request that is not a dump. `errno` is positive, 0 for success. */
export type Acknowledgement = { seq: number; errno: number; kernelMessage: string | undefined };

/** NLMSGERR_ATTR_MSG, the kernel's explanation as text (linux/netlink.h). */
const NLMSGERR_ATTR_MSG = 1;

/** Collects what a codec emits (struct first, then attributes) into one payload. */
export function payloadOf(emit: (out: AttrStream) => void): Uint8Array {
  const out = new AttrStream();
  emit(out);
  return Buffer.concat(out.bufs);
}

/** The request as it goes to the kernel, padded so that another can follow (NLMSG_ALIGN). */
export function formatRequest(request: Request, seq: number): Uint8Array[] {
  const { type, payload } = request;
  const length = HEADER_LENGTH + payload.length;
  const header = formatHeader({ length, type, flags: request.flags | Flags.REQUEST, seq, port: 0 });
  return padding(length) === 0 ? [header, payload] : [header, payload, new Uint8Array(padding(length))];
}

/** The attributes of a message or of a nested attribute, in their order. Flags of the type are left out. */
export function attributesOf(bytes: Buffer): [type: number, data: Buffer][] {
  const attributes: [number, Buffer][] = [];
  parseAttributes(bytes, ({ type, data }) => attributes.push([type, data]));
  return attributes;
}

/** Reads an NLMSG_ERROR, which acknowledges a request or refuses it (with NETLINK_CAP_ACK set). */
export function parseAcknowledgement(message: NetlinkMessage): Acknowledgement {
  const { errno } = parseError(message.data, message.flags);
  // The request's payload is left out (capped), so what follows its header are the attributes.
  const rest = message.data.subarray(4 + HEADER_LENGTH);
  return { seq: message.seq, errno: -errno, kernelMessage: kernelMessageIn(rest, message.flags) };
}

/** Reads an NLMSG_DONE, which ends a dump, or breaks it off with an errno. */
export function parseDone(message: NetlinkMessage): Acknowledgement {
  const errno = message.data.length >= 4 ? -readS32.call(message.data, 0) : 0;
  return { seq: message.seq, errno, kernelMessage: kernelMessageIn(message.data.subarray(4), message.flags) };
}

/** Does this message say that the table changed while it was dumped, so that the dump is inconsistent? */
export function isInterrupted(message: NetlinkMessage): boolean {
  return (message.flags & Flags.DUMP_INTR) !== 0;
}

export { MessageType as ControlType };

function kernelMessageIn(bytes: Buffer, flags: number): string | undefined {
  if ((flags & FlagsAck.ACK_TLVS) === 0) return undefined;
  const text = attributesOf(bytes).find(([type]) => type === NLMSGERR_ATTR_MSG)?.[1];
  return text && getString(text);
}
