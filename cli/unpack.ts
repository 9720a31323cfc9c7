import { lstatSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { getAsset, getRawAsset } from 'node:sea';
import { CniCode, CniError } from '../lib/cni/errors.ts';
import { summarize } from '../lib/cni/summary.ts';
import { ensureFolder, FileError, readBytesIfThere } from '../lib/files/files.ts';

/** The assets of the executable: the native addon, and the name of its folder. */
export const ADDON_ASSET = 'socket.node';
export const BUILD_ID_ASSET = 'build-id';

/** Where the addon goes if the executable's own folder does not take it: on a read-only file system, for example. */
const SECOND_FOLDER = '/var/lib/waymark';

/** Beside the file; what a call left that was killed while it wrote is found by it. */
const TEMPORARY = '.unpacking-';
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
      if (!(error instanceof FileError)) throw error;
      reasons.push(error.message);
    }
  }
  const { message, details } = summarize(`the native addon cannot be unpacked: `, reasons);
  throw new CniError(CniCode.ioFailure, message, { details });
}

function unpackInto(folder: string, build: string, addon: Buffer): string {
  const own = join(folder, build);
  ensureFolder(folder);
  ensureFolder(own);
  const path = join(own, ADDON_ASSET);
  if (readBytesIfThere(path)?.equals(addon)) return path;
  try {
    forgetStale(own);
    put(path, addon);
  } catch (error) {
    throw new FileError(path, `cannot be written (${(error as NodeJS.ErrnoException).code})`, error);
  }
  return path;
}

// By way of a folder of our own, whose name the kernel gave to nobody else: fifty calls may be at it at once, some of them
// in other process namespaces with the same process ids. The last to rename wins, with the same bytes.
function put(path: string, addon: Buffer): void {
  const temporary = mkdtempSync(join(dirname(path), TEMPORARY));
  try {
    const file = join(temporary, ADDON_ASSET);
    writeFileSync(file, addon, { mode: 0o600 });
    renameSync(file, path);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

function forgetStale(folder: string): void {
  for (const name of readdirSync(folder).filter((entry) => entry.startsWith(TEMPORARY))) {
    const path = join(folder, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && Date.now() - stat.mtimeMs > STALE_MS) rmSync(path, { recursive: true, force: true });
  }
}
