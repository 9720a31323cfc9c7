import { getSystemErrorMessage } from 'node:util';

/**
 * Why did a system call fail, without the paths, which the caller names itself: `ENOENT: no such file or directory`. For
 * any other error its message.
 */
export function reasonOf(error: unknown): string {
  const { code, errno, message } = error as NodeJS.ErrnoException;
  return code === undefined || errno === undefined ? message : `${code}: ${getSystemErrorMessage(errno)}`;
}
