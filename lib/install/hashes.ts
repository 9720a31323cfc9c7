import { createHash } from 'node:crypto';
import { type BigIntStats, constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';

const CHUNK_BYTES = 1 << 20;

/**
 * The SHA-256 of files, in hex. A file is read only once, as long as its inode, size and times stay the same: so asking
 * again costs nothing, and hard links count as one file.
 */
export class Hashes {
  readonly #known = new Map<string, { stamp: string; sha256: string }>();

  /** undefined if the file is missing or not a regular file, such as a symbolic link. Throws what reading throws. */
  async of(path: string): Promise<string | undefined> {
    const stat = await statOf(path);
    if (stat === undefined || !stat.isFile()) return undefined;
    const inode = `${stat.dev}:${stat.ino}`;
    const stamp = `${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
    const known = this.#known.get(inode);
    if (known?.stamp === stamp) return known.sha256;
    const sha256 = await readIfThere(path);
    if (sha256 !== undefined) this.#known.set(inode, { stamp, sha256 });
    return sha256;
  }
}

/** What lstat(2) reports about a path; undefined if nothing is there. */
export async function statOf(path: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

// Undefined if it has gone since, or a link has its name: the file is missing then, as one that was not there at first.
async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await read(path);
  } catch (error) {
    if (['ENOENT', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

async function read(path: string): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(chunk.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
