import { existsSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { until } from '../until.ts';

// The kernel ends what needs more memory than its cgroup may have, as on a node.

const V1 = '/sys/fs/cgroup/memory';
const [ROOT, LIMIT] = existsSync(V1) ? [V1, 'memory.limit_in_bytes'] : ['/sys/fs/cgroup', 'memory.max'];

/** A program, with its arguments, that runs others within a limit of so many bytes, for as long as the test lasts. */
export function withinMemory(t: Test, bytes: number): string[] {
  const folder = mkdtempSync(join(ROOT, 'waymark-test-'));
  // What ran in it has ended by then, since later teardowns come first; the kernel may need a moment more.
  t.teardown(() => until(() => isRemoved(folder), `${folder} is busy`));
  writeFileSync(join(folder, LIMIT), `${bytes}`);
  return ['sh', '-c', `echo $$ >${folder}/cgroup.procs && exec "$@"`, 'sh'];
}

function isRemoved(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
}

/** The memory of a process that is not a file's, in bytes: what counts towards its limit and cannot be taken back. */
export function anonymousMemoryOf(pid: number): number {
  return Number(/RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** Why a cgroup with a limit of memory cannot be made here, or false. */
export const noMemoryLimit: string | false =
  existsSync(V1) || readIfThere(join(ROOT, 'cgroup.subtree_control')).includes('memory')
    ? false
    : 'needs the cgroup controller memory';

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}
