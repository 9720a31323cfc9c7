/** The runtime's half cannot go on: the network list, the cache or a plugin is at fault. `code` is the plugin's. */
export class RuntimeError extends Error {
  readonly code: number | undefined;
  readonly details: string | undefined;
  /** After a failed ADD: did DEL take back all that was done? */
  readonly isUndone: boolean;

  constructor(
    message: string,
    options: { code?: number; details?: string | undefined; cause?: unknown; isUndone?: boolean } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'RuntimeError';
    this.code = options.code;
    this.details = options.details || undefined;
    this.isUndone = options.isUndone ?? true;
  }
}
