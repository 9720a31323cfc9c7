import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { nativeSockets } from '../../../lib/native/native.ts';
import { listLinks } from '../../../lib/netlink/link.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';
import { noNamespaces, run, scratchNamespace, works } from '../../support/namespaces/namespace.ts';
import { socketIn } from '../../support/namespaces/transport.ts';

const { openSocket } = nativeSockets();

t.test('openSocket', { skip: noNamespaces }, async (t) => {
  const pod = scratchNamespace(t);
  pod.ip('link add only-here type bridge');

  t.test('opens the socket in the target namespace, and the process stays in its own', async (t) => {
    const before = ownNamespaces();
    const socket = socketIn(t, pod);
    t.strictSame(ownNamespaces(), before);
    t.not(readlinkSync('/proc/thread-self/ns/net'), `net:[${inodeOf(pod.path)}]`);
    t.strictSame(
      listLinks(socket).map(({ name }) => name),
      ['lo', 'only-here'],
    );
    t.strictSame(ownNamespaces(), before);
  });

  t.test('leaves every thread of the process in its own namespace, called from a worker too', async (t) => {
    const before = readlinkSync('/proc/self/ns/net');
    const module = new URL('../../../lib/native/native.ts', import.meta.url).href;
    const worker = new Worker(
      `const { openSync, readlinkSync } = require('node:fs');
       const { parentPort } = require('node:worker_threads');
       import(${JSON.stringify(module)}).then(({ nativeSockets }) => {
         const target = openSync(${JSON.stringify(pod.path)});
         for (let i = 0; i < 50; i++) require('node:fs').closeSync(nativeSockets().openSocket(target).fd);
         require('node:fs').closeSync(target);
         parentPort.postMessage(readlinkSync('/proc/thread-self/ns/net'));
       });`,
      // Descriptors that the addon opens are not known to Node.js, which would warn when they are closed.
      { eval: true, trackUnmanagedFds: false },
    );
    t.equal(await new Promise((resolve) => worker.once('message', resolve)), before);
    await worker.terminate();
    const threads = readdirSync('/proc/self/task').map((id) => readlinkSync(`/proc/self/task/${id}/ns/net`));
    t.ok(threads.length > 1);
    t.strictSame([...new Set(threads)], [before]);
  });

  t.test('leaks no descriptor in 1,000 opens, and none in 1,000 refusals', async (t) => {
    const namespace = openNamespace(pod.path);
    const other = openNamespace('/proc/self/ns/mnt');
    const before = descriptors();
    for (let i = 0; i < 1000; i++) closeSync(openSocket(namespace.fd).fd);
    t.equal(descriptors(), before);
    for (let i = 0; i < 1000; i++) t.match(refusalOf(other.fd), { syscall: 'setns' });
    t.equal(descriptors(), before);
    const sockets = Array.from({ length: 100 }, () => RouteSocket.open(namespace));
    t.equal(descriptors(), before + 100);
    for (const socket of sockets) socket.close();
    t.equal(descriptors(), before);
    namespace.close();
    other.close();
  });

  t.test('returns a descriptor of a socket that a child process does not inherit', async (t) => {
    const namespace = openNamespace(pod.path);
    const { fd } = openSocket(namespace.fd);
    t.ok(fstatSync(fd).isSocket());
    const flags = /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
    // O_CLOEXEC is 02000000 (fcntl.h).
    t.ok((Number.parseInt(flags ?? '', 8) & 0o2000000) !== 0);
    closeSync(fd);
    namespace.close();
  });

  t.test('gives a namespace one cookie, and another namespace another', async (t) => {
    const other = scratchNamespace(t);
    const cookies = [pod, pod, other].map((scratch) => socketIn(t, scratch).namespaceCookie);
    t.equal(cookies[0], cookies[1]);
    t.not(cookies[0], cookies[2]);
    t.ok(cookies.every((cookie) => cookie > 0n));
  });
});

const noSetpriv = noNamespaces || (works('setpriv', ['--version']) ? false : 'needs setpriv');

t.test('without capabilities, openSocket serves its own namespace and no other', { skip: noSetpriv }, async (t) => {
  const { path } = scratchNamespace(t);
  const module = new URL('../../../lib/native/native.ts', import.meta.url).href;
  const script = `
    import { openSync } from 'node:fs';
    import { nativeSockets } from ${JSON.stringify(module)};
    for (const path of ['/proc/self/ns/net', ${JSON.stringify(path)}]) {
      try {
        console.log(typeof nativeSockets().openSocket(openSync(path)).fd);
      } catch ({ message }) {
        console.log(message);
      }
    }`;
  const none = ['--bounding-set=-all', '--inh-caps=-all'];
  const printed = run('setpriv', [...none, process.execPath, '--input-type=module', '--eval', script]);
  t.equal(printed, 'number\nsetns: Operation not permitted\n');
});

t.test(
  'openSocket throws errno and system call for a file that is not a namespace, and stays in its own',
  async (t) => {
    const before = ownNamespaces();
    const file = openSync('/proc/self/status', 'r');
    t.teardown(() => closeSync(file));
    t.match(refusalOf(file), { syscall: 'setns', errno: 22, message: 'setns: Invalid argument' });
    t.match(refusalOf(-1), { syscall: 'fcntl', errno: 9 });
    t.match(refusalOf(999_999), { syscall: 'fcntl', errno: 9 });
    t.strictSame(ownNamespaces(), before);
  },
);

t.test('openSocket throws TypeError for what is no descriptor', async (t) => {
  const wrong = openSocket as unknown as (...args: unknown[]) => unknown;
  for (const args of [[], ['3'], [null], [{}], [3n]]) t.throws(() => wrong(...args), TypeError);
});

t.test('the addon is loaded once', async (t) => {
  t.equal(nativeSockets(), nativeSockets());
});

function refusalOf(fd: number): unknown {
  try {
    return openSocket(fd);
  } catch (error) {
    return error;
  }
}

function ownNamespaces(): string[] {
  return ['/proc/self/ns/net', '/proc/thread-self/ns/net'].map((path) => readlinkSync(path));
}

function inodeOf(path: string): bigint {
  const namespace = openNamespace(path);
  namespace.close();
  return namespace.inode;
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
