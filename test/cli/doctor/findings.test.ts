import t from 'tap';
import { ok, orOk, someOf, warning } from '../../../cli/doctor/findings.ts';

t.test('of many, the first three and how many more', async (t) => {
  t.equal(someOf([]), '');
  t.equal(someOf(['a', 'b', 'c']), 'a, b, c');
  t.equal(someOf(['a', 'b', 'c', 'd']), 'a, b, c and 1 more');
  t.equal(someOf(['a', 'b', 'c', 'd'], 2), 'a, b and 2 more');
});

t.test('all is well where nothing was found', async (t) => {
  t.strictSame(orOk([false, undefined], 'well'), [ok('well')]);
  const found = warning('bad', 'mend it');
  t.strictSame(orOk([false, found, undefined], 'well'), [found]);
});
