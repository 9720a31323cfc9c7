/** The executables or lists cannot be installed or removed: what, where and why. */
export class InstallError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'InstallError';
  }
}
