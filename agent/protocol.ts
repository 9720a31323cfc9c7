import { MAX_CONFIG_BYTES, type Variables } from '../lib/cni/request.ts';

// What a shim and the agent say to each other: docs/agent-protocol.md. All numbers are 32 bits, little endian.

/** A call as a shim hands it over. */
export type ShimRequest = { readonly plugin: string; readonly env: Variables; readonly stdin: Uint8Array };

/** The bytes are no request of a version that we speak. */
export class ProtocolError extends Error {}

const MAGIC = Buffer.from('WMK');
const VERSION = 1;
/** magic and version, pid, length of the environment, length of stdin */
const HEADER_BYTES = 16;
const MAX_ENVIRONMENT_BYTES = 1 << 20;

/** Do these bytes begin like a request? Whatever else comes is for others to make sense of. */
export function startsLikeRequest(bytes: Uint8Array): boolean {
  return bytes[0] === MAGIC[0];
}

/** Takes room for a request, or throws. */
type Take = (configBytes: number, environmentBytes: number) => void;

/** Collects a request from the pieces that arrive. */
export class RequestReader {
  readonly #take: Take;
  #pieces: Buffer[] = [];
  #received = 0;
  #wanted: number | undefined;
  #held = 0;

  /** `take` is called once the sizes are known; what it throws, `push` throws. */
  constructor(take: Take = () => {}) {
    this.#take = take;
  }

  /** How much was taken and not released yet. */
  release(): number {
    const held = this.#held;
    this.#held = 0;
    return held;
  }

  /** The request, once it is whole. Throws ProtocolError as soon as the bytes cannot become one. */
  push(piece: Buffer): ShimRequest | undefined {
    this.#pieces.push(piece);
    this.#received += piece.length;
    this.#wanted ??= this.#readWanted();
    if (this.#wanted === undefined || this.#received < this.#wanted) return undefined;
    if (this.#received > this.#wanted) throw new ProtocolError('more than one request');
    return parseRequest(this.#joined());
  }

  #readWanted(): number | undefined {
    const start = this.#joined();
    const known = Math.min(start.length, MAGIC.length);
    if (!start.subarray(0, known).equals(MAGIC.subarray(0, known))) throw new ProtocolError('not a request');
    if (start.length > MAGIC.length && start[MAGIC.length] !== VERSION) throw new ProtocolError('another version');
    if (start.length < HEADER_BYTES) return undefined;
    const { environment, stdin } = lengthsOf(start);
    // One byte beyond the limit is how a shim tells that there was more.
    if (environment > MAX_ENVIRONMENT_BYTES || stdin > MAX_CONFIG_BYTES + 1) throw new ProtocolError('too long');
    this.#take(stdin, environment);
    this.#held = stdin + environment;
    return HEADER_BYTES + environment + stdin;
  }

  #joined(): Buffer {
    const [first, second] = this.#pieces;
    if (first !== undefined && second === undefined) return first;
    const joined = Buffer.concat(this.#pieces);
    this.#pieces = [joined];
    return joined;
  }
}

/** The answer of kind A: the whole request is here, and the call waits for its turn or runs. */
export const ACCEPTED = header('A', 0, 0, 0);

/** The answer of kind R: the call's exit code, stdout and stderr. */
export function formatResult(code: number, stdout: string, stderr: string): Buffer {
  const [out, err] = [Buffer.from(stdout), Buffer.from(stderr)];
  return Buffer.concat([header('R', code, out.length, err.length), out, err]);
}

function header(kind: string, code: number, stdoutBytes: number, stderrBytes: number): Buffer {
  const bytes = Buffer.alloc(20);
  MAGIC.copy(bytes);
  bytes[3] = VERSION;
  bytes.write(kind, 4);
  bytes.writeUInt32LE(code, 8);
  bytes.writeUInt32LE(stdoutBytes, 12);
  bytes.writeUInt32LE(stderrBytes, 16);
  return bytes;
}

function lengthsOf(bytes: Buffer): { environment: number; stdin: number } {
  return { environment: bytes.readUInt32LE(8), stdin: bytes.readUInt32LE(12) };
}

function parseRequest(bytes: Buffer): ShimRequest {
  const { environment } = lengthsOf(bytes);
  const text = bytes.toString('utf8', HEADER_BYTES, HEADER_BYTES + environment);
  if (!text.endsWith('\0')) throw new ProtocolError('the environment does not end');
  const [plugin = '', ...variables] = text.slice(0, -1).split('\0');
  return {
    plugin,
    env: Object.fromEntries(variables.map(variable)),
    stdin: bytes.subarray(HEADER_BYTES + environment),
  };
}

function variable(text: string): [string, string] {
  const end = text.indexOf('=');
  return end < 0 ? [text, ''] : [text.slice(0, end), text.slice(end + 1)];
}
