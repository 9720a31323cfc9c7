import { readFileSync } from 'node:fs';
import t from 'tap';
import { reasonOf } from '../../../lib/files/reason.ts';

t.test('the reason of a system call has no path, and of anything else it is the message', async (t) => {
  const failure = (work: () => unknown) => {
    try {
      return work();
    } catch (error) {
      return error;
    }
  };
  const reason = (work: () => unknown) => reasonOf(failure(work));
  t.equal(
    reason(() => readFileSync('/nowhere')),
    'ENOENT: no such file or directory',
  );
  t.equal(reasonOf(new Error('odd')), 'odd');
  t.equal(reasonOf(Object.assign(new Error('odd'), { code: 'ODD' })), 'odd');
  t.equal(reasonOf(Object.assign(new Error('odd'), { errno: -2 })), 'odd');
});
