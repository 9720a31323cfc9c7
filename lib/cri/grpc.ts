import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { GrpcError } from './errors.ts';

/** Five bytes stand before each message: not compressed, and its length. */
const PREFIX_BYTES = 5;

/** The sandboxes or devices of a whole node take less. */
export const MAX_ANSWER_BYTES = 64 << 20;

const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * A client of a gRPC service on a Unix socket, for calls with one message each way
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). The connection is made when it is needed, and again
 * when it was lost.
 */
export class GrpcClient {
  readonly #socket: string;
  readonly #timeoutMs: number;
  readonly #maxBytes: number;
  #session: ClientHttp2Session | undefined;

  /** `socket` is the path of the service's socket. */
  constructor(socket: string, timeoutMs: number = DEFAULT_TIMEOUT_MS, maxBytes: number = MAX_ANSWER_BYTES) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    this.#maxBytes = maxBytes;
  }

  close(): void {
    this.#session?.destroy();
    this.#session = undefined;
  }

  /** Calls `/package.Service/Method`. Throws GrpcError. */
  async call(method: string, message: Uint8Array): Promise<Buffer> {
    try {
      return await this.#exchange(method, message);
    } catch (error) {
      throw error instanceof GrpcError
        ? error
        : new GrpcError(`${this.#socket}: ${(error as Error).message}`, undefined, error);
    }
  }

  #exchange(method: string, message: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const stream = this.#connected().request({
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: method,
        [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
        [constants.HTTP2_HEADER_TE]: 'trailers',
        'grpc-timeout': `${this.#timeoutMs}m`,
      });
      const timer = setTimeout(
        () => fail(new GrpcError(`no answer within ${this.#timeoutMs / 1000} s`)),
        this.#timeoutMs,
      );
      const fail = (error: Error) => {
        reject(error);
        stream.close(constants.NGHTTP2_CANCEL);
      };
      const collected = collect(stream, this.#maxBytes, fail);
      stream.on('error', fail);
      stream.on('close', () => {
        clearTimeout(timer);
        try {
          resolve(collected());
        } catch (error) {
          reject(error);
        }
      });
      stream.end(framed(message));
    });
  }

  #connected(): ClientHttp2Session {
    if (this.#session !== undefined && !this.#session.closed && !this.#session.destroyed) return this.#session;
    const session = connect('http://localhost', { createConnection: () => connectSocket(this.#socket) });
    // Each call hears of it by its own stream; a session without a call has nobody to tell.
    session.on('error', () => undefined);
    this.#session = session;
    return session;
  }
}

// What has come when the stream has closed: the answer's message. Throws GrpcError if there is none.
function collect(stream: ClientHttp2Stream, maxBytes: number, fail: (error: Error) => void): () => Buffer {
  const pieces: Buffer[] = [];
  let bytes = 0;
  let status: { code?: string; message?: string } = {};
  const note = (headers: { [name: string]: unknown }) => {
    if (headers['grpc-status'] === undefined) return;
    status = { code: String(headers['grpc-status']), message: decoded(String(headers['grpc-message'] ?? '')) };
  };
  // A call that fails at once has its status in the first headers.
  stream.on('response', note);
  stream.on('trailers', note);
  stream.on('data', (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > maxBytes) fail(new GrpcError(`the answer has more than ${maxBytes} bytes`));
    else pieces.push(piece);
  });
  return () => {
    if (status.code === undefined) throw new GrpcError('the connection closed before the answer');
    if (status.code !== '0') throw new GrpcError(status.message || `gRPC status ${status.code}`, Number(status.code));
    return unframed(Buffer.concat(pieces));
  };
}

function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function unframed(bytes: Buffer): Buffer {
  const isWhole = bytes.length >= PREFIX_BYTES && bytes.readUInt32BE(1) === bytes.length - PREFIX_BYTES;
  if (!isWhole) throw new GrpcError('the answer is cut short');
  if (bytes[0] !== 0) throw new GrpcError('the answer is compressed, which was not asked for');
  return bytes.subarray(PREFIX_BYTES);
}

// Percent-encoded where it is not printable ASCII.
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
