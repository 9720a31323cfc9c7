import { Flags, FlagsGet } from 'netlink/dist/constants.js';
import { type NetlinkMessage, parseMessages } from 'netlink/dist/structs.js';
import type { Namespace } from '../netns/netns.ts';
import { DumpTooLarge, NetlinkError } from './errors.ts';
import {
  type Acknowledgement,
  ControlType,
  formatRequests,
  isInterrupted,
  parseAcknowledgement,
  parseDone,
  type Request,
} from './message.ts';
import { openTransport, socketError, type Transport } from './transport.ts';

export type { Transport } from './transport.ts';

/** A request that the kernel refused: its place in the list that was sent, and why. */
export type Refusal = { index: number; error: NetlinkError };

/**
 * What came of many changes. The first `sent` requests were given to the kernel; those among them that are not
 * in `refusals` are done.
 */
export type Outcome = { sent: number; refusals: Refusal[] };

/** The place of a refused request in its slice, and why. */
type RefusedInSlice = Pick<Acknowledgement, 'errno' | 'kernelMessage'> & { offset: number };

export type ChangeOptions = {
  /** Go on after a refusal. Without it nothing is sent after the slice in which a request was refused. */
  keepGoing?: boolean;
  /** Called between slices, so that a process with other work can do some. */
  breathe?: (() => Promise<void>) | undefined;
  /** The bytes given to the kernel in one write. */
  sliceBytes?: number;
};

/** Half of the default send buffer holds it. */
const SLICE_BYTES = 60_000;

/**
 * What an answer takes of the receive buffer, at most: 832 bytes were seen (sk_rmem_alloc), more with a longer text. If
 * every request of a write is refused, all the answers must fit, or the kernel drops some (ENOBUFS).
 */
export const ANSWER_BYTES = 2048;

/** A table that changes this often while it is read is not read any more. */
const DUMP_ATTEMPTS = 20;

/** The kernel answers within the write. What has not come by then does not come. */
const ANSWER_MS = 10_000;

/** How much a socket reads, and for how long. */
export type SocketLimits = {
  /** How long the whole answer to a write may take, in milliseconds; 10 seconds unless given. */
  readonly answerMs?: number | undefined;
  /** The largest table that a dump reads; without one, all of it is read, however much it is. */
  readonly dumpBytes?: number | undefined;
  /** The size of the receive buffer, which the answers to a write must fit into. */
  readonly receiveBytes?: number | undefined;
};

/**
 * An rtnetlink socket in one network namespace. It stays there, whatever the process does (rtnetlink(7)).
 *
 * Every method writes and reads synchronously: the kernel answers within the write.
 */
export class RouteSocket {
  /** The namespace's cookie, unique until the next boot; 0 where the kernel has none. */
  readonly namespaceCookie: bigint;
  readonly #transport: Transport;
  readonly #limits: SocketLimits;
  #seq = 0;
  #deadline = 0;

  constructor(transport: Transport, namespaceCookie = 0n, limits: SocketLimits = {}) {
    this.#transport = transport;
    this.namespaceCookie = namespaceCookie;
    this.#limits = limits;
  }

  /**
   * Opens a socket in a namespace that nobody but the kernel can send to. Throws NetlinkError; NamespaceError if it is
   * not a network namespace; AddonError.
   */
  static open(namespace: Namespace, limits: SocketLimits = {}): RouteSocket {
    const { transport, cookie, receiveBytes } = openTransport(namespace);
    return new RouteSocket(transport, cookie, { receiveBytes, ...limits });
  }

  close(): void {
    this.#transport.close();
  }

  /**
   * Reads a table. `operation` names it in errors. A dump that the kernel marks as interrupted is read again; it marks
   * those of links and addresses, and not those of routes (routes.ts). Throws NetlinkError; DumpTooLarge, and then the socket can only be closed: the
   * kernel is not done with the dump.
   */
  dump(operation: string, request: Request): NetlinkMessage[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const messages = this.#dumpOnce(operation, request);
      if (messages !== 'interrupted') return messages;
    }
    throw new NetlinkError(operation, EAGAIN, `changed ${DUMP_ATTEMPTS} times while it was read`);
  }

  /** Asks for one object. Throws NetlinkError, with ENODEV, ENOENT or the like if there is none. */
  get(operation: string, request: Request): NetlinkMessage {
    const seq = this.#send([request]);
    for (;;) {
      for (const message of this.#receive(() => operation)) {
        if (message.seq !== seq) continue;
        if (message.type !== ControlType.ERROR) return message;
        const { errno, kernelMessage } = parseAcknowledgement(message);
        throw new NetlinkError(operation, errno, kernelMessage);
      }
    }
  }

  /**
   * Makes changes, in their order, in as few writes as possible. The kernel goes on after a refused request, so those
   * behind it in the same slice may be done: Outcome tells each. Of a slice that the socket does not take, all requests are
   * refused. Throws NetlinkError if the answer is lost; then it is not known which requests were carried out.
   *
   * `describe` says what a request was about, for its error.
   */
  async change(
    requests: readonly Request[],
    describe: (index: number) => string,
    options: ChangeOptions = {},
  ): Promise<Outcome> {
    const refusals: Refusal[] = [];
    let sent = 0;
    while (sent < requests.length && (refusals.length === 0 || options.keepGoing)) {
      if (sent > 0) await options.breathe?.();
      const end = sliceEnd(requests, sent, options.sliceBytes ?? SLICE_BYTES, this.#answers());
      const first = sent;
      const slice = requests.slice(first, end);
      for (const { offset, errno, kernelMessage } of this.#changeSlice(slice, () => describe(first), options)) {
        const index = first + offset;
        refusals.push({ index, error: new NetlinkError(describe(index), errno, kernelMessage) });
      }
      sent = end;
    }
    return { sent, refusals };
  }

  // Only the last request asks for an acknowledgement. The kernel reports every failure unasked, and in order, so when
  // the last one's answer is here, all are.
  #changeSlice(slice: readonly Request[], operation: () => string, { keepGoing }: ChangeOptions): RefusedInSlice[] {
    const first = this.#seq + 1;
    const last = this.#seq + slice.length;
    const failed = this.#sendSlice(slice);
    if (failed !== undefined) {
      if (!keepGoing || slice.length === 1) return slice.map((_, offset) => ({ ...failed, offset }));
      // One request that the socket does not take must not hold up the others.
      return slice.flatMap((request, offset) =>
        this.#changeSlice([request], operation, {}).map((refused) => ({ ...refused, offset })),
      );
    }
    const refused: RefusedInSlice[] = [];
    for (;;) {
      for (const message of this.#receive(operation)) {
        if (message.type !== ControlType.ERROR || message.seq < first || message.seq > last) continue;
        const answer = parseAcknowledgement(message);
        if (answer.errno !== 0) refused.push({ ...answer, offset: answer.seq - first });
        if (answer.seq === last) return refused;
      }
    }
  }

  // Why the socket does not take these requests: then the kernel has seen none of them.
  #sendSlice(slice: readonly Request[]): NetlinkError | undefined {
    try {
      this.#send(
        slice.map((request, i) =>
          i === slice.length - 1 ? { ...request, flags: request.flags | Flags.ACK } : request,
        ),
      );
      return undefined;
    } catch (error) {
      if (error instanceof NetlinkError) return error;
      throw error;
    }
  }

  #dumpOnce(operation: string, request: Request): NetlinkMessage[] | 'interrupted' {
    const seq = this.#send([{ ...request, flags: request.flags | FlagsGet.DUMP }]);
    const limit = this.#limits.dumpBytes ?? Number.POSITIVE_INFINITY;
    const messages: NetlinkMessage[] = [];
    let interrupted = false;
    let bytes = 0;
    for (;;) {
      for (const message of this.#receive(() => operation)) {
        if (message.seq !== seq) continue;
        bytes += message.data.length;
        if (bytes > limit) throw new DumpTooLarge(operation, limit);
        interrupted ||= isInterrupted(message);
        if (message.type !== ControlType.DONE && message.type !== ControlType.ERROR) {
          messages.push(message);
          continue;
        }
        const end = message.type === ControlType.DONE ? parseDone(message) : parseAcknowledgement(message);
        if (end.errno !== 0) throw new NetlinkError(operation, end.errno, end.kernelMessage);
        return interrupted ? 'interrupted' : messages;
      }
    }
  }

  // How many answers fit into the receive buffer?
  #answers(): number {
    return Math.max(1, Math.floor((this.#limits.receiveBytes || Number.POSITIVE_INFINITY) / ANSWER_BYTES));
  }

  // Returns the sequence number of the last request; those before it have the numbers before it.
  #send(requests: readonly Request[]): number {
    const bytes = formatRequests(requests, this.#seq + 1);
    this.#seq += requests.length;
    try {
      this.#transport.send(bytes);
    } catch (error) {
      throw socketError('netlink write', error);
    }
    this.#deadline = performance.now() + (this.#limits.answerMs ?? ANSWER_MS);
    return this.#seq;
  }

  // SO_RCVTIMEO of native/socket.c is for one read; this is for as many as it takes.
  #receive(operation: () => string): NetlinkMessage[] {
    if (performance.now() > this.#deadline) throw new NetlinkError(`${operation()}: no answer in time`, ETIMEDOUT);
    try {
      return parseMessages(this.#transport.receive());
    } catch (error) {
      throw socketError(`${operation()}: no answer from the kernel`, error);
    }
  }
}

const EAGAIN = 11;
const ETIMEDOUT = 110;

// How many requests, from `start`, fit into one write? At least one.
function sliceEnd(requests: readonly Request[], start: number, sliceBytes: number, most: number): number {
  let bytes = 0;
  let end = start;
  for (; end < requests.length && end - start < most; end++) {
    bytes += (requests[end]?.payload.length ?? 0) + MESSAGE_OVERHEAD_BYTES;
    if (bytes > sliceBytes && end > start) break;
  }
  return end;
}

/** A header and its worst padding. */
const MESSAGE_OVERHEAD_BYTES = 16 + 3;
