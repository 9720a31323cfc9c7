import { createHash } from 'node:crypto';
import { readFile, realpath } from 'node:fs/promises';
import { parseNetworkFile } from '../runtime/network.ts';
import { InstallError } from './errors.ts';
import { type Hashes, statOf } from './hashes.ts';
import type { PlannedFile } from './plan.ts';

const EXECUTABLE_MODE = 0o755;
const LIST_MODE = 0o600;
const PERMISSIONS = 0o7777n;

/** A file as it should be, by its SHA-256 in hex: an executable comes from `source`, a network list has its `content`. */
export type WantedExecutable = PlannedFile & { readonly sha256: string; readonly mode: number };
export type WantedList = WantedExecutable & { readonly content: Buffer };

/** Everything that should be in place. */
export type Wanted = { readonly executables: readonly WantedExecutable[]; readonly lists: readonly WantedList[] };

/** Reads the sources. Throws InstallError for one that is missing or not a file, and RuntimeError for an invalid list. */
export async function readSources(
  executables: readonly PlannedFile[],
  lists: readonly PlannedFile[],
  hashes: Hashes,
): Promise<Wanted> {
  const wanted = { executables: [] as WantedExecutable[], lists: [] as WantedList[] };
  // One after another, so that hard links are read once.
  for (const planned of executables) wanted.executables.push(await readExecutable(planned, hashes));
  for (const planned of lists) wanted.lists.push(await readList(planned));
  return wanted;
}

/** Those that are not in place: missing, changed, with another owner or mode, or not a file. */
export async function findMissing<W extends WantedExecutable>(wanted: readonly W[], hashes: Hashes): Promise<W[]> {
  const missing: W[] = [];
  for (const file of wanted) if (!(await isInPlace(file, hashes))) missing.push(file);
  return missing;
}

async function isInPlace({ path, sha256, mode }: WantedExecutable, hashes: Hashes): Promise<boolean> {
  const stat = await statOf(path);
  if (stat === undefined || !stat.isFile()) return false;
  if ((stat.mode & PERMISSIONS) !== BigInt(mode) || stat.uid !== BigInt(process.geteuid?.() ?? 0)) return false;
  return (await hashes.of(path)) === sha256;
}

async function readExecutable(planned: PlannedFile, hashes: Hashes): Promise<WantedExecutable> {
  const source = await sourceOf(planned);
  const sha256 = await hashes.of(source);
  if (sha256 === undefined) throw new InstallError(`${planned.source} is not a file`);
  return { ...planned, source, sha256, mode: EXECUTABLE_MODE };
}

async function readList(planned: PlannedFile): Promise<WantedList> {
  const content = await readFile(await sourceOf(planned));
  parseNetworkFile(planned.source, content.toString());
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { ...planned, content, sha256, mode: LIST_MODE };
}

async function sourceOf({ source }: PlannedFile): Promise<string> {
  try {
    return await realpath(source);
  } catch (error) {
    throw new InstallError(`${source} cannot be installed: ${(error as Error).message}`, error);
  }
}
