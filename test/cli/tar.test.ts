import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { archive } from '../../cli/tar.ts';

const FILES = [
  { name: 'empty', content: '' },
  { name: 'a/short', content: 'é\n' },
  { name: 'block', content: 'x'.repeat(512) },
  { name: 'more', content: 'y'.repeat(513) },
];

t.test('tar reads it: names, modes, times and contents', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'x.tar.gz');
  writeFileSync(path, archive(FILES, 1_700_000_000.9));
  const tar = (...args: string[]) =>
    execFileSync('tar', args, { encoding: 'utf8', env: { TZ: 'UTC', LC_ALL: 'C', PATH: process.env.PATH } });
  const lines = tar('--numeric-owner', '--full-time', '-tvzf', path).trim().split('\n');
  t.strictSame(
    lines.map((line) => line.split(/\s+/)),
    [
      ['-rw-------', '0/0', '0', '2023-11-14', '22:13:20', 'empty'],
      ['-rw-------', '0/0', '3', '2023-11-14', '22:13:20', 'a/short'],
      ['-rw-------', '0/0', '512', '2023-11-14', '22:13:20', 'block'],
      ['-rw-------', '0/0', '513', '2023-11-14', '22:13:20', 'more'],
    ],
  );
  for (const { name, content } of FILES) t.equal(tar('-xOzf', path, name), content, name);
});

t.test('files begin at blocks of 512 bytes, and two empty ones end it', async (t) => {
  const bytes = gunzipSync(archive(FILES, 0));
  // A header each, of contents 0, 1, 1 and 2 blocks, and two more.
  t.equal(bytes.length, 512 * (4 + 4 + 2));
  t.ok(bytes.subarray(-1024).every((byte) => byte === 0));
  t.equal(bytes.toString('latin1', 257, 265), 'ustar\x0000');
  // Mode, owner, group, size and time (POSIX ustar): each in octal to the end of its field.
  const fields = gunzipSync(archive(FILES, 8)).toString('latin1', 100, 148);
  t.equal(fields, ['0000600', '0000000', '0000000', '00000000000', '00000000010', ''].join('\0'));
});
