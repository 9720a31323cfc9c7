import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { readdirSync, readlinkSync } from 'node:fs';
import type { Test } from 'tap';
import { NamespaceFinder } from '../../../lib/inventory/namespaces.ts';
import { AddonError } from '../../../lib/native/errors.ts';
import { identityAt } from '../../support/namespaces/identity.ts';
import { run, scratchNamespace } from '../../support/namespaces/namespace.ts';
import { withOwnProcesses } from '../../support/namespaces/own-processes.ts';
import { until } from '../../support/until.ts';

const descriptors = () => readdirSync('/proc/self/fd').length;

/** Where the namespace with this identity is found; nothing stays open. */
async function found(finder: NamespaceFinder, identity: string, said?: string): Promise<string> {
  const before = descriptors();
  const where = await finder.find(identity, said);
  if (typeof where === 'string') return where;
  where.socket.close();
  if (descriptors() !== before) throw new Error('something is still open');
  return where.path;
}

function finderOf() {
  let turns = 0;
  const finder = new NamespaceFinder({ breathe: async () => void turns++ });
  return { finder, turns: () => turns };
}

const refuse = (path: string) => {
  throw Object.assign(new Error(path), { code: 'EACCES' });
};

/** A process in a namespace that has no other path. */
async function sleeperIn(t: Test, name: string): Promise<number> {
  const child = spawn('ip', ['netns', 'exec', name, 'sleep', '1000'], { stdio: 'ignore' });
  t.teardown(async () => {
    child.kill('SIGKILL');
    await once(child, 'close');
  });
  const pid = child.pid ?? 0;
  const own = readlinkSync('/proc/self/ns/net');
  await until(() => readlinkSync(`/proc/${pid}/ns/net`) !== own);
  return pid;
}

await withOwnProcesses(import.meta.filename, async (t) => {
  await t.test('where it is said to be, without a search', async (t) => {
    const pod = scratchNamespace(t);
    const { finder, turns } = finderOf();
    t.equal(await found(finder, identityAt(pod.path), pod.path), pod.path);
    t.equal(turns(), 0);
  });

  await t.test('where runtimes keep them, if another one has its path, or none is said', async (t) => {
    const [pod, other] = [scratchNamespace(t), scratchNamespace(t)];
    const { finder, turns } = finderOf();
    t.equal(await found(finder, identityAt(pod.path), other.path), pod.path);
    const searched = turns();
    t.ok(searched >= 3, 'both, and that of the processes');
    for (const said of [undefined, '', '/nowhere'])
      t.equal(await found(finder, identityAt(other.path), said), other.path);
    t.equal(turns(), searched, 'one search is enough');
  });

  await t.test('where a process is in it', async (t) => {
    const pod = scratchNamespace(t);
    const identity = identityAt(pod.path);
    const pid = await sleeperIn(t, pod.name);
    run('umount', [pod.path]);
    t.equal(await found(finderOf().finder, identity), `/proc/${pid}/ns/net`);
    t.equal(await found(finderOf().finder, identityAt('/proc/self/ns/net')), '/proc/1/ns/net');
  });

  await t.test('nowhere: it is gone', async (t) => {
    const pod = scratchNamespace(t);
    const identity = identityAt(pod.path);
    pod.remove();
    for (const said of [undefined, pod.path]) t.equal(await found(finderOf().finder, identity, said), 'gone');
  });

  await t.test(
    'nor is what a process may hold that may not be inspected; one that has ended holds nothing',
    async (t) => {
      const others: [stat: (path: string) => void, isSaid: boolean, where: string][] = [
        [() => undefined, false, 'gone'],
        [refuse, false, 'unknown'],
        [refuse, true, 'gone'],
      ];
      for (const [stat, isSaid, where] of others) {
        const readdirSync = (path: string) => [...fs.readdirSync(path), ...(path === '/proc' ? ['4194999'] : [])];
        const statSync = (path: string, options: fs.StatSyncOptions) => {
          if (path.startsWith('/proc/4194999/')) stat(path);
          return fs.statSync(path, options);
        };
        const { NamespaceFinder: Finder } = await t.mockImport<typeof import('../../../lib/inventory/namespaces.ts')>(
          '../../../lib/inventory/namespaces.ts',
          { 'node:fs': { ...fs, readdirSync, statSync } },
        );
        const finder = new Finder({ breathe: async () => undefined });
        t.equal(await finder.find('no such identity', isSaid ? '/nowhere' : undefined), where);
      }
    },
  );

  await t.test('what was held when it was looked for, and is not any more, is not known', async (t) => {
    const pod = scratchNamespace(t);
    const { finder } = finderOf();
    const identity = identityAt(pod.path);
    t.equal(await found(finder, identity), pod.path);
    pod.remove();
    t.equal(await found(finder, identity), 'unknown');
  });

  await t.test('that no socket can be opened at all is an error', async (t) => {
    const pod = scratchNamespace(t);
    const open = () => {
      throw new AddonError(new Error('socket.node: no such file'));
    };
    const { NamespaceFinder: Finder } = await t.mockImport<typeof import('../../../lib/inventory/namespaces.ts')>(
      '../../../lib/inventory/namespaces.ts',
      { '../../../lib/netlink/socket.ts': { RouteSocket: { open } } },
    );
    const finder = new Finder({ breathe: async () => undefined });
    await t.rejects(finder.find('any', pod.path), { name: 'AddonError' });
  });
});
