import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What native/socket.c exports. */
export type NativeSockets = {
  /**
   * Opens an rtnetlink socket in the namespace of an open descriptor. `cookie` is the namespace's, unique until the
   * next boot, 0 where the kernel has none (before 5.14). Throws an Error with `errno` and `syscall`.
   */
  openSocket(namespaceFd: number): { fd: number; cookie: bigint };
};

/** Loads the addon, once per process. */
export function nativeSockets(): NativeSockets {
  loaded ??= load();
  return loaded;
}

let loaded: NativeSockets | undefined;

// Beside a bundle, as the build puts it; or in the source tree. The bundler must not see which, for it would make an
// asset of its own of it.
const LOCATIONS = ['./socket.node', '../../native/build/socket.node'];

function load(): NativeSockets {
  const paths = LOCATIONS.map((location) => fileURLToPath(new URL(location, import.meta.url)));
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) throw new Error(`the native addon is missing; looked for ${paths.join(' and ')}`);
  const addon = { exports: {} as NativeSockets };
  process.dlopen(addon, path);
  return addon.exports;
}
