import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Longer than an agent takes to start: what is older was left by one that was killed meanwhile. */
const STALE_MS = 60_000;

/** Where an agent that listens at `socket` rehearses while it starts. */
export function rehearsalFolder(socket: string): string {
  return join(dirname(socket), `rehearsal.${process.pid}`);
}

/** Removes what agents that were killed while they started have left beside `socket`. */
export function removeLeftovers(socket: string): void {
  const folder = dirname(socket);
  for (const name of readdirSync(folder)) {
    if (!name.startsWith('rehearsal.') && !name.startsWith(`${basename(socket)}.`)) continue;
    const path = join(folder, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && Date.now() - stat.mtimeMs > STALE_MS) rmSync(path, { recursive: true, force: true });
  }
}
