import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { noNamespaces, works } from '../support/namespaces/namespace.ts';

// The kernel tier on Linux 6.1, in qemu: a part of it, all of it with WAYMARK_KERNEL=1, nothing with WAYMARK_KERNEL=0. Others run
// beside it, so its deadlines are far off.

const ROOT = join(import.meta.dirname, '../..');
const KERNEL = join(ROOT, '.tools/kernels/6.1');
const asked = process.env.WAYMARK_KERNEL;
const seconds = asked === '1' ? 3000 : 1500;

/** Nothing is fetched for a test. */
const skip: string | false =
  (asked === '0' && 'is not wanted (WAYMARK_KERNEL)') ||
  (process.arch !== 'x64' && 'is for x86-64') ||
  noNamespaces ||
  (!works('qemu-system-x86_64', ['--version'])
    ? 'needs qemu-system-x86_64 (Debian: qemu-system-x86)'
    : existsSync(join(KERNEL, 'initramfs.gz'))
      ? false
      : "needs a kernel, which scripts/kernel/fetch.sh fetches from Debian's archive");

t.setTimeout((seconds + 100) * 1000);

t.test('Linux 6.1', { skip, timeout: 0 }, (t) => {
  const options = ['--seconds', String(seconds), ...(asked === '1' ? [] : ['--brief'])];
  const args = ['--disable-warning=ExperimentalWarning', 'scripts/kernel/kernel.ts', ...options, KERNEL];
  return t.spawn(process.execPath, args, { cwd: ROOT, timeout: 0 }, 'in qemu');
});
