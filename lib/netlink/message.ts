import { Flags, FlagsAck, MessageType } from 'netlink/dist/constants.js';
import {
  getString,
  HEADER_LENGTH,
  type NetlinkMessage,
  padding,
  parseError,
  readS32,
  readU16,
  writeU16,
  writeU32,
} from 'netlink/dist/structs.js';

/** What to ask of the kernel: a message type, its NLM_F_* flags beside NLM_F_REQUEST, and its payload. */
export type Request = { type: number; flags: number; payload: Uint8Array };

/** The kernel's answer to one request that is not a dump. `errno` is positive, 0 for success. */
export type Acknowledgement = { seq: number; errno: number; kernelMessage: string | undefined };

/** NLMSGERR_ATTR_MSG, the kernel's explanation as text (linux/netlink.h). */
const NLMSGERR_ATTR_MSG = 1;

/** Collects what a codec emits (struct first, then attributes) into one payload. */
export function payloadOf(emit: (out: PayloadWriter) => void): Uint8Array {
  const out = new PayloadWriter();
  emit(out);
  return out.bytes();
}

/**
 * Writes a payload into one buffer. (netlink's AttrStream makes three small buffers for each attribute, which took a
 * third of the time of adding many routes.)
 */
export class PayloadWriter {
  #buffer = Buffer.allocUnsafe(INITIAL_PAYLOAD_BYTES);
  #length = 0;

  /** A struct, or what else is not an attribute. */
  emit(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** An attribute (struct nlattr), from the next multiple of 4 on. */
  push(type: number, bytes: Uint8Array): void {
    this.#header(type, bytes.length);
    this.emit(bytes);
  }

  /** An attribute that is a 32-bit number in the host's byte order. */
  pushU32(type: number, value: number): void {
    this.#header(type, 4);
    this.#reserve(4);
    writeU32.call(this.#buffer, value, this.#length);
    this.#length += 4;
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  #header(type: number, payloadBytes: number): void {
    const length = NLA_HDRLEN + payloadBytes;
    if (length > NLA_MAX_BYTES) throw new RangeError(`attribute ${type} has ${payloadBytes} bytes`);
    const gap = padding(this.#length);
    this.#reserve(gap + NLA_HDRLEN);
    this.#buffer.fill(0, this.#length, this.#length + gap);
    writeU16.call(this.#buffer, length, this.#length + gap);
    writeU16.call(this.#buffer, type, this.#length + gap + 2);
    this.#length += gap + NLA_HDRLEN;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.#length + bytes));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

/** Enough for an ordinary route. */
const INITIAL_PAYLOAD_BYTES = 96;
const NLA_HDRLEN = 4;
const NLA_MAX_BYTES = 0xffff;
/** The type without NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const NLA_TYPE_MASK = 0x3fff;

/** Requests as they go to the kernel, each at the next multiple of 4 (NLMSG_ALIGN), numbered from `firstSeq` on. */
export function formatRequests(requests: readonly Request[], firstSeq: number): Buffer {
  const sizes = requests.map(({ payload }) => HEADER_LENGTH + payload.length);
  const bytes = Buffer.alloc(sizes.reduce((sum, size) => sum + size + padding(size), 0));
  let offset = 0;
  requests.forEach(({ type, flags, payload }, index) => {
    const size = sizes[index] ?? 0;
    writeU32.call(bytes, size, offset);
    writeU16.call(bytes, type, offset + 4);
    writeU16.call(bytes, flags | Flags.REQUEST, offset + 6);
    writeU32.call(bytes, firstSeq + index, offset + 8);
    bytes.set(payload, offset + HEADER_LENGTH);
    offset += size + padding(size);
  });
  return bytes;
}

/**
 * The attributes of a message or of a nested attribute, in their order; if `wanted` is given, those of these types only,
 * which spares a link most of forty. Flags of the type are left out.
 */
export function attributesOf(bytes: Buffer, wanted?: ReadonlySet<number>): [type: number, data: Buffer][] {
  const attributes: [number, Buffer][] = [];
  for (let offset = 0; offset + NLA_HDRLEN <= bytes.length; ) {
    const length = readU16.call(bytes, offset);
    if (length < NLA_HDRLEN || offset + length > bytes.length) throw new RangeError(`an attribute of ${length} bytes`);
    const type = readU16.call(bytes, offset + 2) & NLA_TYPE_MASK;
    if (wanted === undefined || wanted.has(type))
      attributes.push([type, bytes.subarray(offset + NLA_HDRLEN, offset + length)]);
    offset += length + padding(length);
  }
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
