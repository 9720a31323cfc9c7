import { setImmediate as nextTurn } from 'node:timers/promises';

/** How many turns of the event loop an ordinary call needs: to be accepted, to be read and served, and to be answered. */
const TURNS = 3;

/** Lets whoever calls meanwhile be served in between: with fewer turns, they would wait for several pieces of long work. */
export async function breathe(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await nextTurn();
}
