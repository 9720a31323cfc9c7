import { lstatSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Counter, type Registry } from 'prom-client';

/** How many calls the shims of this node have given to the single-file executable since its boot, and when the last (ISO 8601). */
export type FallbackCount = { readonly count: number; readonly last?: string };

/** Where shims that talk to an agent at `socket` count their fallbacks: the size of the file is the number (native/shim.c). */
export function fallbacksFile(socket: string): string {
  return join(dirname(socket), 'fallbacks');
}

/** What shims have counted; nothing if there is no such file. */
export function countedFallbacks(path: string): FallbackCount {
  try {
    const { size, mtime } = lstatSync(path);
    return { count: size, last: mtime.toISOString() };
  } catch {
    return { count: 0 };
  }
}

/** Adds the metric. */
export function registerFallbacks(registry: Registry, path: string): void {
  let known = 0;
  new Counter({
    name: 'waymark_fallbacks_total',
    help: 'Calls that shims gave to the single-file executable since the node started',
    registers: [registry],
    collect() {
      const { count } = countedFallbacks(path);
      if (count > known) this.inc(count - known);
      known = Math.max(known, count);
    },
  });
}
