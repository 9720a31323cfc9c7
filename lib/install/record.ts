import { join, relative, resolve } from 'node:path';
import * as z from 'zod/mini';
import { readFileIfThere, replaceFile } from '../files/files.ts';
import { InstallError } from './errors.ts';

/**
 * Our own folder within the folder of executables. It contains the record, the files that are being installed, and what the
 * executables unpack for themselves.
 */
export function ownFolder(binDir: string): string {
  return join(binDir, '.waymark');
}

/** An installed file, by path and SHA-256. While it is being replaced, the record lists it twice: with both contents. */
export type InstalledFile = { readonly path: string; readonly sha256: string };

/** What was installed last, and by which version. */
export type InstallRecord = { readonly version: string; readonly files: readonly InstalledFile[] };

const RECORD = z.object({
  version: z.string(),
  files: z.array(z.object({ path: z.string(), sha256: z.string() })),
});

/** The record; undefined if there is none. Throws InstallError if it is damaged, and FileError if it cannot be read. */
export function readRecord(binDir: string): InstallRecord | undefined {
  const path = pathOf(binDir);
  const text = readFileIfThere(path);
  if (text === undefined) return undefined;
  try {
    const { version, files } = RECORD.parse(JSON.parse(text));
    return { version, files: files.map((file) => ({ ...file, path: resolve(binDir, file.path) })) };
  } catch (error) {
    throw new InstallError(`${path} is damaged`, error);
  }
}

/** The record, for a caller that will rewrite it: a damaged one counts as missing. Throws FileError. */
export function readRecordIfWhole(binDir: string): InstallRecord | undefined {
  try {
    return readRecord(binDir);
  } catch (error) {
    if (error instanceof InstallError) return undefined;
    throw error;
  }
}

/** Replaces the record, unless it is the same. Throws FileError. */
export function writeRecord(binDir: string, { version, files }: InstallRecord): void {
  // Relative paths hold wherever a container mounts the node's folders.
  const relatives = files.map(({ path, sha256 }) => ({ path: relative(binDir, path), sha256 }));
  const text = `${JSON.stringify({ version, files: relatives }, undefined, 2)}\n`;
  if (readFileIfThere(pathOf(binDir)) !== text) replaceFile(pathOf(binDir), text, { durable: true });
}

/** The record of what is in place now, including what earlier versions installed and this one does not. */
export function recordAfter(
  version: string,
  before: InstallRecord | undefined,
  wanted: readonly InstalledFile[],
): InstallRecord {
  const others = (before?.files ?? []).filter(({ path }) => !wanted.some((file) => file.path === path));
  return { version, files: [...others, ...wanted.map(({ path, sha256 }) => ({ path, sha256 }))] };
}

/** The record while files are being replaced: it may name more than was done, never less. */
export function recordDuring(
  version: string,
  before: InstallRecord | undefined,
  wanted: readonly InstalledFile[],
): InstallRecord {
  const already = before?.files ?? [];
  const after = recordAfter(version, before, wanted).files;
  const added = after.filter(
    (file) => !already.some(({ path, sha256 }) => path === file.path && sha256 === file.sha256),
  );
  return { version, files: [...already, ...added] };
}

/** Has another installer put, or begun to put, other contents in the place of these files? */
export function isAnothers(record: InstallRecord | undefined, ours: readonly InstalledFile[]): boolean {
  return (record?.files ?? []).some(({ path, sha256 }) =>
    ours.some((file) => file.path === path && file.sha256 !== sha256),
  );
}

function pathOf(binDir: string): string {
  return join(ownFolder(binDir), 'installed.json');
}
