import { type ChildProcess, spawn } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

// Runs tests on another kernel, under qemu without KVM: scripts/kernel.sh. The machine sees this one's files, and keeps in memory
// what it changes. Their TAP goes to stdout.
//
//   node scripts/kernel/kernel.ts [--seconds <deadline>] [--brief] <folder of the kernel> [<test file>…]

const ROOT = realpathSync(join(import.meta.dirname, '../..'));
const MEBIBYTES = 3072;

/**
 * The kernel tier, in this order because the files are dealt out to two processes in turn. What `confined` shows is the machine's
 * doing, not its kernel's, and takes many processes.
 */
const TIER = [
  ...['rename', 'links', 'examples', 'multi-network', 'netlink', 'altnames'].map(
    (name) => `test/kernel/${name}.test.ts`,
  ),
  ...['link', 'route', 'rule'].map((name) => `test/lib/netlink/${name}.test.ts`),
];
/** What differs most from the machine's own kernel. These files run less of themselves, too. */
const BRIEF = ['test/kernel/links.test.ts', 'test/kernel/rename.test.ts'];

/**
 * Before QEMU 8.1, a processor may still meet a breakpoint that another one has taken out of the code, with which the kernel
 * patches itself, most of all while it starts: https://github.com/ClangBuiltLinux/boot-utils/issues/111.
 */
const LOST_BREAKPOINT = 'int3: 0000 [';
const BOOTS = 3;

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '900' }, brief: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const [folder = '', ...named] = positionals;
const tests = named.length > 0 ? named : values.brief ? BRIEF : TIER;
const stripped = mkdtempSync(join(ROOT, 'build/stripped-'));
const scratch = mkdtempSync(join(tmpdir(), 'waymark-kernel-'));
const log = join(scratch, 'console.log');
process.once('exit', () => {
  for (const folder of [stripped, scratch]) rmSync(folder, { recursive: true, force: true });
});
stripTypes(stripped);
let machine = boot(resolve(folder), tests);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => machine.kill('SIGKILL'));
let ended = await reported(machine);
for (let again = 1; again < BOOTS && !ended.hasBegun && consoleOf().includes(LOST_BREAKPOINT); again++) {
  console.error('kernel: the emulator has stopped the kernel while it started; once more');
  machine = boot(resolve(folder), tests);
  ended = await reported(machine);
}
if (ended.code === undefined) {
  console.log(`Bail out! ${machine.killed ? `not done after ${values.seconds} s` : 'the machine has stopped'}`);
  console.error(consoleOf().trimEnd().split('\n').slice(-30).join('\n'));
}
process.exitCode = ended.code ?? 1;

function consoleOf(): string {
  return readFileSync(log, 'utf8');
}

// What the machine's Node.js would take half a minute for. See stripped.mjs.
function stripTypes(out: string): void {
  const sources = globSync('{agent,cli,controller,lib,plugins,scripts,test}/**/*.ts', { cwd: ROOT });
  for (const file of sources) {
    mkdirSync(join(out, dirname(file)), { recursive: true });
    writeFileSync(join(out, file), stripTypeScriptTypes(readFileSync(join(ROOT, file), 'utf8')));
  }
}

function boot(kernel: string, files: readonly string[]): ChildProcess {
  const modules = realpathSync(join(kernel, 'modules'));
  const settings = { checkout: ROOT, modules, stripped, tests: files.join(), seconds: values.seconds };
  const commandLine = [
    'console=ttyS0 panic=-1 mitigations=off audit=0 apparmor=0',
    ...Object.entries(settings).map(([key, value]) => `waymark.${key}=${value}`),
    ...(values.brief ? ['waymark.brief=yes'] : []),
  ].join(' ');
  const options = [
    ['-nodefaults', '-no-user-config', '-no-reboot'],
    ['-display', 'none'],
    ['-machine', 'q35'],
    ['-accel', 'tcg,thread=multi'],
    ['-cpu', 'max'],
    // With one, there is no breakpoint to lose, and it leaves a processor to the tests that run beside it.
    ['-smp', values.brief ? '1' : '2'],
    ['-m', String(MEBIBYTES)],
    ['-kernel', join(kernel, 'vmlinuz')],
    ['-initrd', join(kernel, 'initramfs.gz')],
    ['-append', commandLine],
    ['-serial', `file:${log}`],
    ['-serial', 'stdio'],
    ['-fsdev', 'local,id=machine,path=/,security_model=none,readonly=on,multidevs=remap'],
    ['-device', 'virtio-9p-pci,fsdev=machine,mount_tag=machine'],
  ].flat();
  // It ends with this process, however that ends.
  return spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: Number(values.seconds) * 1000,
    killSignal: 'SIGKILL',
  });
}

// Prints what the machine says. `code` is that with which it ends, undefined if it does not get that far.
async function reported(child: ChildProcess): Promise<{ hasBegun: boolean; code: number | undefined }> {
  let code: number | undefined;
  let hasBegun = false;
  const ended = new Promise((done) => child.once('close', done));
  for await (const line of createInterface({ input: child.stdout ?? process.stdin })) {
    const last = /^exit (\d+)$/.exec(line)?.[1];
    if (last === undefined) console.log(line);
    else code = Number(last);
    hasBegun = true;
  }
  await ended;
  return { hasBegun, code };
}
