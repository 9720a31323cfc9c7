import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { limitedRun } from '../../../lib/runtime/limited.ts';
import { until } from '../../support/until.ts';

const ENV = { PATH: process.env.PATH };

function script(t: Test, text: string): string {
  const path = join(t.testdir(), 'plugin');
  writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return path;
}

/** The processes whose environment has this variable. */
function processesWith(variable: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'latin1').includes(variable);
    } catch {
      return false;
    }
  });
}

t.test('hands over input and environment, and reports how the plugin ended', async (t) => {
  const said: string[] = [];
  const run = limitedRun({ deadlineMs: 20_000, said: (_, text) => said.push(text) });
  const path = script(t, 'cat; echo "$CNI_COMMAND"; pwd; echo careful >&2; exit 3');
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  t.strictSame(await run(path, { ...ENV, CNI_COMMAND: 'ADD' }, '{}\n'), { code: 3, stdout: '{}\nADD\n/\n' });
  t.strictSame(said, ['careful']);
  t.strictSame(timers(), before, 'nothing waits for what has ended');
  t.strictSame(await run(script(t, 'kill -9 $$'), ENV, ''), { code: 'SIGKILL', stdout: '' });
  await t.rejects(run('/nowhere/plugin', ENV, ''), { code: 'ENOENT' });
});

t.test('runs it through another program', async (t) => {
  const run = limitedRun({ deadlineMs: 20_000, through: ['/usr/bin/env', 'VIA=env'] });
  t.strictSame(await run(script(t, 'echo $VIA'), ENV, ''), { code: 0, stdout: 'env\n' });
});

t.test('kills what runs too long, with all that it started', async (t) => {
  const run = limitedRun({ deadlineMs: 300 });
  const mark = `WAYMARK_TEST=${process.pid}-hangs`;
  const path = script(t, 'while :; do sleep 1000 & sleep 0.01; done');
  const [name = '', value = ''] = mark.split('=');
  await t.rejects(run(path, { ...ENV, [name]: value }, ''), {
    name: 'RuntimeError',
    message: /did not end within 0\.3 s/,
  });
  await until(() => processesWith(mark).length === 0, 'its children go on');
});

t.test('does not wait for what a plugin left behind with its output open, and lets it run', async (t) => {
  // It would be an error if it waited.
  const said: string[] = [];
  const run = limitedRun({ deadlineMs: 30_000, said: (_, text) => said.push(text) });
  const { code, stdout } = await run(script(t, 'echo careful >&2; sleep 60 & echo $!'), ENV, '');
  const left = Number(stdout);
  t.equal(code, 0);
  // Killed, it would have no command line any more.
  t.match(readFileSync(`/proc/${left}/cmdline`, 'latin1'), /^sleep/);
  process.kill(left, 'SIGKILL');
  // Its streams are closed by then.
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  t.strictSame(said, ['careful'], 'which is said once');
});

t.test('ends what prints without end', async (t) => {
  const run = limitedRun({ deadlineMs: 60_000 });
  await t.rejects(run(script(t, 'yes'), ENV, ''), /printed more than 8 MiB/);
  const said: string[] = [];
  const quiet = limitedRun({ deadlineMs: 60_000, said: (_, text) => said.push(text) });
  await quiet(script(t, 'yes | head -c 1000000 >&2'), ENV, '');
  t.equal(said[0]?.length, (16 << 10) - 1);
  const most = script(t, `head -c ${8 << 20} /dev/zero; echo x >&2`);
  t.equal((await quiet(most, ENV, '')).stdout.length, 8 << 20);
  await t.rejects(quiet(script(t, `echo once >&2; head -c ${(8 << 20) + 1} /dev/zero`), ENV, ''), /more than 8 MiB/);
  t.strictSame(said.slice(1), ['x', 'once']);
});

t.test('an error, not the end of the process, where no file descriptor is left', async (t) => {
  const source = (file: string) => JSON.stringify(join(import.meta.dirname, '../../../lib/runtime', file));
  const program = `
    import { openSync } from 'node:fs';
    import { nativeSockets } from ${source('../native/native.ts')};
    import { executePlugin } from ${source('execute.ts')};
    import { limitedRun } from ${source('limited.ts')};
    const said = [];
    const say = (error) => said.push(error.message);
    nativeSockets();
    try { for (;;) openSync('/dev/null'); } catch {}
    await executePlugin('/bin/true', 'ADD', {}, {}).catch(say);
    await executePlugin('/bin/true', 'ADD', {}, {}, limitedRun({ deadlineMs: 5000 })).catch(say);
    await new Promise((resolve) => setTimeout(resolve, 10));
    process.stdout.write(JSON.stringify(said));
  `;
  const command = 'ulimit -n 100; exec "$0" --no-warnings --input-type=module -e "$1"';
  const { stdout, stderr } = spawnSync('sh', ['-c', command, process.execPath, program], { env: ENV });
  const refused = /\/bin\/true cannot be run: .*EMFILE/;
  t.match(JSON.parse(stdout.toString() || '[]'), [refused, refused], stderr.toString());
});
