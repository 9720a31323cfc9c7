import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  isAnothers,
  readRecord,
  readRecordIfWhole,
  recordAfter,
  recordDuring,
  writeRecord,
} from '../../../lib/install/record.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';

const [OLD, NEW] = ['a'.repeat(64), 'b'.repeat(64)];
const list = { path: '/net/x.conflist', sha256: OLD };
const before = { version: '1.0.0', files: [{ path: '/bin/waymark', sha256: OLD }, list] };
const wanted = [{ path: '/bin/waymark', sha256: NEW }];

t.test('while a file is replaced it is in the record as before and as after; afterwards only as after', async (t) => {
  t.strictSame(recordDuring('2.0.0', before, wanted).files, [...before.files, ...wanted]);
  t.strictSame(recordAfter('2.0.0', before, wanted), { version: '2.0.0', files: [list, ...wanted] });
  t.strictSame(recordAfter('2.0.0', recordDuring('2.0.0', before, wanted), wanted).files, [list, ...wanted]);
  const both = [...wanted, { ...list, sha256: NEW }];
  t.strictSame(recordAfter('2.0.0', before, both).files, both);
  t.strictSame(recordDuring('1.0.0', undefined, wanted).files, wanted);
  t.strictSame(recordDuring('1.0.0', before, before.files).files, before.files);
});

t.test(
  'a record is another’s if it has another content for one of our files, also while it is installed',
  async (t) => {
    t.equal(isAnothers(before, before.files), false);
    t.equal(isAnothers(undefined, wanted), false);
    t.equal(isAnothers(recordAfter('2.0.0', before, wanted), before.files), true);
    t.equal(isAnothers(recordDuring('2.0.0', before, wanted), before.files), true);
    t.equal(isAnothers(recordAfter('2.0.0', before, [{ path: '/net/y.conf', sha256: NEW }]), before.files), false);
  },
);

t.test('is written with mode 0600, and read back, wherever the node’s folders are mounted', async (t) => {
  const host = scratchFolder(t);
  const folders = ['bin', 'moved/bin'].map((name) => join(host, name));
  for (const folder of folders) mkdirSync(join(folder, '.waymark'), { recursive: true });
  const [binDir = '', moved = ''] = folders;
  const files = [
    { path: join(binDir, 'waymark'), sha256: NEW },
    { path: join(host, 'net.d/x.conflist'), sha256: OLD },
  ];
  writeRecord(binDir, { version: '1.0.0', files });
  const path = join(binDir, '.waymark/installed.json');
  t.equal(statSync(path).mode & 0o7777, 0o600);
  t.strictSame(readRecord(binDir), { version: '1.0.0', files });

  writeFileSync(join(moved, '.waymark/installed.json'), readFileSync(path));
  t.strictSame(
    readRecord(moved)?.files.map(({ path }) => path),
    [join(moved, 'waymark'), join(host, 'moved/net.d/x.conflist')],
  );
});

t.test('is not written again when nothing changed', async (t) => {
  const binDir = scratchFolder(t);
  mkdirSync(join(binDir, '.waymark'));
  const record = { version: '1.0.0', files: [{ path: join(binDir, 'waymark'), sha256: NEW }] };
  writeRecord(binDir, record);
  const { ino } = statSync(join(binDir, '.waymark/installed.json'));
  writeRecord(binDir, record);
  t.equal(statSync(join(binDir, '.waymark/installed.json')).ino, ino);
});

t.test('a damaged one is reported, or counts as missing to a caller that rewrites it', async (t) => {
  const binDir = scratchFolder(t);
  t.equal(readRecord(binDir), undefined);
  mkdirSync(join(binDir, '.waymark'));
  for (const text of ['', '{"version":"1.0.0","fi', '[]', '{"version":"1.0.0","files":[{"path":1}]}']) {
    writeFileSync(join(binDir, '.waymark/installed.json'), text);
    t.throws(() => readRecord(binDir), { name: 'InstallError', message: /installed\.json is damaged/ });
    t.equal(readRecordIfWhole(binDir), undefined);
  }
});
