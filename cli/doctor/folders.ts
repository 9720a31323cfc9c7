import { closeSync, constants, fstatSync, openSync, readFileSync, statfsSync } from 'node:fs';
import { reasonOf } from '../../lib/files/reason.ts';
import type { Folder } from './facts.ts';

/** What a folder is fit for. `path` is its name for people, `here` where we find it. */
export function folderAt(path: string, here = path): Folder {
  const none = { isReadOnly: false, isNoexec: false, isOthersWritable: false, freeBytes: 0, freeFiles: 0 };
  try {
    const fd = openSync(here, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      return { path, problem: undefined, ...lookAt(fd) };
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    return { path, problem: problemOf(error), ...none };
  }
}

function lookAt(fd: number): Omit<Folder, 'path' | 'problem'> {
  const { bavail, bsize, ffree, files } = statfsSync(`/proc/self/fd/${fd}`);
  const options = mountOptions(fd);
  return {
    isReadOnly: options.includes('ro'),
    isNoexec: options.includes('noexec'),
    isOthersWritable: (fstatSync(fd).mode & 0o002) !== 0,
    freeBytes: bavail * bsize,
    // Some file systems do not count.
    freeFiles: files === 0 ? Number.MAX_SAFE_INTEGER : ffree,
  };
}

function problemOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'does not exist';
  return code === 'ENOTDIR' ? 'is not a folder' : `cannot be read: ${reasonOf(error)}`;
}

// By the mount's number, since its path may be another in the node's mount namespace: the options of the mount, and those
// of its file system, which can be read-only by itself (proc_pid_fdinfo(5), proc_pid_mountinfo(5)).
function mountOptions(fd: number): string[] {
  const [, id = ''] = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
  const line = ['self', '1'].flatMap(mountsOf).find((mount) => mount.startsWith(`${id} `)) ?? '';
  const [, own = '', ofFileSystem = ''] = /^\d+ \d+ \S+ \S+ \S+ (\S+) .*- \S+ \S+ (\S+)$/.exec(line) ?? [];
  return `${own},${ofFileSystem}`.split(',');
}

function mountsOf(process: string): string[] {
  try {
    return readFileSync(`/proc/${process}/mountinfo`, 'utf8').split('\n');
  } catch {
    return [];
  }
}
