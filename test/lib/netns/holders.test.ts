import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { type Held, heldNamespaces } from '../../../lib/netns/holders.ts';
import { scratchNamespace } from '../../support/namespaces/namespace.ts';
import { withOwnProcesses } from '../../support/namespaces/own-processes.ts';

// Which namespaces it finds is in test/lib/change/gone-namespaces.test.ts.

const processes = () => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length;

await withOwnProcesses(import.meta.filename, async (t) => {
  await t.test('others have a turn after every 500 descriptors of a process', async (t) => {
    const nothing = openSync('/dev/null', 'r');
    t.teardown(() => closeSync(nothing));
    const turnsWith = async (descriptors: number) => {
      const holder = spawn('sleep', ['1000'], { stdio: Array(descriptors).fill(nothing) });
      let turns = 0;
      for await (const _ of heldNamespaces(async () => void turns++));
      const all = processes();
      holder.kill('SIGKILL');
      await once(holder, 'close');
      // One after each process in three searches, and in the fourth for each of the others.
      return turns - 3 * all - (all - 1);
    };
    t.strictSame([await turnsWith(500), await turnsWith(501)], [1, 2]);
  });

  await t.test('others have a turn after each process, in each of the four searches', async (t) => {
    const sleepers = Array.from({ length: 5 }, () => spawn('sleep', ['1000'], { stdio: 'ignore' }));
    t.teardown(() => sleepers.map((sleeper) => sleeper.kill('SIGKILL')));
    let turns = 0;
    const breathe = async () => {
      turns += 1;
    };
    for await (const _ of heldNamespaces(breathe));
    t.ok(processes() > 5);
    t.equal(turns, 4 * processes());
  });

  await t.test('a mount is told from what a process is in, and both are this namespace', async (t) => {
    const held: Held[] = [];
    const own = readlinkSync('/proc/self/ns/net');
    for await (const one of heldNamespaces(async () => undefined)) if (one.name === own) held.push(one);
    t.ok(held.length > 0);
    for (const { path, isMount } of held) t.equal(isMount, !/\/(ns\/net|fd\/\d+)$/.test(path), path);
    t.ok(held.some(({ isMount }) => !isMount));
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
