import { readdirSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { getAsset, getRawAsset } from 'node:sea';
import { CniCode, CniError } from '../lib/cni/errors.ts';
import { DataFolderError, ensureFolder, readBytesIfThere } from '../lib/journal/folder.ts';

/** The assets of the executable: the native addon, and the name of its folder. */
export const ADDON_ASSET = 'socket.node';
export const BUILD_ID_ASSET = 'build-id';

/** Where the addon goes if the executable's own folder does not take it: on a read-only file system, for example. */
const SECOND_FOLDER = '/var/lib/waymark';

const STALE_MS = 60_000;

/**
 * The native addon as a file, which is what dlopen(3) wants: `.waymark/<build id>/socket.node` beside the executable, else
 * in /var/lib/waymark. It is written by the first call of a build and compared byte by byte by each later one, so a file
 * that is cut short is written again. Nobody but the caller or root can have put it there.
 *
 * Throws CniError 5 with the reasons of both folders.
 */
export function unpackAddon(): string {
  const addon = Buffer.from(getRawAsset(ADDON_ASSET));
  const build = getAsset(BUILD_ID_ASSET, 'utf8');
  return unpackIntoOneOf([join(dirname(process.execPath), '.waymark'), SECOND_FOLDER], build, addon);
}

/** The same for any content: the path of the file in the first of the folders that can be used. */
export function unpackIntoOneOf(folders: readonly string[], build: string, addon: Buffer): string {
  const reasons: string[] = [];
  for (const folder of folders) {
    try {
      return unpackInto(folder, build, addon);
    } catch (error) {
      if (!(error instanceof DataFolderError)) throw error;
      reasons.push(error.message);
    }
  }
  throw new CniError(CniCode.ioFailure, 'the native addon cannot be unpacked', { details: reasons.join('\n') });
}

function unpackInto(folder: string, build: string, addon: Buffer): string {
  ensureFolder(folder);
  const own = join(folder, build);
  ensureFolder(own);
  const path = join(own, ADDON_ASSET);
  if (readBytesIfThere(path)?.equals(addon)) return path;
  try {
    forgetStale(own);
    // A name of our own: fifty calls may be at it at once, and the last to rename wins with the same bytes.
    const temporary = join(own, `.${ADDON_ASSET}.${process.pid}.tmp`);
    rmSync(temporary, { force: true });
    writeFileSync(temporary, addon, { mode: 0o600, flag: 'wx' });
    renameSync(temporary, path);
  } catch (error) {
    throw new DataFolderError(path, `cannot be written (${(error as NodeJS.ErrnoException).code})`, error);
  }
  return path;
}

// What a call left that was killed while it wrote.
function forgetStale(folder: string): void {
  for (const name of readdirSync(folder).filter((entry) => entry.endsWith('.tmp'))) {
    const path = join(folder, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && Date.now() - stat.mtimeMs > STALE_MS) unlinkSync(path);
  }
}
