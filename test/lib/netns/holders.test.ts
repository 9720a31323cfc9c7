import * as fs from 'node:fs';
import { readlinkSync, statSync } from 'node:fs';
import type { Test } from 'tap';
import { type Breathe, type Held, heldNamespaces } from '../../../lib/netns/holders.ts';
import { scratchNamespace } from '../../support/namespaces/namespace.ts';
import { withOwnProcesses } from '../../support/namespaces/own-processes.ts';

// Which namespaces it finds is in test/lib/change/gone-namespaces.test.ts.

/** What is read at a path: names, a text, or the code of an error. */
type Tree = { readonly [path: string]: string | readonly string[] };

/** A process in a namespace, with a thread, a file, a namespace that is open, and one that is not mounted any more. */
function processOf(path: string, namespace: string, mounts: string): Tree {
  const of = (task: string) => ({
    [`${task}/ns/net`]: namespace,
    [`${task}/ns/mnt`]: 'mnt:[1]',
    [`${task}/root`]: '/',
  });
  return {
    ...{ ...of(path), [`${path}/mountinfo`]: mounts, [`${path}/task`]: ['7'], ...of(`${path}/task/7`) },
    ...{ [`${path}/fd`]: ['2', '3', '4', '5'], [`${path}/fd/2`]: '/dev/null', [`${path}/fd/3`]: 'net:[7]' },
    ...{ [`${path}/fd/4`]: '/', [`${path}/fd/4 stat`]: '4 8', [`${path}/fd/5`]: '/', [`${path}/fd/5 stat`]: '3 9' },
  };
}

const openIn = (path: string) => [`net:[7] ${path}/fd/3`, `net:[8] ${path}/fd/4`];

/** The namespaces that are held where the files of /proc are these; that of namespaces is device 4. */
async function heldIn(t: Test, tree: Tree, breathe: Breathe = async () => undefined): Promise<string[]> {
  const read = (path: string) => {
    const found = tree[path] ?? 'ENOENT';
    if (typeof found !== 'string' || !/^E[A-Z]+$/.test(found)) return found;
    throw Object.assign(new Error(found), { code: found });
  };
  const statSync = (path: string) => {
    const [dev, ino] = (path === '/proc/thread-self/ns/net' ? '4 5' : String(read(`${path} stat`)))
      .split(' ')
      .map(Number);
    return { dev, ino };
  };
  const { heldNamespaces: heldThere } = await t.mockImport<typeof import('../../../lib/netns/holders.ts')>(
    '../../../lib/netns/holders.ts',
    { 'node:fs': { ...fs, readdirSync: read, readlinkSync: read, readFileSync: read, statSync } },
  );
  const held: string[] = [];
  for await (const { name, path, isMount } of heldThere(breathe))
    held.push(`${name} ${path}${isMount ? ' mounted' : ''}`);
  return held;
}

await withOwnProcesses(import.meta.filename, async (t) => {
  await t.test(
    'others have a turn after each process in each of the four searches, and every 500 descriptors',
    async (t) => {
      const turnsWith = async (descriptors: number) => {
        const numbers = Array.from({ length: descriptors }, (_, fd) => String(fd));
        const tree: Tree = {
          '/proc': ['1', 'self', '2', '3'],
          ...processOf('/proc/1', 'net:[5]', ''),
          ...processOf('/proc/2', 'net:[5]', ''),
          ...processOf('/proc/3', 'net:[5]', ''),
          '/proc/2/fd': numbers,
          ...Object.fromEntries(numbers.map((fd) => [`/proc/2/fd/${fd}`, '/dev/null'])),
        };
        let turns = 0;
        await heldIn(t, tree, async () => void turns++);
        return turns;
      };
      t.strictSame(
        [await turnsWith(1), await turnsWith(500), await turnsWith(501), await turnsWith(1001)],
        [12, 12, 13, 14],
      );
    },
  );

  await t.test('a mount is told from what a process is in, and both are this namespace', async (t) => {
    const held: Held[] = [];
    const own = readlinkSync('/proc/self/ns/net');
    for await (const one of heldNamespaces(async () => undefined)) if (one.name === own) held.push(one);
    t.ok(held.length > 0);
    for (const { path, isMount } of held) t.equal(isMount, !/\/(ns\/net|fd\/\d+)$/.test(path), path);
    t.ok(held.some(({ isMount }) => !isMount));
  });

  // Of processes that end while they are looked at, the kernel tells in several ways.
  await t.test('what ends meanwhile holds nothing; who may not be inspected is an error', async (t) => {
    const mounts = '1 1 0:4 net:[6] /run/a\\040b rw - nsfs nsfs rw\n2 1 0:5 / /proc rw - proc proc rw\n';
    const whole: Tree = {
      '/proc': ['1', 'self', '2'],
      ...processOf('/proc/1', 'net:[5]', mounts),
      ...processOf('/proc/2', 'net:[5]', mounts),
    };
    const first = ['net:[5] /proc/1/ns/net', 'net:[5] /proc/2/ns/net'];
    const threads = [1, 2].map((id) => `net:[5] /proc/${id}/task/7/ns/net`);
    const mounted = (task: string) => `net:[6] ${task}/root/run/a b mounted`;
    t.strictSame(await heldIn(t, whole), [
      ...first,
      mounted('/proc/1'),
      ...threads,
      ...openIn('/proc/1'),
      ...openIn('/proc/2'),
    ]);
    for (const code of ['ENOENT', 'ESRCH', 'EINVAL']) {
      // The next one that sees the same mounts may live longer.
      t.strictSame(await heldIn(t, { ...whole, '/proc/1/mountinfo': code }), [
        ...[...first, mounted('/proc/2'), ...threads, ...openIn('/proc/1'), ...openIn('/proc/2')],
      ]);
      for (const path of ['/proc/1/ns/mnt', '/proc/1/root'])
        t.ok((await heldIn(t, { ...whole, [path]: code })).includes(mounted('/proc/2')), `${path} ${code}`);
      t.strictSame((await heldIn(t, { ...whole, '/proc/1/ns/net': code }))[0], first[1]);
      t.notOk((await heldIn(t, { ...whole, '/proc/1/task': code })).includes(threads[0] ?? ''));
      t.notOk((await heldIn(t, { ...whole, '/proc/1/fd': code })).some((held) => openIn('/proc/1').includes(held)));
      t.notOk((await heldIn(t, { ...whole, '/proc/1/fd/4 stat': code })).includes('net:[8] /proc/1/fd/4'));
    }
    for (const path of Object.keys(whole).filter((path) => !path.startsWith('/proc/2')))
      await t.rejects(
        heldIn(t, { ...whole, [path]: 'EACCES' }),
        { name: 'NamespaceError', message: / cannot be opened$/ },
        path,
      );
  });

  await t.test('where a namespace is mounted, that is a mount of it', async (t) => {
    const { path } = scratchNamespace(t);
    const name = `net:[${statSync(path).ino}]`;
    const held: Held[] = [];
    for await (const one of heldNamespaces(async () => undefined)) if (one.name === name) held.push(one);
    t.ok(held.length > 0);
    for (const one of held) t.match(one, { path: new RegExp(`/root${path}$`), isMount: true });
  });
});
