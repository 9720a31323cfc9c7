/** The executables or lists cannot be installed, or taken away: what, where and why. */
export class InstallError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'InstallError';
  }
}
