import { createHash } from 'node:crypto';
import t from 'tap';
import { blankOut } from '../../scripts/mutants/blank-out.ts';
import { mutantsOf, withMutant } from '../../scripts/mutants/mutate.ts';
import { reaches } from '../../scripts/mutants/reach.ts';
import { inTurns, randomNumbers } from '../../scripts/mutants/sample.ts';
import { testsFor, usersOf } from '../../scripts/mutants/tests.ts';

const changed = (source: string, file = 'a.ts') => mutantsOf(file, source).map((mutant) => withMutant(source, mutant));

t.test('what is no code is left alone', (t) => {
  for (const text of ["'a === b'", '`a === \u0024{`b \u0024{1}`} c`', '// a === b', '/* a === b */', '/a === [/]b/']) {
    t.equal(blankOut(`x = ${text}\ny`, 'typescript'), `x = ${' '.repeat(text.length)}\ny`, text);
  }
  t.equal(blankOut('a / b / c', 'typescript'), 'a / b / c', 'a division');
  t.end();
});

t.test('a fault for each operator', (t) => {
  t.strictSame(changed('const a = b === c;'), ['const a = b !== c;']);
  t.strictSame(changed('const a = b <= 10;'), ['const a = b < 10;', 'const a = b <= 11;']);
  t.strictSame(changed('const a = !b && c;'), ['const a = b && c;', 'const a = !b || c;']);
  t.strictSame(changed('  throw new Error();'), ['  ;']);
  t.strictSame(changed('  await close();'), ['  ;']);
  t.strictSame(changed('  if (a) b = c;'), ['  if (false && a) b = c;', '  if (true || a) b = c;']);
  t.strictSame(changed('  if (a == b) {', 'a.c'), [
    '  if (false && a == b) {',
    '  if (true || a == b) {',
    '  if (a != b) {',
  ]);
  t.strictSame(changed('const a = b[c] ?? 0;'), [], 'an element that is there needs no default');
  t.strictSame(changed('const a = b ? -1 : c;'), [], 'of what a comparison returns the sign counts');
  t.strictSame(changed('  return -1;', 'a.c'), [], 'nor does more of a failure');
  t.strictSame(changed("type A = 'a' | 1;"), [], 'types have no faults');
  t.strictSame(changed('const SETTLE_MS = 200;'), [], 'nobody notices a millisecond more of a long wait');
  t.strictSame(changed('const TICK_MS = 5;'), ['const TICK_MS = 6;'], 'but of a short one');
  t.strictSame(changed('const WAIT_SECONDS = 60;'), ['const WAIT_SECONDS = 61;'], 'or a second');
  t.strictSame(changed('#define CONNECT_MS 2000', 'a.c'), [], 'in C too');
  t.strictSame(changed('const PAGE_SIZE = 500;'), ['const PAGE_SIZE = 501;'], 'a bound is no wait');
  t.end();
});

t.test('a sample takes the folders in turn, and is the same for the same seed', (t) => {
  const items = ['a/1', 'a/2', 'a/3', 'b/1', 'c/1'].map((file) => ({ file }));
  const sample = inTurns(items, randomNumbers(7)).map(({ file }) => file);
  t.strictSame(
    sample,
    inTurns(items, randomNumbers(7)).map(({ file }) => file),
  );
  t.strictSame(
    sample
      .slice(0, 3)
      .map((file) => file[0])
      .sort(),
    ['a', 'b', 'c'],
  );
  t.strictSame(
    [...sample].sort(),
    items.map(({ file }) => file),
  );
  t.end();
});

t.test('a test reaches what it ran, and all of a source that is another one by now if it ran any of it', (t) => {
  const source = 'function a() {}\nfunction b() {}\n';
  const hash = createHash('sha256').update(source).digest('hex').slice(0, 16);
  const reach = { hash: '', passed: true, seconds: 1, sources: { 'lib/a.ts': { hash, ranges: [0, 15, 20, 22] } } };
  const reached = [0, 14, 15, 19, 20, 22].map((offset) => reaches(reach, 'lib/a.ts', source, offset));
  t.strictSame(reached, [true, true, false, false, true, false]);
  t.ok(reaches(reach, 'lib/a.ts', `${source}\n`, 15));
  t.notOk(reaches(reach, 'lib/b.ts', source, 0));
  t.end();
});

t.test(
  'the tests that could see a fault are those that need the file, the nearest first, unless they take long',
  (t) => {
    const users = new Map([
      ['lib/a/b.ts', ['lib/c/d.ts', 'test/z.test.ts', 'test/lib/a/b.test.ts']],
      ['lib/c/d.ts', ['test/lib/c/d.test.ts', 'test/cluster/e.test.ts']],
    ]);
    const files = ['test/lib/c/d.test.ts', 'test/z.test.ts', 'test/lib/a/b.test.ts', 'test/other.test.ts'];
    const found = testsFor('lib/a/b.ts', [...files, 'test/cluster/e.test.ts'], users, () => 1);
    t.strictSame(found, ['test/lib/a/b.test.ts', 'test/z.test.ts', 'test/lib/c/d.test.ts']);
    const slow = (test: string) => (test === 'test/lib/c/d.test.ts' ? 1 : 60);
    t.strictSame(
      testsFor('lib/a/b.ts', files, users, slow),
      ['test/lib/a/b.test.ts', 'test/lib/c/d.test.ts', 'test/z.test.ts'],
      'its own before all others',
    );
    t.strictSame(
      testsFor('cli/doctor.ts', ['test/cli/doctor.test.ts', 'test/z.test.ts'], users, () => 1),
      ['test/cli/doctor.test.ts'],
      'also one that starts it as a process',
    );
    t.end();
  },
);

t.test('the schema’s test can see a fault in the description of any plugin’s config', (t) => {
  const files = ['scripts/schema/plugin-schema.ts', 'test/schema.test.ts', 'plugins/static-route/json-schema.ts'];
  t.strictSame(usersOf(files).get('plugins/static-route/json-schema.ts'), ['scripts/schema/plugin-schema.ts']);
  t.end();
});
