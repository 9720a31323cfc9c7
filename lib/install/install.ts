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

/** What goes where. `signal` ends it early, with nothing half done. */
export type Installation = {
  readonly binDir: string;
  readonly wanted: Wanted;
  readonly hashes: Hashes;
  readonly signal: AbortSignal;
};

/** What was done: the paths that were replaced, in order, and the version that is in place. */
export type Installed = { readonly version: string; readonly replaced: readonly string[] };

/** May files be replaced now? Throws if not. */
export type Guard = () => void;

/** Another installer that starts removes our staging folder, which it takes for a dead one's; then we begin again. */
const ATTEMPTS = 3;

/**
 * Puts in place what is not in place yet. A file is replaced by a rename, after all of them are on the disk and were
 * seen to work; so whoever runs one has the old one or the new one, whole. Throws InstallError or FileError; then
 * all is as before, unless it was a rename that failed.
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

  // From here on without a pause, so that what the guard saw still holds.
  guard();
  const before = readRecordIfWhole(binDir);
  if (staged.length + lists.length > 0) writeRecord(binDir, recordDuring(version, before, all));
  for (const file of staged) renameSync(file.staged, file.path);
  if (staged.length > 0) sync(binDir);
  // Last, since a runtime uses a list as soon as it is there.
  for (const { path, content } of lists) replaceFile(path, content, { durable: true });
  writeRecord(binDir, recordAfter(version, before, all));
  const [lost] = await findMissing(all, hashes);
  // Such as on a file system that keeps no owners or modes: it would be repaired for ever.
  if (lost !== undefined) throw new InstallError(`${lost.path} was replaced, and yet is not as it was installed`);
  return { version, replaced: [...staged, ...lists].map(({ path }) => path) };
}

// A folder that does not exist is rather a mistake in a flag than one to be made.
async function assertPlaces(files: readonly WantedExecutable[]): Promise<void> {
  for (const { path } of files) {
    const folder = dirname(path);
    if (!existsSync(folder)) throw new InstallError(`${folder} does not exist`);
    if ((await statOf(path))?.isDirectory()) throw new InstallError(`${path} is a folder`);
  }
}
