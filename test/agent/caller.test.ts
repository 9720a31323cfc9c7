import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, realpathSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { callerOf, pathWithin } from '../../agent/caller.ts';
import { descriptorsOf, until } from '../support/agent/agent.ts';
import { enclosed, furnish, noMounts, noStaticBusybox } from '../support/namespaces/enclosed.ts';
import { noNamespaces, scratchFolder, scratchNamespace } from '../support/namespaces/namespace.ts';

type Tree = { [path: string]: string };

/** A root with links (`->` and where they lead to) and files (what they hold). */
function rootWith(t: Test, tree: Tree): string {
  const root = join(realpathSync(scratchFolder(t)), 'root');
  for (const [path, what] of Object.entries(tree)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    if (what.startsWith('->')) symlinkSync(what.slice(2), join(root, path));
    else writeFileSync(join(root, path), what);
  }
  return root;
}

/** A process that does nothing, until the test ends. */
async function idle(t: Test, command: string[]): Promise<ChildProcess & { pid: number }> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const pid = child.pid ?? -1;
  await until(() => /^(.busybox\0)?sleep\0/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8')));
  return Object.assign(child, { pid });
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

t.test('a path within a root is what the process in it would find', async (t) => {
  const root = rootWith(t, {
    'run/netns/pod': 'pod',
    'var/run': '->/run',
    'var/lib': '->../run',
    'var/deep/link': '->../../../../../run/netns',
    absolute: '->/var/run/netns/pod',
    twice: '->/absolute',
    out: '->/../../../../run',
    dangling: '->/nothing/here',
  });
  const cases: [path: string, found: string][] = [
    ['/run/netns/pod', '/run/netns/pod'],
    ['//run/./netns//pod', '/run/netns/pod'],
    ['/var/run/netns/pod', '/run/netns/pod'],
    ['/var/lib/netns/pod', '/run/netns/pod'],
    ['/var/deep/link/pod', '/run/netns/pod'],
    ['/absolute', '/run/netns/pod'],
    ['/twice', '/run/netns/pod'],
    ['/out/netns/../netns/pod', '/run/netns/pod'],
    ['/../../../run/netns/pod', '/run/netns/pod'],
    ['/var/run/../absolute', '/run/netns/pod'],
    ['/dangling', '/nothing/here'],
    ['/dangling/file', '/nothing/here/file'],
    ['/run/netns/missing', '/run/netns/missing'],
    ['/run/netns/pod/file', '/run/netns/pod/file'],
    ['/missing/a/b', '/missing/a/b'],
    ['/', ''],
    ['/..', ''],
  ];
  for (const [path, found] of cases) t.equal(pathWithin(root, path, process.pid), `${root}${found}`, path);
  t.equal(pathWithin('', '/', process.pid), '/');
});

t.test('40 links are followed, and not one more', async (t) => {
  const chain = (length: number) =>
    Object.fromEntries(Array.from({ length }, (_, i) => [`${i + 1}`, i === 0 ? '->/end' : `->/${i}`]));
  const root = rootWith(t, { ...chain(41), end: 'end', loop: '->/loop', a: '->b', b: '->/a' });
  t.equal(pathWithin(root, '/40', process.pid), join(root, 'end'));
  for (const path of ['/41', '/loop', '/a', '/a/file'])
    t.throws(() => pathWithin(root, path, process.pid), { code: 'ELOOP', message: `${path}: too many symbolic links` });
});

t.test('the kernel finds the same in that root, whatever links there are', { skip: noStaticBusybox }, async (t) => {
  const names = ['a', 'b', 'c'];
  const part = fc.constantFrom(...names, ...names, '..', '.');
  const path = fc.tuple(
    fc.constantFrom('', '/'),
    fc.array(part, { minLength: 1, maxLength: 4 }),
    fc.constantFrom('', '/'),
  );
  const text = path.map(([start, parts, end]) => `${start}${parts.join('/')}${end}`);
  const place = fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
  const tree = fc.dictionary(place, fc.option(text, { nil: undefined }), { minKeys: 4, maxKeys: 14 });
  fc.assert(
    fc.property(tree, fc.array(text, { minLength: 10, maxLength: 20 }), (links, paths) => {
      const root = join(realpathSync(scratchFolder(t)), 'root');
      mkdirSync(root);
      furnish(root);
      for (const [at, target] of Object.entries(links).sort()) {
        try {
          // What an earlier entry has in the way makes this one no part of the tree.
          mkdirSync(join(root, dirname(at)), { recursive: true });
          if (target === undefined) writeFileSync(join(root, at), at);
          else symlinkSync(target, join(root, at));
        } catch {}
      }
      const script = paths.map((one) => `/busybox cat "/${one}" 2>/dev/null || echo -n none; echo -n ';'`).join('\n');
      const { stdout } = spawnSync('chroot', [root, '/busybox', 'sh', '-c', script], { encoding: 'utf8' });
      const ours = paths.map((one) => {
        try {
          const found = pathWithin(root, `/${one}`, process.pid);
          if (!`${found}/`.startsWith(`${root}/`)) throw new Error(`${found} is outside`);
          // A slash at the end is the kernel's to refuse.
          return one.endsWith('/') ? 'none' : readFileSync(found, 'utf8');
        } catch (error) {
          if ((error as Error).message.endsWith('is outside')) throw error;
          return 'none';
        }
      });
      // The kernel does not get past what is not there (`missing/..`): what it finds is what counts.
      const kernels = stdout.split(';').slice(0, -1);
      t.equal(kernels.length, paths.length);
      for (const [index, found] of kernels.entries()) {
        if (found !== 'none' && found !== ours[index]) throw new Error(`${paths[index]}: ${found}, not ${ours[index]}`);
      }
    }),
    { numRuns: 40 },
  );
});

t.test('what depends on who looks is resolved as the process resolves it', { skip: noNamespaces }, async (t) => {
  const node = scratchNamespace(t);
  const { pid } = await idle(t, ['nsenter', `--net=${node.path}`, 'sleep', '1000']);
  const inode = statSync(node.path).ino;
  t.not(statSync('/proc/self/ns/net').ino, inode);
  const { pathOf, close } = callerOf(pid);
  t.teardown(close);
  for (const path of ['/proc/self/ns/net', '/proc/thread-self/ns/net', '//proc/self/./ns/net', `/proc/${pid}/ns/net`])
    t.equal(statSync(pathOf(path)).ino, inode, path);
  t.equal(pathOf('/dev/stderr'), `/proc/${pid}/fd/2`);
  t.equal(pathOf('run/file'), `/proc/${pid}/cwd/run/file`, 'a relative path is from where it is');
  t.equal(pathOf('../file'), `/proc/${pid}/cwd/../file`);
  t.equal(pathOf('/run/netns/pod'), '/run/netns/pod');
});

t.test(
  'through a link of the kernel, another root is that one, and its absolute links are the caller’s',
  { skip: noStaticBusybox },
  async (t) => {
    const root = rootWith(t, { file: 'inner', link: '->/file' });
    furnish(root);
    const child = await idle(t, ['chroot', root, '/busybox', 'sleep', '1000']);
    const outer = rootWith(t, { file: 'outer' });
    t.equal(readFileSync(pathWithin('', `/proc/${child.pid}/root/file`, process.pid), 'utf8'), 'inner');
    symlinkSync(`/proc/${child.pid}/root/file`, join(outer, 'in'));
    t.equal(readFileSync(pathWithin('', join(outer, 'in'), process.pid), 'utf8'), 'inner');
    const { pathOf, asCallerSees, close } = callerOf(child.pid);
    t.teardown(close);
    t.equal(readFileSync(pathOf('/file'), 'utf8'), 'inner');
    t.equal(readFileSync(pathOf('/link'), 'utf8'), 'inner');
    t.equal(
      asCallerSees(`cannot open ${pathOf('/link')}: no`),
      'cannot open /file: no',
      'a message names it as the caller would',
    );
  },
);

t.test('a process in a mount namespace of its own has its own files', { skip: noMounts }, async (t) => {
  const place = await enclosed(
    t,
    'echo hers >$root/run/file; mkdir $root/run/ns; ln -s /run/ns $root/run/abs; echo in >$root/run/ns/x',
  );
  const { pathOf, close } = callerOf(place.pid);
  t.equal(readFileSync(pathOf('/run/file'), 'utf8'), 'hers\n');
  t.equal(readFileSync(pathOf('/var/run/file'), 'utf8'), 'hers\n', 'through an absolute link');
  t.equal(readFileSync(pathOf('/var/run/abs/x'), 'utf8'), 'in\n', 'through two');
  t.equal(
    statSync(pathOf(`/proc/${place.pid}/ns/mnt`)).ino,
    statSync(`/proc/${place.pid}/ns/mnt`).ino,
    'a namespace, within its root',
  );
  t.equal(statSync(pathOf('/proc/self/ns/mnt')).ino, statSync(`/proc/${place.pid}/ns/mnt`).ino);
  t.throws(() => readFileSync(pathOf('/run/missing')), { code: 'ENOENT' });
  process.kill(place.pid, 'SIGKILL');
  await until(() => callsOff(place.pid));
  t.equal(readFileSync(pathOf('/var/run/file'), 'utf8'), 'hers\n', 'also after it has ended');
  close();
  t.throws(() => readFileSync(pathOf('/var/run/file')));
});

t.test('the network namespace is the process’s, also after it has ended', { skip: noNamespaces }, async (t) => {
  const node = scratchNamespace(t);
  const child = await idle(t, ['nsenter', `--net=${node.path}`, 'sleep', '1000']);
  const { ownNamespace, close } = callerOf(child.pid);
  t.equal(statSync(ownNamespace).ino, statSync(node.path).ino);
  await kill(child);
  t.equal(statSync(ownNamespace).ino, statSync(node.path).ino);
  close();
});

t.test('no descriptor stays open, and a process that is gone is reported', { skip: noMounts }, async (t) => {
  const place = await enclosed(t, 'true');
  callerOf(process.pid).close();
  const before = descriptorsOf('self');
  for (let i = 0; i < 20; i++) {
    callerOf(process.pid).close();
    callerOf(place.pid).close();
    // Beyond the highest that the kernel gives to any process.
    t.throws(() => callerOf(1 << 23), { message: /does not exist/ });
  }
  t.equal(descriptorsOf('self'), before);
});

function callsOff(pid: number): boolean {
  try {
    callerOf(pid).close();
    return false;
  } catch {
    return true;
  }
}
