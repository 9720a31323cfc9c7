import { join } from 'node:path';
import { ensureFolder, removeFile, replaceFile } from './files.ts';

/** Can files be written in this folder? Throws FileError with the reason if not. */
export function probeFolder(folder: string): void {
  ensureFolder(folder);
  const path = join(folder, `.probe-${process.pid}`);
  replaceFile(path, '');
  removeFile(path);
}
