import { rmSync } from 'node:fs';
import { dirname, extname } from 'node:path';
import { ensureFolder, removeFile, sync } from '../files/files.ts';
import { InstallError } from './errors.ts';
import { type Hashes, statOf } from './hashes.ts';
import { LIST_EXTENSIONS } from './plan.ts';
import { ownFolder, readRecord } from './record.ts';

/** What happened to an installed file. One that was `changed` since is not ours any more, and was kept. */
export type Uninstalled = { readonly path: string; readonly outcome: 'removed' | 'gone' | 'changed' };

/**
 * Removes the files of the record that are still as they were installed, and our own folder: lists first, then the plugins
 * that they name. Throws InstallError for a damaged record, and FileError for a folder that is not ours.
 */
export async function uninstall(binDir: string, hashes: Hashes): Promise<Uninstalled[]> {
  const folder = ownFolder(binDir);
  if ((await statOf(folder)) === undefined) return [];
  ensureFolder(folder);
  const files = readRecord(binDir)?.files ?? [];
  for (const path of files.map((file) => file.path)) {
    // A list that stays would name plugins that are gone.
    if (isList(path) && (await statOf(dirname(path))) === undefined)
      throw new InstallError(`${dirname(path)} is not here, and has a network list of ours: mount it too`);
  }
  const done: Uninstalled[] = [];
  for (const path of new Set(files.map((file) => file.path).toReversed())) {
    const ours = files.filter((file) => file.path === path).map(({ sha256 }) => sha256);
    done.push({ path, outcome: await remove(path, ours, hashes) });
  }
  for (const changed of new Set(done.filter(wasRemoved).map(({ path }) => dirname(path)))) sync(changed);
  // Last, so that an interrupted uninstallation can start over.
  rmSync(folder, { recursive: true });
  sync(binDir);
  return done;
}

function isList(path: string): boolean {
  return LIST_EXTENSIONS.includes(extname(path));
}

function wasRemoved({ outcome }: Uninstalled): boolean {
  return outcome === 'removed';
}

async function remove(path: string, ours: readonly string[], hashes: Hashes): Promise<Uninstalled['outcome']> {
  const isGone = (await statOf(path)) === undefined;
  const sha256 = await hashes.of(path);
  if (!isGone && (sha256 === undefined || !ours.includes(sha256))) return 'changed';
  // Together with the temporary file that a killed installer may have left.
  removeFile(path);
  return isGone ? 'gone' : 'removed';
}
