import { spawn } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { namesIn, processesOf, textOf } from '../../../cli/doctor/readable.ts';
import { until } from '../../support/until.ts';

t.test('what is missing has nothing to say', async (t) => {
  const folder = t.testdir({ b: 'text', a: '', c: {} });
  t.equal(textOf(join(folder, 'b')), 'text');
  t.equal(textOf(join(folder, 'none')), '');
  t.strictSame(namesIn(folder), ['a', 'b', 'c']);
  t.strictSame(namesIn(join(folder, 'b')), []);
});

t.test('processes are those of which this is said, by program and arguments', async (t) => {
  const mark = `${process.pid}.5`;
  const children = [1, 2].map(() => spawn('sleep', ['1000', mark]));
  t.teardown(() => children.map((child) => child.kill('SIGKILL')));
  const of = (program: string) =>
    processesOf((name, [first, second]) => name === program && first === '1000' && second === mark);
  await until(() => of('sleep').length === 2);
  t.strictSame(
    of('sleep'),
    children.map(({ pid }) => pid ?? 0).sort((a, b) => a - b),
  );
  t.strictSame(of('cat'), []);
  t.strictSame(
    processesOf((program) => program === ''),
    [],
    'the kernel’s own have no program',
  );
  const all = processesOf(() => true);
  t.ok(all.includes(process.pid) && all.every(Number.isInteger), 'each by its number, and this one not as "self" too');
});
