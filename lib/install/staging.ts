import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { chmod, constants, copyFile, link, open } from 'node:fs/promises';
import { join } from 'node:path';
import { InstallError } from './errors.ts';
import type { Hashes } from './hashes.ts';
import { COMMAND } from './plan.ts';
import { verifyPlugin } from './verify.ts';
import type { WantedExecutable } from './wanted.ts';

const PREFIX = 'staging-';

/**
 * A new folder on the same file system as the files to replace, in which each file already has its final name. Throws
 * InstallError.
 */
export function openStaging(folder: string): string {
  try {
    return mkdtempSync(join(folder, PREFIX));
  } catch (error) {
    throw new InstallError(`${folder} cannot be written: ${(error as Error).message}`, error);
  }
}

/** Removes what killed installers have left. An installer that is still at work notices, and starts over. */
export function removeStagings(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (name.startsWith(PREFIX)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/**
 * Puts files into a staging folder: complete, on disk, and seen to work. Each content is copied once, and not at all if one
 * of `inPlace` has it; the others are hard links. Throws InstallError.
 */
export async function stage(
  staging: string,
  files: readonly WantedExecutable[],
  inPlace: readonly WantedExecutable[],
  hashes: Hashes,
  signal: AbortSignal,
): Promise<void> {
  const copies = new Map(inPlace.map(({ sha256, path }) => [sha256, path]));
  for (const file of files) {
    signal.throwIfAborted();
    const path = join(staging, file.name);
    await bring(file, path, copies.get(file.sha256));
    copies.set(file.sha256, path);
  }
  for (const { name, source, sha256 } of files) {
    const path = join(staging, name);
    if ((await hashes.of(path)) !== sha256) throw new InstallError(`${source} changed while it was being copied`);
    if (name !== COMMAND) await verifyPlugin(path, signal);
  }
}

async function bring({ source, mode }: WantedExecutable, path: string, copy: string | undefined): Promise<void> {
  try {
    if (copy !== undefined) return await link(copy, path);
    await copyFile(source, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await chmod(path, mode);
    await flush(path);
  } catch (error) {
    throw new InstallError(`${source} cannot be installed: ${(error as Error).message}`, error);
  }
}

// Not in the event loop, which may have calls to serve: the disk can take its time for 130 MB.
async function flush(path: string): Promise<void> {
  const file = await open(path);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
