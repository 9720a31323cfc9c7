/** The native addon cannot be loaded: the dynamic loader's own words, with the path. */
export class AddonError extends Error {
  constructor(cause: Error) {
    super(`the native addon cannot be loaded: ${cause.message}`, { cause });
    this.name = 'AddonError';
  }
}
