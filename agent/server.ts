import type { Server as HttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { peerOf } from '../lib/native/peer.ts';
import { connected } from './breathe.ts';
import type { Calls, Client } from './calls.ts';
import { type AgentLimits, Budget, LARGE_CONFIG_BYTES } from './limits.ts';
import type { Metrics } from './metrics.ts';
import {
  ACCEPTED,
  formatResult,
  ProtocolError,
  RequestReader,
  type ShimRequest,
  startsLikeRequest,
} from './protocol.ts';
import { NotServed } from './queue.ts';
import type { CallReport } from './report.ts';

export type ServerOptions = {
  readonly calls: Calls;
  readonly metrics: Metrics;
  /** Serves what comes over the same socket as HTTP. */
  readonly http: HttpServer;
  readonly limits: Pick<AgentLimits, 'configBytes' | 'allConfigsBytes'>;
  /** Called for every call that was answered. */
  readonly report: (call: CallReport) => void;
  /** Called for every call whose shim has to go elsewhere, with the reason. */
  readonly handedBack: (request: ShimRequest, why: NotServed) => void;
  /** Called for what should not happen. */
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
  readonly #options: ServerOptions;
  readonly #configs: Budget;
  /** Those that have not said yet what they want. */
  readonly #silent = new Set<Socket>();
  readonly #serving = new Set<Promise<void>>();
  #stopping = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#configs = new Budget(options.limits.allConfigsBytes);
  }

  /** A server whose connections are served, to listen with. */
  makeServer(): Server {
    const server = createServer((socket) => this.#connected(socket));
    server.maxConnections = MAX_CONNECTIONS;
    return server;
  }

  /** The bytes of the configs and variables of all calls that are being read, wait or run. */
  get configBytes(): number {
    return this.#configs.used;
  }

  /** From now on nothing new is begun. What runs goes on. */
  stop(): void {
    this.#stopping = true;
    for (const socket of this.#silent) this.#refuse(socket, 'stopping');
  }

  /** Resolves when every call that was begun has its answer. */
  async whenAnswered(): Promise<void> {
    await Promise.all(this.#serving);
  }

  #connected(socket: Socket): void {
    connected();
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
    const reader = new RequestReader((config, environment) => this.#take(config, environment));
    socket.on('close', () => {
      spoken();
      this.#configs.give(reader.release());
    });
    socket.on('data', (piece: Buffer) => {
      if (socket.bytesRead === piece.length && !startsLikeRequest(piece)) {
        spoken();
        this.#handToHttp(socket, piece);
        return;
      }
      const request = this.#read(socket, reader, piece);
      if (request === undefined) return;
      spoken();
      // From here on the config is the call's, which may go on when the client has gone.
      const held = reader.release();
      const served = this.#serve(socket, request, pid).finally(() => {
        this.#serving.delete(served);
        this.#configs.give(held);
      });
      this.#serving.add(served);
    });
  }

  #read(socket: Socket, reader: RequestReader, piece: Buffer): ShimRequest | undefined {
    try {
      return reader.push(piece);
    } catch (error) {
      if (error instanceof ProtocolError) this.#refuse(socket, 'protocol');
      else if (error instanceof NotServed) this.#refuse(socket, error.message);
      else throw error;
      return undefined;
    }
  }

  // Before it is read: what is not served need not be held.
  #take(configBytes: number, environmentBytes: number): void {
    const { limits } = this.#options;
    if (configBytes > limits.configBytes) throw new NotServed('config too large');
    // Large ones leave the last quarter to the ordinary ones, which are many times smaller.
    const most = configBytes > LARGE_CONFIG_BYTES ? (limits.allConfigsBytes * 3) / 4 : limits.allConfigsBytes;
    if (!this.#configs.take(configBytes + environmentBytes, most)) throw new NotServed('too many configs');
  }

  async #serve(socket: Socket, request: ShimRequest, pid: number): Promise<void> {
    const { calls, report, handedBack, fault } = this.#options;
    if (this.#stopping || !calls.serves(request.plugin)) {
      this.#refuse(socket, this.#stopping ? 'stopping' : 'unknown plugin');
      return;
    }
    // Before anything else: a shim that heard nothing for too long would start the call again, concurrently. If we were
    // busy for longer than it waits, it has closed the connection by now, and the call does not start. If it closes just
    // after that check, both do the same, one after the other, under the attachment's lock.
    socket.write(ACCEPTED);
    try {
      const call = await calls.serve(request, clientOf(socket, pid));
      socket.setTimeout(this.#options.requestMs, () => socket.destroy());
      socket.end(formatResult(call.code, call.stdout, call.stderr));
      report(call);
    } catch (error) {
      if (error instanceof NotServed) handedBack(request, error);
      else fault(error);
      this.#refuse(socket, error instanceof NotServed ? error.message : 'internal');
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

function clientOf(socket: Socket, pid: number): Client {
  return {
    pid,
    isGone: () => socket.destroyed || peerOf(descriptorOf(socket)).gone,
    onGone: (listener) => {
      socket.once('close', listener);
      return () => socket.off('close', listener);
    },
  };
}

/** The descriptor of a socket, which Node.js keeps to itself. */
function descriptorOf(socket: Socket): number {
  return (socket as Socket & { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
}
