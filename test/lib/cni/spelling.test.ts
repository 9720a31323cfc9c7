import t from 'tap';
import { meantBy } from '../../../lib/cni/spelling.ts';

// Levenshtein distances, counted by hand.
const PAIRS: [word: string, known: string, edits: number][] = [
  ['routes', 'routes', 0],
  ['ROUTES', 'routes', 0],
  ['route', 'routes', 1],
  ['routess', 'routes', 1],
  ['rputes', 'routes', 1],
  ['ruotes', 'routes', 2],
  ['outes', 'routes', 1],
  ['xxroutes', 'routes', 2],
  ['routesxx', 'routes', 2],
  ['routexx', 'routes', 2],
  ['xroutex', 'routes', 2],
  ['rxxxes', 'routes', 3],
  ['rou', 'routes', 3],
  ['routesxxx', 'routes', 3],
  ['xrxutxs', 'routes', 3],
  ['ab', '', 2],
  ['', 'ab', 2],
  ['', 'abc', 3],
];

t.test('a word is meant by what is two edits from it at most', async (t) => {
  for (const [word, known, edits] of PAIRS) {
    t.equal(meantBy(word, [known]), edits <= 2 ? known : undefined, `${word} and ${known}`);
    t.equal(meantBy(known, [word]), edits <= 2 ? word : undefined, `${known} and ${word}`);
  }
});

t.test('the first of several counts', async (t) => {
  t.equal(meantBy('gws', ['routes', 'gw', 'gwx']), 'gw');
  t.equal(meantBy('gw', []), undefined);
});
