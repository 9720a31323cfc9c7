import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { noNamespaces, works } from '../support/namespaces/namespace.ts';

// A part of the kernel tier on Linux 6.1, in qemu, if WAYMARK_KERNEL=1 asks for it. `npm run kernel` runs all of it.

const ROOT = join(import.meta.dirname, '../..');
const KERNEL = join(ROOT, '.tools/kernels/6.1');

/** Nothing is fetched for a test. */
const noKernel: string | false =
  (process.env.WAYMARK_KERNEL !== '1' && 'takes too long; WAYMARK_KERNEL=1 asks for it') ||
  noNamespaces ||
  (!works('qemu-system-x86_64', ['--version'])
    ? 'needs qemu-system-x86_64 (Debian: qemu-system-x86)'
    : existsSync(join(KERNEL, 'initramfs.gz'))
      ? false
      : 'needs a kernel, which scripts/kernel/fetch.sh fetches');

const FILES = ['links', 'rename'].map((name) => join('test/kernel', `${name}.test.ts`));

if (noKernel) t.test('on Linux 6.1', { skip: noKernel }, async () => {});
else {
  const args = ['--disable-warning=ExperimentalWarning', 'scripts/kernel/kernel.ts', '--brief', KERNEL, ...FILES];
  void t.spawn(process.execPath, args, { cwd: ROOT, timeout: 900_000 }, 'on Linux 6.1');
}
