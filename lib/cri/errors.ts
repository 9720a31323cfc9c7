/** A call to a gRPC service of the node failed. `code` is gRPC's status, as 5 for NOT_FOUND; undefined: nobody answered. */
export class GrpcError extends Error {
  readonly code: number | undefined;

  constructor(message: string, code?: number, cause?: unknown) {
    super(message, { cause });
    this.name = 'GrpcError';
    this.code = code;
  }
}

/** gRPC's status of something that does not exist (https://grpc.io/docs/guides/status-codes/). */
export const NOT_FOUND = 5;
