import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { changesFiles, pointsOf, traced } from '../support/build/file-calls.ts';
import { configOf, installed, isWhole, noSingle, start, unpackedIn } from '../support/build/single.ts';
import { scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';
import { noStrace } from '../support/plugins/killed.ts';

// What a call of the single-file executable writes, and what is left if it is killed meanwhile.

t.test('what a call writes', { skip: noSingle || noStrace }, async (t) => {
  const folder = installed(t);
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const config = configOf('static-route', dataDir, { routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }] });
  const file = join(folder, 'static-route');
  const writesOf = (verb: string) => traced(t, file, variables(verb, pod.path), config).filter(changesFiles);
  const journal = join(dataDir, 'static-route', 'container-1-eth0.json');

  t.test('VERSION: nothing, and it unpacks nothing', async (t) => {
    t.strictSame(writesOf('VERSION'), []);
    t.notOk(existsSync(join(folder, '.waymark')));
  });

  t.test('an error that needs no socket: nothing', async (t) => {
    t.strictSame(traced(t, file, variables('ADD', '/nowhere'), config).filter(changesFiles), []);
    t.notOk(existsSync(join(folder, '.waymark')));
  });

  t.test('the first: the addon, beside the executable', async (t) => {
    const paths = writesOf('STATUS').flatMap((line) => line.match(/"[^"]+"/g) ?? []);
    t.ok(paths.length > 0);
    t.strictSame(
      paths.filter((path) => !path.startsWith(`"${folder}/.waymark`) && !path.startsWith(`"${dataDir}`)),
      [],
    );
    t.ok(isWhole(unpackedIn(folder)));
  });

  const lock = join(dataDir, 'static-route', '.container-1-eth0.lock');
  const takesLock = new RegExp(`^openat\\(.*"${lock}", O_RDWR\\|O_CREAT`);
  const givesLock = new RegExp(`^unlink\\("${lock}"`);

  t.test('ADD: the lock, the journal by way of its temporary file, and nothing else', async (t) => {
    const lines = writesOf('ADD');
    t.equal(lines.length, 4, lines.join('\n'));
    t.match(lines, [
      takesLock,
      new RegExp(`^openat\\(.*"${dataDir}/static-route/\\.container-1-eth0\\.json\\.tmp"`),
      new RegExp(`^rename\\(.*"${journal}"`),
      givesLock,
    ]);
  });

  t.test('CHECK: nothing', async (t) => {
    t.strictSame(writesOf('CHECK'), []);
  });

  t.test('DEL: the journal goes', async (t) => {
    const lines = writesOf('DEL');
    t.equal(lines.length, 3, lines.join('\n'));
    t.match(lines, [takesLock, new RegExp(`^unlink\\("${journal}"`), givesLock]);
  });
});

t.test(
  'killed while it unpacks, it leaves nothing that disturbs the next call',
  { skip: noSingle || noStrace },
  async (t) => {
    const folder = installed(t);
    const dataDir = join(scratchFolder(t), 'data');
    const file = join(folder, 'static-route');
    const env = variables('STATUS', '');
    const config = configOf('static-route', dataDir);
    const points = pointsOf(traced(t, file, env, config), '/.waymark');
    t.match(new Set(points.map(([syscall]) => syscall)), new Set(['mkdir', 'openat', 'write', 'rename', 'rmdir']));
    for (const [syscall, nth] of points) {
      rmSync(join(folder, '.waymark'), { recursive: true });
      const inject = `inject=${syscall}:signal=SIGKILL:when=${nth}`;
      const options = ['-f', '-qqq', '-o', '/dev/null', '-e', `trace=${syscall}`, '-e', inject];
      const killed = start('strace', { PATH: process.env.PATH, ...env }, config, [...options, file]);
      t.equal(killed.signal, 'SIGKILL', `${syscall} number ${nth}`);
      t.match(start(file, env, config), { code: 0, stdout: '', stderr: '' });
      t.ok(
        readdirSync(join(folder, '.waymark')).every((build) => isWhole(join(folder, '.waymark', build, 'socket.node'))),
      );
    }
  },
);
