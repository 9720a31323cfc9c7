import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';

// What is missing or cannot be read has nothing to say; the checks of folders tell the reason.

/** The content of a file, or nothing. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The names in a folder, sorted, or none. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).toSorted();
  } catch {
    return [];
  }
}

/** The processes that we see and whose program's name and arguments are these; the kernel's own have none. */
export function processesOf(are: (program: string, args: readonly string[]) => boolean): number[] {
  return namesIn('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const [program = '', ...args] = textOf(`/proc/${pid}/cmdline`).split('\0');
      return program !== '' && are(basename(program), args);
    })
    .map(Number)
    .toSorted((a, b) => a - b);
}
