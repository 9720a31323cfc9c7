import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import t, { type Test } from 'tap';
import { startProcess } from '../../../lib/native/process.ts';
import { noNamespaces, scratchFolder } from '../../support/namespaces/namespace.ts';
import { until } from '../../support/until.ts';

// The oracle of what a new process has is /proc, as the process itself sees it.

async function textOf(stream: Readable): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

/** What the shell prints of this. */
async function shell(script: string, env: { [name: string]: string | undefined } = {}): Promise<string> {
  const child = startProcess(['/bin/sh', '-c', script], env);
  child.stdin.end();
  const [text, error, code] = await Promise.all([textOf(child.stdout), textOf(child.stderr), child.ended]);
  t.strictSame([error, code], ['', 0]);
  return text;
}

/** Children of this process, also those that have ended and were not waited for. */
function children(): string[] {
  const threads = readdirSync('/proc/self/task');
  return threads.flatMap((id) => readFileSync(`/proc/self/task/${id}/children`, 'utf8').split(' ').filter(Boolean));
}

t.test('arguments, environment and streams are those that were given', async (t) => {
  const child = startProcess(['/bin/sh', '-c', 'cat; echo "$1" >&2', 'sh', 'é'], { A: '1', B: undefined });
  t.match([child.stdin, child.stdout, child.stderr], [{ readable: false }, { writable: false }, { writable: false }]);
  child.stdin.end('in');
  const [out, error, code] = await Promise.all([textOf(child.stdout), textOf(child.stderr), child.ended]);
  t.strictSame([out, error, code], ['in', 'é\n', 0]);
  t.equal(await shell("tr '\\0' '\\n' </proc/self/environ", { A: '1', EMPTY: '', GONE: undefined }), 'A=1\nEMPTY=\n');
  t.throws(() => startProcess(['/bin/true', 'a\0b'], {}), /null byte/);
  t.throws(() => startProcess(['/bin/true'], { A: 'a\0b' }), /null byte/);
});

t.test('a new process has nothing of ours: signals, descriptors, folder, session', async (t) => {
  // The runtime ignores SIGPIPE.
  const status = await shell('cat /proc/self/status');
  for (const mask of ['SigBlk', 'SigIgn']) t.match(status, new RegExp(`^${mask}:\\s+0{16}$`, 'm'));
  const descriptors = (await shell('ls /proc/self/fd')).trim().split('\n');
  t.strictSame(descriptors, ['0', '1', '2', '3'], 'the last one is the folder that is listed');
  t.equal(await shell('pwd'), '/\n');
  const ofShell = (await shell('cat /proc/$$/stat')).split(') ').at(-1)?.split(' ') ?? [];
  const [, , group, session] = ofShell;
  t.equal(group, session);
  t.not(session, readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ')[3]);
});

t.test('tells how it ended', async (t) => {
  for (const [script, expected] of [
    ['exit 0', 0],
    ['exit 255', 255],
    ['kill -KILL $$', 'SIGKILL'],
    ['kill -TERM $$', 'SIGTERM'],
  ] as const)
    t.equal(await startProcess(['/bin/sh', '-c', script], {}).ended, expected);
});

t.test('a program that cannot be run is an error, which leaves nothing', async (t) => {
  const folder = t.testdir({ text: 'no program' });
  const before = readdirSync('/proc/self/fd').length;
  t.throws(() => startProcess([join(folder, 'absent')], {}), { code: 'ENOENT', message: /absent/ });
  t.throws(() => startProcess([join(folder, 'text')], {}), { code: 'EACCES' });
  t.throws(() => startProcess([], {}), TypeError);
  writeFileSync(join(folder, 'text'), '', { mode: 0o755 });
  t.equal(readdirSync('/proc/self/fd').length, before);
  t.strictSame(children(), []);
});

t.test('a hundred at once, in a process that is large: all of them end, and none is left', async (t) => {
  const ballast = Buffer.alloc(64 << 20, 1);
  const before = readdirSync('/proc/self/fd').length;
  const all = Array.from({ length: 100 }, async (_, index) => {
    const child = startProcess(['/bin/sh', '-c', `echo ${index}; exit ${index}`], {});
    const [text, code] = await Promise.all([textOf(child.stdout), child.ended]);
    for (const stream of [child.stdin, child.stderr]) stream.destroy();
    return `${text.trim()} ${code}`;
  });
  t.strictSame(
    await Promise.all(all),
    Array.from({ length: 100 }, (_, index) => `${index} ${index}`),
  );
  t.strictSame(children(), []);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(readdirSync('/proc/self/fd').length, before);
  t.equal(ballast.length, 64 << 20);
});

t.test('a program of another mount namespace is found and runs there', { skip: noNamespaces }, async (t) => {
  const folder = scratchFolder(t);
  mkdirSync(join(folder, 'node'));
  writeFileSync(join(folder, 'node/plugin'), '#!/bin/sh\ncat; echo "$A"; pwd; ls /proc/self/fd; exit 7\n', {
    mode: 0o755,
  });
  const mounts = await otherMounts(t, `${folder}/node`);
  const child = startProcess(['/mnt/plugin'], { A: '1', PATH: process.env.PATH }, mounts);
  child.stdin.end('in\n');
  const [out, error, code] = await Promise.all([textOf(child.stdout), textOf(child.stderr), child.ended]);
  t.strictSame([out, error, code], ['in\n1\n/\n0\n1\n2\n3\n', '', 7], 'with no descriptor of ours');
  t.notOk(existsSync('/mnt/plugin'), 'we stay where we are');

  const before = [readdirSync('/proc/self/fd').length, children()];
  t.throws(() => startProcess(['/mnt/plugin'], {}, '/proc/self/ns/mnt'), { code: 'ENOENT', syscall: 'execve' });
  t.throws(() => startProcess(['/mnt/plugin'], {}, '/nowhere'), { code: 'ENOENT', syscall: 'open' });
  t.throws(() => startProcess(['/mnt/plugin'], {}, join(folder, 'node/plugin')), { code: 'EINVAL', syscall: 'setns' });
  t.strictSame([readdirSync('/proc/self/fd').length, children()], before, 'none of these leaves anything');
});

t.test('a program of another mount namespace ends with us', { skip: noNamespaces }, async (t) => {
  const folder = scratchFolder(t);
  const mounts = await otherMounts(t, folder);
  writeFileSync(join(folder, 'slow'), '#!/bin/sh\necho $$ >/mnt/pid\nexec sleep 1000\n', { mode: 0o755 });
  const module = JSON.stringify(join(import.meta.dirname, '../../../lib/native/process.ts'));
  const start = `import(${module}).then(({ startProcess }) =>
    startProcess(['/mnt/slow'], { PATH: process.env.PATH }, ${JSON.stringify(mounts)}))`;
  const agent = spawn(process.execPath, ['--no-warnings', '-e', start], { stdio: ['ignore', 'ignore', 'inherit'] });
  t.teardown(() => agent.kill('SIGKILL'));
  const read = (path: string) => {
    try {
      return readFileSync(path, 'utf8').trim();
    } catch {
      return '';
    }
  };
  const pid = () => read(join(folder, 'pid'));
  await until(() => pid() !== '', 'the program does not start');
  agent.kill('SIGKILL');
  // What has ended and waits for its parent to notice has no command.
  await until(() => read(`/proc/${pid()}/cmdline`) === '', 'it outlives the process that started it');
  t.match(pid(), /^\d+$/);
});

/** A mount namespace in which /mnt is a folder that nobody else sees there, until the test ends. */
async function otherMounts(t: Test, folder: string): Promise<string> {
  const script = `mount --bind ${folder} /mnt && echo up && exec sleep 1000`;
  const node = spawn('unshare', ['--mount', 'sh', '-c', script]);
  t.teardown(() => node.kill('SIGKILL'));
  await new Promise((resolve) => node.stdout.once('data', resolve));
  return `/proc/${node.pid}/ns/mnt`;
}
