import { MAX_MESSAGE } from './summary.ts';

/**
 * The codes of errors: the spec's (below 100, https://www.cni.dev/docs/spec/#error) and ours. docs/errors.md explains
 * each; a test holds the two together.
 */
export const CniCode = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodingFailure: 6,
  invalidConfig: 7,
  invalidNamespace: 8,
  tryAgainLater: 11,
  notAvailable: 50,
  noInterface: 100,
  noAddress: 101,
  noGateway: 102,
  conflict: 103,
  kernelRefused: 104,
  nameTaken: 105,
  checkFailed: 106,
  timeout: 107,
  protectedDestination: 108,
  internal: 999,
} as const;

export type CniCode = (typeof CniCode)[keyof typeof CniCode];

/** What a plugin answers when it cannot do what was asked. `details` has a line for every single problem. */
export class CniError extends Error {
  readonly code: CniCode;
  readonly details: string | undefined;

  constructor(code: CniCode, message: string, options: { details?: string | undefined; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'CniError';
    this.code = code;
    this.details = options.details || undefined;
  }

  /**
   * The document that the spec wants on stdout. Runtimes make `msg` and `details` one line of a pod's event, so there are
   * only details that say more than the message, and no more than a line has room for. The log has them whole.
   */
  toDocument(cniVersion: string): ErrorDocument {
    const { code, message: msg } = this;
    const details = briefDetails(msg, this.details?.split('\n') ?? []);
    return { cniVersion, code, msg, ...(details !== undefined && { details }) };
  }
}

/** Less than this is no sentence any more. */
const MIN_DETAILS = 40;

function briefDetails(msg: string, lines: readonly string[]): string | undefined {
  // The message sums them up.
  if (lines.length === 0 || lines.some((line) => msg.includes(line))) return undefined;
  const line = lines.join('; ');
  const room = MAX_MESSAGE - msg.length - '; '.length;
  if (line.length <= room) return line;
  return room < MIN_DETAILS ? undefined : `${line.slice(0, room - 1)}…`;
}

/** A file that a config names cannot be read: 7 where it is needed, but no fault of the config elsewhere. */
export class UnreadableFile extends CniError {
  constructor(message: string, cause: unknown) {
    super(CniCode.invalidConfig, message, { cause });
  }
}

export type ErrorDocument = { cniVersion: string; code: number; msg: string; details?: string };
