/**
 * A request to the API server failed. `status` is the HTTP status, undefined where no answer came; `reason` is the
 * machine-readable one of its Status object, as `NotFound`, `Conflict` or `Expired`.
 */
export class ApiError extends Error {
  readonly status: number | undefined;
  readonly reason: string | undefined;
  /** How long the server asks us to wait (Retry-After). */
  readonly retryAfterMs: number | undefined;
  /** A 404 that names no object: the server does not know the kind at all. */
  readonly isUnknownKind: boolean;

  constructor(
    message: string,
    options: {
      status?: number;
      reason?: string | undefined;
      retryAfterMs?: number | undefined;
      isUnknownKind?: boolean;
      cause?: unknown;
    } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'ApiError';
    this.status = options.status;
    this.reason = options.reason;
    this.retryAfterMs = options.retryAfterMs;
    this.isUnknownKind = options.isUnknownKind === true;
  }

  /** The object does not exist. */
  get isNotFound(): boolean {
    return this.status === 404;
  }

  /** The server does not answer, starts, or has too much to do: the same request may be answered later. */
  get isOfServer(): boolean {
    return this.status === undefined || this.status === 429 || this.status >= 500;
  }

  /** Somebody else changed the object since we read it. */
  get isConflict(): boolean {
    return this.status === 409;
  }

  /** The resource version or `continue` token is too old: the list has to be read again. */
  get isGone(): boolean {
    return this.status === 410;
  }
}

/** The API server's address or our credentials cannot be read. */
export class AccessError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'AccessError';
  }
}
