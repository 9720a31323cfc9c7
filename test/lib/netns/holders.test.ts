import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { heldNamespaces } from '../../../lib/netns/holders.ts';
import { withOwnProcesses } from '../../support/namespaces/own-processes.ts';

// Which namespaces it finds is in test/lib/change/gone-namespaces.test.ts.

const processes = () => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length;

await withOwnProcesses(import.meta.filename, async (t) => {
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
});
