import { readdirSync, readFileSync } from 'node:fs';

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
