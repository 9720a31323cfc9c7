import { copyFileSync, linkSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { PLUGIN_NAMES } from '../../plugins/index.ts';

const BUILT = join(import.meta.dirname, '../../dist/bin/waymark');

/** Puts the single-file executables into a folder, so that they do not unpack anything into dist/. */
export function install(folder: string): string {
  mkdirSync(folder);
  const [first = '', ...others] = ['waymark', ...PLUGIN_NAMES].map((name) => join(folder, name));
  try {
    linkSync(BUILT, first);
  } catch {
    copyFileSync(BUILT, first);
  }
  for (const other of others) linkSync(first, other);
  return folder;
}
