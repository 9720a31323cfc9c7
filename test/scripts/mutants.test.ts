import t from 'tap';
import { blankOut } from '../../scripts/mutants/blank-out.ts';
import { mutantsOf, withMutant } from '../../scripts/mutants/mutate.ts';
import { inTurns, randomNumbers } from '../../scripts/mutants/sample.ts';

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
  t.strictSame(changed("type A = 'a' | 1;"), [], 'types have no faults');
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
