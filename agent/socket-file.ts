import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, lstatSync, readFileSync, readlinkSync, renameSync, rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { dirname } from 'node:path';
import type { Variables } from '../lib/cni/request.ts';
import { ensureFolder, FileError } from '../lib/files/files.ts';

/**
 * Listens on a Unix socket at `path`, mode 0600. It is made under another name and renamed, so that whoever listened there
 * before is replaced in one step: no call finds nobody. Returns what takes the file away again, if it is still ours.
 *
 * Throws FileError if the folder or the file is somebody else's: a symbolic link, or not a socket.
 */
export async function listenAt(server: Server, path: string): Promise<() => void> {
  ensureFolder(dirname(path));
  assertReplaceable(path);
  const temporary = temporaryOf(path);
  // Nobody can connect between the making and the change of mode: the folder is ours, or nobody else may write in it.
  await listening(server, () => listenForRootAlone(server, temporary));
  try {
    chmodSync(temporary, 0o600);
    const { ino } = lstatSync(temporary);
    renameSync(temporary, path);
    return () => removeIfOurs(path, ino);
  } catch (error) {
    // Which also removes the file (uv_pipe_t). Or the next attempt would leave one more behind, and so on.
    server.close();
    throw error;
  }
}

// The umask is the whole process's: calls that run meanwhile make files too. bind(2) is done when listen() returns.
function listenForRootAlone(server: Server, path: string): void {
  const mask = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
}

/** Listens on a socket that systemd made (sd_listen_fds(3)). */
export async function listenOnDescriptor(server: Server, fd: number): Promise<void> {
  await listening(server, () => server.listen({ fd }));
}

/** The first descriptor that systemd passes to a service. */
const SD_LISTEN_FDS_START = 3;

/** The descriptor that systemd passed to this process, if it did. */
export function passedDescriptor(env: Variables, pid: number): number | undefined {
  return env.LISTEN_PID === String(pid) && Number(env.LISTEN_FDS) > 0 ? SD_LISTEN_FDS_START : undefined;
}

// Not by our process id: an agent in another container may have the same.
function temporaryOf(path: string): string {
  return `${path}.${randomBytes(4).toString('hex')}`;
}

// Another agent may put its own file there at any moment, so a look and a removal would be a step too many: what is there
// is taken aside first, and put back if it is not ours and nobody has replaced it meanwhile.
function removeIfOurs(path: string, ino: number): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.ino !== ino) return;
  const aside = temporaryOf(path);
  try {
    renameSync(path, aside);
    if (lstatSync(aside).ino !== ino) linkSync(aside, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error;
  }
  rmSync(aside, { force: true });
}

/** The path that a listening Unix socket is bound to (proc_net_unix(5)); undefined if it has none. */
export function pathOfSocket(fd: number): string | undefined {
  const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`)) ?? [];
  const rows = readFileSync('/proc/net/unix', 'utf8').split('\n');
  // Num RefCount Protocol Flags Type St Inode Path
  const fields = rows.map((row) => row.split(' ').filter((field) => field !== ''));
  const row = fields.find((found) => found[INODE_FIELD] === inode);
  return row?.slice(INODE_FIELD + 1).join(' ') || undefined;
}

const INODE_FIELD = 6;

function assertReplaceable(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined || stat.isSocket()) return;
  throw new FileError(path, stat.isSymbolicLink() ? 'is a symbolic link, which is refused' : 'is not a socket');
}

/** Resolves when the server listens, which `listen` asks it to. Throws the error that it reports instead. */
export function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    listen();
  });
}
