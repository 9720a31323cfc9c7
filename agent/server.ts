import type { Server as HttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { peerOf } from '../lib/netlink/peer.ts';
import type { Calls } from './calls.ts';
import type { Metrics } from './metrics.ts';
import {
  ACCEPTED,
  formatResult,
  ProtocolError,
  RequestReader,
  type ShimRequest,
  startsLikeRequest,
} from './protocol.ts';
import { NotBegun } from './queue.ts';
import type { CallReport } from './report.ts';

export type ServerOptions = {
  readonly calls: Calls;
  readonly metrics: Metrics;
  /** Serves what comes over the same socket as HTTP. */
  readonly http: HttpServer;
  /** Told of every call that was answered. */
  readonly report: (call: CallReport) => void;
  /** Told of what should not happen. */
  readonly fault: (error: unknown) => void;
  /** How long a client may take to say what it wants, and to take the answer. */
  readonly requestMs: number;
};

const MAX_CONNECTIONS = 4096;

/**
 * The server of the Unix socket: the calls of shims, and HTTP. A connection that is no good is closed without an answer,
 * and its shim goes to the single-file executable.
 */
export class AgentServer {
  readonly server: Server;
  readonly #options: ServerOptions;
  /** Those that have not said yet what they want. */
  readonly #silent = new Set<Socket>();
  readonly #serving = new Set<Promise<void>>();
  #stopping = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.server = createServer((socket) => this.#connected(socket));
    this.server.maxConnections = MAX_CONNECTIONS;
  }

  /** From now on nothing new is begun. What runs goes on. */
  stop(): void {
    this.#stopping = true;
    this.server.close();
    for (const socket of this.#silent) this.#refuse(socket, 'stopping');
  }

  /** Resolves when every call that was begun has its answer. */
  async whenAnswered(): Promise<void> {
    await Promise.all(this.#serving);
  }

  #connected(socket: Socket): void {
    const peer = peerOf(descriptorOf(socket));
    // The socket is root's alone; this is for the day when somebody changes its mode.
    if (peer.uid !== 0) this.#refuse(socket, 'not root');
    else if (peer.pid === 0) this.#refuse(socket, 'process not visible');
    else this.#listenTo(socket, peer.pid);
  }

  #listenTo(socket: Socket, pid: number): void {
    // A client that breaks off is nobody's business but its own.
    socket.on('error', () => socket.destroy());
    const timer = setTimeout(() => this.#refuse(socket, 'timeout'), this.#options.requestMs);
    this.#silent.add(socket);
    const spoken = () => {
      clearTimeout(timer);
      this.#silent.delete(socket);
    };
    socket.on('close', spoken);
    const reader = new RequestReader();
    socket.on('data', (piece: Buffer) => {
      if (socket.bytesRead === piece.length && !startsLikeRequest(piece)) {
        spoken();
        this.#handToHttp(socket, piece);
        return;
      }
      const request = this.#read(socket, reader, piece);
      if (request === undefined) return;
      spoken();
      const served = this.#serve(socket, request, pid).finally(() => this.#serving.delete(served));
      this.#serving.add(served);
    });
  }

  #read(socket: Socket, reader: RequestReader, piece: Buffer): ShimRequest | undefined {
    try {
      return reader.push(piece);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#refuse(socket, 'protocol');
      return undefined;
    }
  }

  async #serve(socket: Socket, request: ShimRequest, pid: number): Promise<void> {
    const { calls, report, fault } = this.#options;
    if (this.#stopping || !calls.serves(request.plugin)) {
      this.#refuse(socket, this.#stopping ? 'stopping' : 'unknown plugin');
      return;
    }

    let answered = false;
    // Most calls are answered within this turn of the event loop, and need no more than that.
    setImmediate(() => {
      if (!answered && !socket.destroyed) socket.write(ACCEPTED);
    });
    try {
      const call = await calls.serve(request, pid, () => socket.destroyed || peerOf(descriptorOf(socket)).gone);
      answered = true;
      socket.setTimeout(this.#options.requestMs, () => socket.destroy());
      socket.end(formatResult(call.code, call.stdout, call.stderr));
      report(call);
    } catch (error) {
      answered = true;
      this.#refuse(socket, error instanceof NotBegun ? error.message : 'internal');
      // A caller that is gone, or an agent that stops, is nothing to tell of.
      if (!(error instanceof NotBegun) || error.cause !== undefined) fault(error);
    }
  }

  #handToHttp(socket: Socket, piece: Buffer): void {
    socket.removeAllListeners('data');
    socket.pause();
    this.#options.http.emit('connection', socket);
    socket.unshift(piece);
    socket.resume();
  }

  #refuse(socket: Socket, reason: string): void {
    this.#options.metrics.countRefused(reason);
    socket.destroy();
  }
}

/** The descriptor of a socket, which Node.js keeps to itself. */
function descriptorOf(socket: Socket): number {
  return (socket as Socket & { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
}
