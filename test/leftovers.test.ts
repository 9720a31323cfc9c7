import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { withOwnProcesses } from './support/namespaces/own-processes.ts';

/** A test file that makes a namespace and then does this; returns its process ID. */
function testThat(does: string): number | undefined {
  const script = `
    import t from 'tap';
    import { scratchNamespace } from './support/namespaces/namespace.ts';
    t.test('a test', async (t) => {
      scratchNamespace(t);
      ${does}
    });`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: join(import.meta.dirname),
    stdio: 'ignore',
  }).pid;
}

const namespacesOf = (pid: number | undefined) =>
  readdirSync('/run/netns').filter((name) => name.startsWith(`wm-${pid}-`));

await withOwnProcesses(import.meta.filename, async (t) => {
  await t.test(
    'the namespace of a test that is killed goes with the next, that of one that runs does not',
    async (t) => {
      const killed = testThat("process.kill(process.pid, 'SIGKILL');");
      t.equal(namespacesOf(killed).length, 1, 'nobody else can remove it');
      // As one of a test that runs.
      const running = `wm-${process.pid}-1`;
      spawnSync('ip', ['netns', 'add', running]);
      const ended = testThat('');
      t.strictSame(namespacesOf(killed), []);
      t.strictSame(namespacesOf(process.pid), [running]);
      t.strictSame(namespacesOf(ended), []);
    },
  );
});
