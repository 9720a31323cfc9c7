import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { scratchFolder, works } from '../../support/namespaces/namespace.ts';

// What a power cut could take away is seen by the system calls, in their order.

const MODULE = join(import.meta.dirname, '../../../lib/files/files.ts');
const noStrace = works('strace', ['-V']) ? false : 'needs strace';

/** The calls that touch the folder while a process replaces a file in it: `fsync .file.tmp`, `rename .file.tmp file`. */
function callsOf(folder: string, durable: boolean): string[] {
  const log = join(scratchFolder(t), 'strace');
  const script = `const { replaceFile } = await import(${JSON.stringify(MODULE)});
    replaceFile(${JSON.stringify(join(folder, 'file'))}, 'content', { durable: ${durable} });`;
  const options = ['-f', '-y', '-s', '0', '-o', log, '-e', 'trace=write,fsync,fdatasync,/^rename'];
  const command = [process.execPath, '--input-type=module', '-e', script];
  const { status, stderr } = spawnSync('strace', [...options, ...command], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  const lines = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder));
  return lines.map((line) => {
    const [, call = ''] = /\b(write|fsync|fdatasync|rename)/.exec(line) ?? [];
    const paths = [...line.matchAll(/[<"](\/[^>"]*)[>"]/g)].map(([, path = '']) => path);
    return [call, ...paths.map((path) => path.slice(folder.length + 1) || '.')].join(' ');
  });
}

t.test(
  'a durable file is on the disk before it takes its name, and the name before it counts',
  {
    skip: noStrace,
  },
  async (t) => {
    t.strictSame(callsOf(scratchFolder(t), true), [
      'write .file.tmp',
      'fsync .file.tmp',
      'rename .file.tmp file',
      'fsync .',
    ]);
  },
);

t.test('another one costs no fsync', { skip: noStrace }, async (t) => {
  t.strictSame(callsOf(scratchFolder(t), false), ['write .file.tmp', 'rename .file.tmp file']);
});
