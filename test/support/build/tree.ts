import { cpSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { output } from './scripts.ts';

const ROOT = join(import.meta.dirname, '../../..');

/** Copies the tree as it is, changes that are in no commit too, into a new folder; the npm packages are not in it. */
export function copyTree(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const files = output('git', [
    '-C',
    ROOT,
    'ls-files',
    '-z',
    '--cached',
    '--others',
    '--exclude-standard',
    '--deduplicate',
  ]);
  const removed = output('git', ['-C', ROOT, 'ls-files', '-z', '--deleted']).split('\0');
  for (const file of files.split('\0').filter((name) => name !== '' && !removed.includes(name))) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(ROOT, file), join(folder, file));
  }
}
