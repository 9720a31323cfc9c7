import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import t from 'tap';
import { openCaller } from '../../agent/calls.ts';

const descriptors = () => readdirSync('/proc/self/fd').length;
const clientOf = (pid: number, isGone: boolean) => ({ pid, isGone: () => isGone });

t.test('a caller that is there is opened', async (t) => {
  const caller = openCaller(clientOf(process.pid, false));
  t.ok(caller.pathOf('/'));
  caller.close();
});

t.test('one that has gone meanwhile is not, and nothing stays open', async (t) => {
  const before = descriptors();
  t.throws(() => openCaller(clientOf(process.pid, true)), { message: 'caller gone' });
  t.equal(descriptors(), before);
});

t.test('one that cannot be opened is out of reach, or gone', async (t) => {
  const { pid } = spawnSync('true');
  t.throws(() => openCaller(clientOf(pid, false)), { message: 'caller out of reach' });
  t.throws(() => openCaller(clientOf(pid, true)), { message: 'caller gone' });
});
