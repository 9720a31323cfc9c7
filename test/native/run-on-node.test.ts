import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { noNamespaces, run, scratchFolder, works } from '../support/namespaces/namespace.ts';
import { until } from '../support/until.ts';

const noCompiler = !works('cc', ['--version']) && 'needs a C compiler';

t.test('runs a program in another mount namespace', { skip: noNamespaces || noCompiler }, async (t) => {
  const folder = scratchFolder(t);
  run('bash', ['scripts/build-run-on-node.sh', folder]);
  const helper = join(folder, 'run-on-node');
  mkdirSync(join(folder, 'node'));
  writeFileSync(join(folder, 'node/plugin'), '#!/bin/sh\ncat; echo "$CNI_COMMAND"; pwd; exit 7\n', { mode: 0o755 });
  // A node of our own: a mount namespace in which /mnt is a folder that nobody else sees there.
  const node = spawn('unshare', [
    '--mount',
    'sh',
    '-c',
    `mount --bind ${folder}/node /mnt && echo up && exec sleep 1000`,
  ]);
  t.teardown(() => node.kill('SIGKILL'));
  await new Promise((resolve) => node.stdout.once('data', resolve));
  const mounts = `/proc/${node.pid}/ns/mnt`;
  const call = (...args: string[]) =>
    spawnSync(helper, args, { encoding: 'utf8', input: 'in\n', env: { PATH: process.env.PATH, CNI_COMMAND: 'DEL' } });

  const { status, stdout } = call(mounts, '/mnt/plugin');
  t.strictSame({ status, stdout }, { status: 7, stdout: 'in\nDEL\n/\n' });
  t.match(
    call('/proc/self/ns/mnt', '/mnt/plugin'),
    { status: 127, stderr: /\/mnt\/plugin: No such file/ },
    'it is not here',
  );
  t.match(call('/nowhere', '/mnt/plugin'), { status: 127, stderr: /\/nowhere: No such file/ });
  t.match(call(join(folder, 'run-on-node'), '/mnt/plugin'), { status: 127, stderr: /setns/ });
  t.match(call(mounts), { status: 127, stderr: /usage/ });

  const pidFile = join(folder, 'node/pid');
  writeFileSync(join(folder, 'node/slow'), '#!/bin/sh\necho $$ >/mnt/pid\nexec sleep 1000\n', { mode: 0o755 });
  const parent = spawn('sh', ['-c', `${helper} ${mounts} /mnt/slow; true`], { env: { PATH: process.env.PATH } });
  const pid = () => {
    try {
      return readFileSync(pidFile, 'utf8').trim();
    } catch {
      return '';
    }
  };
  await until(() => pid() !== '');
  parent.kill('SIGKILL');
  // What has ended and waits for its parent to notice has no command.
  const isGone = () => {
    try {
      return readFileSync(`/proc/${pid()}/cmdline`, 'utf8') === '';
    } catch {
      return true;
    }
  };
  await until(isGone, 'a plugin outlives the agent that ran it');
});
