import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { breathe, connected } from '../../agent/breathe.ts';

/** How many turns of the event loop a breath takes while somebody connects in the turns that `isBusy` says. */
async function turnsOf(isBusy: (turn: number) => boolean): Promise<number> {
  let turns = 0;
  let isOver = false;
  const over = breathe().then(() => {
    isOver = true;
  });
  while (!isOver) {
    if (isBusy(turns)) connected();
    await nextTurn();
    if (!isOver) turns++;
  }
  await over;
  return turns;
}

t.test('a breath is three turns, and three more after each connection, but no more than 256', async (t) => {
  const quiet = await turnsOf(() => false);
  t.equal(await turnsOf((turn) => turn === 0), quiet + 1);
  t.equal(await turnsOf((turn) => turn < 10), quiet + 10);
  t.equal(await turnsOf(() => true), quiet + 253);
  t.ok(quiet >= 2 && quiet <= 3, `${quiet} turns`);
});
