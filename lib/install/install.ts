import { existsSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ensureFolder, replaceFile, sync } from '../files/files.ts';
import { InstallError } from './errors.ts';
import { type Hashes, statOf } from './hashes.ts';
import { COMMAND } from './plan.ts';
import { ownFolder, readRecordIfWhole, recordAfter, recordDuring, writeRecord } from './record.ts';
import { openStaging, removeStagings, stage } from './staging.ts';
import { versionOf } from './verify.ts';
import { findMissing, type Wanted, type WantedExecutable } from './wanted.ts';

/** What goes where. `signal` ends the installation early, with nothing half done. */
export type Installation = {
  readonly binDir: string;
  readonly wanted: Wanted;
  readonly hashes: Hashes;
  readonly signal: AbortSignal;
};

/** The result: the paths that were replaced, in order, and the version that is in place. */
export type Installed = { readonly version: string; readonly replaced: readonly string[] };

/** May files be replaced now? Throws if not. */
export type Guard = () => void;

/** Another installer that starts removes our staging folder, because it takes us for dead; then we start over. */
const ATTEMPTS = 3;

/**
 * Puts in place what is not in place yet. Files are replaced by renames, after all of them are on disk and have been seen
 * to work; so whoever runs one gets the old one or the new one, complete. Throws InstallError or FileError; then
 * everything is as before, unless it was a rename that failed.
 */
export async function install(installation: Installation, guard: Guard = () => undefined): Promise<Installed> {
  const { binDir, wanted, hashes, signal } = installation;
  await assertPlaces([...wanted.executables, ...wanted.lists]);
  const folder = ownFolder(binDir);
  ensureFolder(folder);
  removeStagings(folder);
  for (let attempt = 1; ; attempt++) {
    const missing = await findMissing(wanted.executables, hashes);
    const staging = missing.length > 0 ? openStaging(folder) : undefined;
    try {
      if (staging !== undefined) {
        const inPlace = wanted.executables.filter((file) => !missing.includes(file));
        await stage(staging, missing, inPlace, hashes, signal);
      }
      const staged = missing.map((file) => ({ ...file, staged: join(staging ?? '', file.name) }));
      return await replace(installation, staged, guard);
    } catch (error) {
      if (staging === undefined || existsSync(staging) || attempt === ATTEMPTS) throw error;
    } finally {
      if (staging !== undefined) rmSync(staging, { recursive: true, force: true });
    }
  }
}

type Staged = WantedExecutable & { readonly staged: string };

async function replace({ binDir, wanted, hashes, signal }: Installation, staged: readonly Staged[], guard: Guard) {
  const command = staged.find(({ name }) => name === COMMAND)?.staged ?? join(binDir, COMMAND);
  const version = await versionOf(command, signal);
  const lists = await findMissing(wanted.lists, hashes);
  const all = [...wanted.executables, ...wanted.lists];

  // Synchronous from here on, so that what the guard saw still holds.
  guard();
  const before = readRecordIfWhole(binDir);
  if (staged.length + lists.length > 0) writeRecord(binDir, recordDuring(version, before, all));
  for (const file of staged) renameSync(file.staged, file.path);
  if (staged.length > 0) sync(binDir);
  // Lists last, because a runtime uses a list as soon as it exists.
  for (const { path, content } of lists) replaceFile(path, content, { durable: true });
  writeRecord(binDir, recordAfter(version, before, all));
  const [lost] = await findMissing(all, hashes);
  // For example on a file system without owners or modes: the file would be repaired forever.
  if (lost !== undefined)
    throw new InstallError(`${lost.path} was replaced, but still differs from what was installed`);
  return { version, replaced: [...staged, ...lists].map(({ path }) => path) };
}

// A folder that does not exist is more likely a mistake in a flag than a folder to create.
async function assertPlaces(files: readonly WantedExecutable[]): Promise<void> {
  for (const { path } of files) {
    const folder = dirname(path);
    if (!existsSync(folder)) throw new InstallError(`${folder} does not exist`);
    if ((await statOf(path))?.isDirectory()) throw new InstallError(`${path} is a folder`);
  }
}
