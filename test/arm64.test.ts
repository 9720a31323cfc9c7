import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { VERSION } from '../lib/version.ts';
import { agentHere, shimEnv } from './support/agent/agent.ts';
import { buildArm64, EMULATOR, noArm64 } from './support/build/arm64.ts';
import { glibcNeededBy } from './support/build/glibc.ts';
import { configOf, type Ended, EXECUTABLES, start } from './support/build/single.ts';
import { ran } from './support/namespaces/enclosed.ts';
import { noNamespaces, run, scratchFolder, scratchPod } from './support/namespaces/namespace.ts';
import { bundleOf, type Env, variables } from './support/plugins/call.ts';
import { PLUGINS, type PluginUnderTest } from './support/plugins/plugins.ts';
import { previousResult } from './support/plugins/previous-result.ts';

// The executables for arm64, made here from the pinned runtime. What can be seen of them without such a machine. They and the
// shims run the whole conformance suite in arm64-conformance.test.ts.

const ROOT = join(import.meta.dirname, '..');
const [emulator, ...options] = EMULATOR;

t.test('the executables for arm64', { skip: noArm64, timeout: 900_000 }, async (t) => {
  const work = mkdtempSync(join(tmpdir(), 'waymark-arm64-'));
  t.teardown(() => rmSync(work, { recursive: true, force: true }));
  const [folder, shims] = [join(work, 'bin'), join(work, 'shim')];
  buildArm64(folder, shims);
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
    const shim = readFileSync(join(shims, 'static-route'));
    t.match(elfOf(shim), { bits: 64, order: 'little', machine: EM_AARCH64, type: ET_EXEC }, 'and the shim');
    t.notOk(shim.includes('/lib/ld-'), 'which is static');
    t.strictSame(readdirSync(shims).sort(), EXECUTABLES.slice(1).sort());
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

  t.test('run', async (t) => {
    const emulated = (name: string, env: object, args: string[] = [], more: string[] = []) =>
      start(emulator, { PATH: process.env.PATH, ...env }, '', [...more, ...options, join(folder, name), ...args]);
    t.match(emulated('waymark', {}, ['--version']), { code: 0, stdout: `${VERSION}\n` });
    const old = emulated('waymark', {}, ['--version'], ['-cpu', 'cortex-a53']);
    t.match(old, { code: 0, stdout: `${VERSION}\n` }, 'on a processor that has less than the one of the snapshot');
    for (const name of EXECUTABLES.slice(1)) {
      const env = { CNI_COMMAND: 'VERSION' };
      const { stdout } = start(process.execPath, env, '', [bundleOf(name)]);
      t.match(emulated(name, env), { code: 0, stdout }, name);
      t.match(emulated(name, { CNI_COMMAND: 'ADD' }), { code: 1, stdout: /"code": 4,/ }, name);
    }
  });

  t.test('do in a pod what those of this machine do', { skip: noNamespaces }, async (t) => {
    const here: Runner = (name, ...call) => start(process.execPath, ...call, [bundleOf(name)]);
    const emulated: Runner = (name, ...call) => start(emulator, ...call, [...options, join(folder, name)]);
    for (const entry of PLUGINS) {
      const expected = callsOf(t, entry, here);
      t.strictSame(callsOf(t, entry, emulated), expected, entry.name);
      t.match(expected, { ADD: { code: 0 }, CHECK: { code: 0 }, DEL: { code: 0 }, 'ADD in version 9': { code: 1 } });
    }
  });

  t.test('undo what they made where a message cannot be sent', { skip: noNamespaces }, async (t) => {
    const pod = scratchPod(t);
    const before = pod.ip('-o link show');
    const config = {
      ...configOf('consistent-ifname', scratchFolder(t)),
      prevResult: previousResult('1.1.0', pod.path),
    };
    const args = [...options, join(folder, 'consistent-ifname')];
    const { code, stdout } = start(emulator, variables('ADD', pod.path), config, args);
    t.equal(code, 1);
    // qemu does not pass on the messages about altnames, and by then the interface was renamed.
    t.match(JSON.parse(stdout), { code: 104, msg: /add altname eth0/ });
    t.equal(pod.ip('-o link show'), before);
  });

  t.test('as shims, hand their calls to the agent', { skip: noNamespaces }, async (t) => {
    // Without it, a shim has nothing to fall back to.
    const { socket } = await agentHere(t);
    for (const entry of PLUGINS) {
      const pod = scratchPod(t);
      const config = {
        ...configOf(entry.name, join(work, 'data'), entry.config),
        prevResult: previousResult('1.1.0', pod.path),
      };
      for (const verb of ['ADD', 'CHECK', 'DEL']) {
        const env = shimEnv(socket, variables(verb, pod.path));
        const child = spawn(emulator, [join(shims, entry.name)], { env });
        t.match(await ran(child, JSON.stringify(config)), { code: 0 }, `${entry.name} ${verb}`);
      }
    }
  });
});

type Runner = (name: string, env: Env, stdin: object) => Ended;

/** What a plugin answers to each verb in a pod of its own, and what is then in the pod. */
function callsOf(t: Test, { name, config, adds }: PluginUnderTest, runner: Runner): object {
  const pod = scratchPod(t);
  const dataDir = scratchFolder(t);
  // qemu does not pass on the messages about altnames.
  const more = name === 'consistent-ifname' ? { keepAltname: false } : {};
  // The pods differ in their names and in the hardware addresses that the kernel gives.
  const plain = (text: string) => text.replaceAll(pod.name, 'pod').replace(/fe80::[0-9a-f:]+|(\w\w:){5}\w\w/g, '-');
  let prevResult = previousResult('1.1.0', pod.path);
  const ask = (verb: string, cniVersion = '1.1.0') => {
    const keys = { ...(adds?.config ?? config), ...more, cniVersion, prevResult };
    const { code, stdout } = runner(name, variables(verb, pod.path), { ...configOf(name, dataDir), ...keys });
    // CHECK and DEL get the result of the ADD.
    if (verb === 'ADD' && code === 0) prevResult = JSON.parse(stdout);
    const state = pod.ip('-o link show') + pod.ip('route show proto 87') + pod.ip('-6 route show proto 87');
    return { code, stdout: plain(stdout), state: plain(state) };
  };
  const answers = ['STATUS', 'ADD', 'CHECK', 'DEL', 'GC'].map((verb) => [verb, ask(verb)]);
  return { ...Object.fromEntries(answers), 'ADD in version 9': ask('ADD', '9.0.0') };
}

// elf.h
const EM_AARCH64 = 183;
const ET_EXEC = 2;
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
