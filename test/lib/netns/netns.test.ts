import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import {
  isNamespace,
  isNamespaceAt,
  isSameNamespace,
  type Namespace,
  NamespaceError,
  type NamespaceProblem,
  OWN_NAMESPACE,
  ofProcess,
  openNamespace,
} from '../../../lib/netns/netns.ts';
import { noNamespaces, run, scratchFolder, scratchNamespace } from '../../support/namespaces/namespace.ts';

t.test('a path that leads nowhere "does not exist"', async (t) => {
  const folder = scratchFolder(t);
  writeFileSync(join(folder, 'file'), '');
  symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'));
  for (const path of [
    '',
    join(folder, 'nowhere'),
    join(folder, 'file', 'below'),
    join(folder, 'dangling'),
    '/proc/4194999/ns/net',
  ]) {
    t.strictSame(problemOf(t, path), { path, problem: 'does not exist' });
  }
});

t.test('a path to something else "is not a namespace"', async (t) => {
  const folder = scratchFolder(t);
  const file = join(folder, 'file');
  writeFileSync(file, 'x');
  mkdirSync(join(folder, 'folder'));
  symlinkSync(file, join(folder, 'link'));
  for (const path of [file, join(folder, 'folder'), join(folder, 'link'), '/dev/null', '/proc/self/status', '/']) {
    t.strictSame(problemOf(t, path), { path, problem: 'is not a namespace' });
  }
});

t.test('a FIFO is not a namespace, and is not waited for', { timeout: 60_000 }, async (t) => {
  const path = join(scratchFolder(t), 'fifo');
  run('mkfifo', [path]);
  t.strictSame(problemOf(t, path), { path, problem: 'is not a namespace' });
});

t.test('a Unix socket "cannot be opened", nor can a path with a NUL or a loop of links', async (t) => {
  const folder = scratchFolder(t);
  const path = join(folder, 'socket');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => server.close());
  symlinkSync(join(folder, 'loop'), join(folder, 'loop'));
  for (const other of [path, join(folder, 'loop'), '/proc/self\0/ns/net']) {
    t.strictSame(problemOf(t, other), { path: other, problem: 'cannot be opened' });
  }
});

t.test('a namespace of another kind opens, but has no netlink socket', { skip: noNamespaces }, async (t) => {
  for (const kind of ['mnt', 'uts', 'pid', 'user', 'ipc']) {
    const path = `/proc/self/ns/${kind}`;
    const namespace = openNamespace(path);
    t.teardown(() => namespace.close());
    const before = readlinkSync('/proc/thread-self/ns/net');
    const error = t.throws(() => RouteSocket.open(namespace), NamespaceError) as NamespaceError;
    t.strictSame({ path: error.path, problem: error.problem }, { path, problem: 'is not a namespace' });
    t.equal(readlinkSync('/proc/thread-self/ns/net'), before);
  }
});

t.test('refusing a path leaves no descriptor open', async (t) => {
  const file = join(scratchFolder(t), 'file');
  writeFileSync(file, '');
  const before = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 200; i++) t.throws(() => openNamespace(file), NamespaceError);
  t.equal(readdirSync('/proc/self/fd').length, before);
});

t.test('a namespace has the device and inode of its file, and close gives its descriptor back', async (t) => {
  const before = readdirSync('/proc/self/fd').length;
  const own = openNamespace(OWN_NAMESPACE);
  const { dev, ino } = statSync('/proc/self/ns/net', { bigint: true });
  t.strictSame([own.device, own.inode, own.path], [dev, ino, OWN_NAMESPACE]);
  t.equal(readlinkSync(`/proc/self/fd/${own.fd}`), `net:[${ino}]`);
  own.close();
  t.equal(readdirSync('/proc/self/fd').length, before);
});

t.test('a process that is refused is asked for once more, since it may be about to end', async (t) => {
  const failing = (...codes: string[]) => {
    let at = 0;
    const read = () => {
      const code = codes[at++];
      if (code !== undefined) throw Object.assign(new Error(code), { code });
      return 'read';
    };
    return { read, looks: () => at };
  };
  const late = failing('EACCES');
  t.equal(ofProcess(late.read), 'read');
  t.throws(() => ofProcess(failing('EACCES', 'ENOENT').read), { code: 'ENOENT' });
  t.throws(() => ofProcess(failing('EACCES', 'EACCES').read), { code: 'EACCES' });
  const gone = failing('ENOENT');
  t.throws(() => ofProcess(gone.read), { code: 'ENOENT' });
  t.strictSame([late.looks(), gone.looks()], [2, 1]);
});

t.test('isSameNamespace', { skip: noNamespaces }, async (t) => {
  const open = (path: string): Namespace => {
    const namespace = openNamespace(path);
    t.teardown(() => namespace.close());
    return namespace;
  };

  t.test('is true for our own by every path to it, a symbolic link and a bind mount too', async (t) => {
    const link = join(scratchFolder(t), 'link');
    symlinkSync('/proc/self/ns/net', link);
    const mounted = join(scratchFolder(t), 'mounted');
    writeFileSync(mounted, '');
    run('mount', ['--bind', `/proc/${process.pid}/ns/net`, mounted]);
    t.teardown(() => run('umount', ['--lazy', mounted]));
    const own = open(OWN_NAMESPACE);
    for (const path of ['/proc/self/ns/net', `/proc/${process.pid}/ns/net`, link, mounted]) {
      t.ok(isSameNamespace(own, open(path)), path);
    }
  });

  t.test('is true for one scratch namespace by two paths, false for two of them and for ours', async (t) => {
    const [a, b] = [scratchNamespace(t), scratchNamespace(t)];
    t.ok(isSameNamespace(open(a.path), open(`/proc/self/root${a.path}`)));
    t.notOk(isSameNamespace(open(a.path), open(b.path)));
    t.notOk(isSameNamespace(open(a.path), open(OWN_NAMESPACE)));
  });

  t.test('is false for our namespace of another kind', async (t) => {
    t.notOk(isSameNamespace(open(OWN_NAMESPACE), open('/proc/self/ns/mnt')));
  });
});

t.test('isNamespaceAt tells whether a path still leads to a namespace, and leaves no descriptor open', async (t) => {
  const own = openNamespace(OWN_NAMESPACE);
  t.teardown(() => own.close());
  const before = readdirSync('/proc/self/fd').length;
  t.ok(isNamespaceAt(`/proc/${process.pid}/ns/net`, own));
  t.notOk(isNamespaceAt('/proc/self/ns/mnt', own));
  t.throws(() => isNamespaceAt('/proc/self/status', own), NamespaceError);
  t.equal(readdirSync('/proc/self/fd').length, before);
});

t.test('isNamespace tells a path that leads to one from others, and leaves no descriptor open', async (t) => {
  const before = readdirSync('/proc/self/fd').length;
  t.ok(isNamespace(OWN_NAMESPACE));
  for (const path of ['/proc/self/status', '/nowhere', '/proc/self/status/net']) t.notOk(isNamespace(path), path);
  t.equal(readdirSync('/proc/self/fd').length, before);
});

t.test('a namespace without its name lives on while it is open', { skip: noNamespaces }, async (t) => {
  const name = `wm-${process.pid}-gone`;
  run('ip', ['netns', 'add', name]);
  const namespace = openNamespace(`/run/netns/${name}`);
  t.teardown(() => namespace.close());
  run('ip', ['netns', 'del', name]);
  t.strictSame(problemOf(t, `/run/netns/${name}`).problem, 'does not exist');
  RouteSocket.open(namespace).close();
});

t.test(
  'the file of a namespace that was unmounted, as a crash leaves it, is not a namespace',
  { skip: noNamespaces },
  async (t) => {
    const name = `wm-${process.pid}-stale`;
    run('ip', ['netns', 'add', name]);
    t.teardown(() => spawnSync('ip', ['netns', 'del', name]));
    run('umount', [`/run/netns/${name}`]);
    t.equal(problemOf(t, `/run/netns/${name}`).problem, 'is not a namespace');
  },
);

function problemOf(t: Tap, path: string): { path: string; problem: NamespaceProblem } {
  const error = t.throws(() => openNamespace(path), NamespaceError) as NamespaceError;
  return { path: error.path, problem: error.problem };
}

type Tap = Pick<typeof import('tap').default, 'throws'>;
