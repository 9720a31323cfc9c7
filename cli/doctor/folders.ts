import { lstatSync, readFileSync, realpathSync, statfsSync, statSync } from 'node:fs';
import { reasonOf } from '../../lib/files/reason.ts';
import type { Folder } from './facts.ts';

/** What a folder is fit for. `path` is its name for people, `here` where we find it. */
export function folderAt(path: string, here = path): Folder {
  const none = { isReadOnly: false, isNoexec: false, isOthersWritable: false, freeBytes: 0, freeFiles: 0 };
  try {
    const real = realpathSync(here);
    const stat = statSync(real);
    const isLink = lstatSync(here).isSymbolicLink();
    if (!stat.isDirectory()) return { path, problem: 'is not a folder', ...none };
    const { bavail, bsize, ffree, files } = statfsSync(real);
    const options = mountOptions(real);
    return {
      path,
      problem: undefined,
      isReadOnly: options.includes('ro'),
      isNoexec: options.includes('noexec'),
      isOthersWritable: !isLink && (stat.mode & 0o002) !== 0,
      freeBytes: bavail * bsize,
      // Some file systems do not count.
      freeFiles: files === 0 ? Number.MAX_SAFE_INTEGER : ffree,
    };
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return { path, problem: isMissing ? 'does not exist' : `cannot be read: ${reasonOf(error)}`, ...none };
  }
}

// The options of the mount, and those of its file system, which can be read-only by itself (proc_pid_mountinfo(5)).
function mountOptions(path: string): string[] {
  const [, pid = 'self', inside = path] = /^\/proc\/(\d+)\/root(\/.*)?$/.exec(path) ?? [];
  const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
    .split('\n')
    .map((line) => /^\d+ \d+ \S+ \S+ (\S+) (\S+) .*- \S+ \S+ (\S+)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, point = '', own = '', ofFileSystem = '']) => ({ point, options: `${own},${ofFileSystem}`.split(',') }));
  const above = mounts.filter(({ point }) => point === '/' || inside === point || inside.startsWith(`${point}/`));
  const longest = Math.max(...above.map(({ point }) => point.length));
  return above.findLast(({ point }) => point.length === longest)?.options ?? [];
}
