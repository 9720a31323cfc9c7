import { nativeSockets } from './native.ts';

/** Lets go of the pages that are mapped of the runtime's executable; what is used again comes back from the page cache. */
export function unmapCode(): void {
  nativeSockets().unmapCode();
}
