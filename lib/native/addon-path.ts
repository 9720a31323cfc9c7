import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where the native addon is. Asked once, when it is needed. */
export function addonPath(): string {
  return find();
}

/** Says where the addon is, for those who have it elsewhere than in a file beside the code. */
export function locateAddon(elsewhere: () => string): void {
  find = elsewhere;
}

let find = findAddon;

// Beside a bundle, as the build puts it; or in the source tree. The bundler must not see which, for it would make an
// asset of its own of it.
const LOCATIONS = ['./socket.node', '../../native/build/socket.node'];

function findAddon(): string {
  const paths = LOCATIONS.map((location) => fileURLToPath(new URL(location, import.meta.url)));
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) throw new Error(`the native addon is missing; looked for ${paths.join(' and ')}`);
  return path;
}
