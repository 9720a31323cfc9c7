import { constants } from 'node:os';

/**
 * The kernel, or the socket to it, refused something.
 *
 * `errno` is positive, `code` its name (`EEXIST`). `operation` is what was asked, in words. `kernelMessage` is the
 * kernel's own explanation (extended acknowledgement, NLMSGERR_ATTR_MSG in linux/netlink.h), where it gave one.
 */
export class NetlinkError extends Error {
  readonly errno: number;
  readonly code: string;
  readonly operation: string;
  readonly kernelMessage: string | undefined;

  constructor(operation: string, errno: number, kernelMessage?: string, cause?: unknown) {
    const code = errnoName(errno);
    super(`${operation}: ${code}${kernelMessage ? `: ${kernelMessage}` : ''}`, { cause });
    this.name = 'NetlinkError';
    this.errno = errno;
    this.code = code;
    this.operation = operation;
    this.kernelMessage = kernelMessage;
  }
}

/** A table is larger than the socket's user wants to read. Nothing was changed by asking. */
export class DumpTooLarge extends Error {
  readonly operation: string;
  readonly limitBytes: number;

  constructor(operation: string, limitBytes: number) {
    super(`${operation}: more than ${limitBytes} bytes`);
    this.name = 'DumpTooLarge';
    this.operation = operation;
    this.limitBytes = limitBytes;
  }
}

/** The name of an errno (errno(3)), as `ENETUNREACH`; `errno 524` for one that has none in user space. */
export function errnoName(errno: number): string {
  // 95 has two names in C, of which the kernel has only the other one, EOPNOTSUPP.
  const entry = Object.entries(constants.errno).find(([name, value]) => value === errno && name !== 'ENOTSUP');
  return entry?.[0] ?? `errno ${errno}`;
}
