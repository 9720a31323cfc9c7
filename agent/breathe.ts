import { setImmediate as nextTurn } from 'node:timers/promises';

/** How many turns of the event loop a call needs once it is accepted: to be read and served, and to be answered. */
const TURNS = 3;
/** Whoever connects again and again must not keep long work from going on. */
const MOST_TURNS = 256;

let connections = 0;

/** Somebody has connected. */
export function connected(): void {
  connections++;
}

/**
 * Lets whoever calls meanwhile be served in between: with fewer turns, they would wait for several pieces of long work.
 * Node.js accepts one connection in a turn, and an ordinary caller may be behind many others.
 */
export async function breathe(): Promise<void> {
  for (let turn = 0, quiet = 0; quiet < TURNS && turn < MOST_TURNS; turn++) {
    const before = connections;
    await nextTurn();
    quiet = connections === before ? quiet + 1 : 0;
  }
}
