import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { listenAt, passedDescriptor, pathOfSocket } from '../../agent/socket-file.ts';
import { FileError } from '../../lib/files/files.ts';
import { connection, received } from '../support/agent/agent-client.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';

/** A server that says its name. */
function server(t: Test, name: string): Server {
  const made = createServer((socket) => socket.end(name));
  t.teardown(() => made.close());
  return made;
}

async function whoListens(path: string): Promise<string> {
  return String(await received(await connection(path)));
}

t.test('the socket is 0600 in a folder of 0700, whatever the umask, and nothing else is there', async (t) => {
  for (const mask of [0o022, 0o000, 0o077]) {
    const path = join(scratchFolder(t), 'run/deep/agent.sock');
    const before = process.umask(mask);
    try {
      await listenAt(server(t, 'first'), path);
      t.equal(process.umask(), mask, 'the umask is as before');
    } finally {
      process.umask(before);
    }
    t.equal(lstatSync(path).mode & 0o777, 0o600);
    t.ok(lstatSync(path).isSocket());
    for (const folder of ['..', '../..']) t.equal(statSync(join(path, folder)).mode & 0o777, 0o700);
    t.strictSame(readdirSync(join(path, '..')), ['agent.sock']);
    t.equal(await whoListens(path), 'first');
  }
});

t.test('the path of a socket is known by its descriptor, if it has one', async (t) => {
  const path = join(scratchFolder(t), 'a socket');
  const made = server(t, 'first');
  await new Promise<void>((resolve) => made.listen(path, resolve));
  const descriptorOf = (of: Server) => (of as unknown as { _handle: { fd: number } })._handle.fd;
  t.equal(pathOfSocket(descriptorOf(made)), path);
  const other = server(t, 'of the network');
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.equal(pathOfSocket(descriptorOf(other)), undefined);
});

t.test('the umask is that of the process while it waits for the socket: calls make files meanwhile', async (t) => {
  const path = join(scratchFolder(t), 'run/agent.sock');
  const before = process.umask(0o027);
  try {
    const listens = listenAt(server(t, 'first'), path);
    t.equal(process.umask(), 0o027);
    await listens;
  } finally {
    process.umask(before);
  }
});

t.test('what fails after it listens leaves no file and no server behind', async (t) => {
  const folder = scratchFolder(t);
  for (const name of ['chmodSync', 'renameSync'] as const) {
    const fail = () => {
      throw Object.assign(new Error(`EROFS: ${name}`), { code: 'EROFS' });
    };
    const { listenAt: listen } = await t.mockImport<typeof import('../../agent/socket-file.ts')>(
      '../../agent/socket-file.ts',
      { 'node:fs': { ...fs, [name]: fail } },
    );
    const made = server(t, 'first');
    await t.rejects(listen(made, join(folder, 'agent.sock')), { message: `EROFS: ${name}` });
    t.notOk(made.listening, name);
    t.strictSame(readdirSync(folder), [], name);
  }
});

t.test('what is in the place of the socket or its folder is refused by a sentence, and left alone', async (t) => {
  const folder = scratchFolder(t);
  const at = (name: string) => join(folder, name, 'agent.sock');
  for (const name of ['link', 'file', 'folder', 'open', 'target']) mkdirSync(join(folder, name), { mode: 0o700 });
  symlinkSync('/nonexistent/agent.sock', at('link'));
  writeFileSync(at('file'), 'mine');
  mkdirSync(at('folder'));
  chmodSync(join(folder, 'open'), 0o777);
  symlinkSync('target', join(folder, 'folder-link'));
  writeFileSync(join(folder, 'folder-file'), '');
  const cases: [name: string, message: string][] = [
    ['link', `${at('link')}: is a symbolic link, which is refused`],
    ['file', `${at('file')}: is not a socket`],
    ['folder', `${at('folder')}: is not a socket`],
    ['open', `${join(folder, 'open')}: is writable by other users`],
    ['folder-link', `${join(folder, 'folder-link')}: is not a folder (symbolic links are refused)`],
    ['folder-file', `${join(folder, 'folder-file')}: is not a folder (symbolic links are refused)`],
  ];
  for (const [name, message] of cases) {
    const error = await listenAt(server(t, name), at(name)).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    t.ok(error instanceof FileError, name);
    t.equal((error as Error).message, message);
  }
  t.ok(lstatSync(at('link')).isSymbolicLink());
  t.strictSame(readdirSync(join(folder, 'target')), [], 'nothing was made through a link');
  t.strictSame(readdirSync(join(folder, 'link')), ['agent.sock'], 'nothing is left beside it');
});

t.test('a socket that a killed process has left is replaced', async (t) => {
  const path = join(scratchFolder(t), 'agent.sock');
  const script = `require('net').createServer().listen('${path}', () => process.kill(process.pid, 'SIGKILL'))`;
  t.equal(spawnSync(process.execPath, ['-e', script]).signal, 'SIGKILL');
  t.ok(lstatSync(path).isSocket());
  await t.rejects(connection(path), { code: 'ECONNREFUSED' });
  await listenAt(server(t, 'second'), path);
  t.equal(await whoListens(path), 'second');
});

t.test('a socket that takes our place while we take ours away stays', async (t) => {
  const path = join(scratchFolder(t), 'agent.sock');
  let meanwhile = () => {};
  const { listenAt: listen } = await t.mockImport<typeof import('../../agent/socket-file.ts')>(
    '../../agent/socket-file.ts',
    {
      'node:fs': {
        ...fs,
        lstatSync: (...args: Parameters<typeof fs.lstatSync>) => {
          const seen = fs.lstatSync(...args);
          meanwhile();
          return seen;
        },
      },
    },
  );
  const remove = await listen(server(t, 'first'), path);
  const second = server(t, 'second');
  await new Promise<void>((resolve) => second.listen(`${path}.second`, resolve));
  // Right after the first one has looked whether the file is its own.
  meanwhile = () => {
    meanwhile = () => {};
    fs.renameSync(`${path}.second`, path);
  };
  remove();
  t.equal(await whoListens(path), 'second');
  t.strictSame(readdirSync(join(path, '..')), ['agent.sock']);
});

t.test('a previous listener keeps its connections, and removes only its own file', async (t) => {
  const path = join(scratchFolder(t), 'agent.sock');
  const removeFirst = await listenAt(server(t, 'first'), path);
  t.equal(await whoListens(path), 'first');
  const removeSecond = await listenAt(server(t, 'second'), path);
  t.equal(await whoListens(path), 'second');
  const { ctimeNs } = lstatSync(path, { bigint: true });
  removeFirst();
  t.equal(lstatSync(path, { bigint: true }).ctimeNs, ctimeNs, 'which it does not even move');
  t.equal(await whoListens(path), 'second');
  removeSecond();
  t.notOk(existsSync(path));
  removeSecond();
});

t.test('a path that is too long for a socket is reported, and nothing is left', async (t) => {
  const folder = scratchFolder(t);
  await t.rejects(listenAt(server(t, 'x'), join(folder, 'x'.repeat(120))), { message: /listen/ });
  t.strictSame(readdirSync(folder), []);
});

t.test('a descriptor was passed if systemd says so, and to this process', async (t) => {
  const cases: [env: { [name: string]: string }, descriptor: number | undefined][] = [
    [{ LISTEN_PID: '42', LISTEN_FDS: '1' }, 3],
    [{ LISTEN_PID: '42', LISTEN_FDS: '2' }, 3],
    [{ LISTEN_PID: '41', LISTEN_FDS: '1' }, undefined],
    [{ LISTEN_PID: '42', LISTEN_FDS: '0' }, undefined],
    [{ LISTEN_PID: '42', LISTEN_FDS: 'x' }, undefined],
    [{ LISTEN_PID: '42' }, undefined],
    [{ LISTEN_FDS: '1' }, undefined],
    [{}, undefined],
  ];
  for (const [env, descriptor] of cases) t.equal(passedDescriptor(env, 42), descriptor, JSON.stringify(env));
});
