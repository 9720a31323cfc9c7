import { mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { VERSION } from '../../lib/version.ts';
import {
  ASK_VERSION,
  configOf,
  installed,
  isWhole,
  noSingle,
  shell,
  start,
  unpackedIn,
} from '../support/build/single.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { bundleOf, variables } from '../support/plugins/call.ts';

// The single-file executable under any name, with any environment and standard streams.

const skip = noSingle || noNamespaces;

t.test('the name that it is called by decides', { skip }, async (t) => {
  const folder = installed(t);
  const other = scratchFolder(t);
  const { stdout: answer } = start(process.execPath, ASK_VERSION, '', [bundleOf('static-route')]);
  const ways: [string, string, string, { cwd?: string; argv0?: string; path?: string }][] = [
    ['by relative path', './static-route', answer, { cwd: folder }],
    ['by relative path from elsewhere', `../${folder.split('/').at(-1)}/static-route`, answer, { cwd: other }],
    ['by PATH', 'static-route', answer, { path: folder }],
    ['as argv[0] says', join(folder, 'waymark'), answer, { argv0: 'static-route' }],
    ['as argv[0] says, whatever the file', join(folder, 'static-route'), '', { argv0: 'waymark' }],
  ];
  for (const [what, file, stdout, { path, ...options }] of ways) {
    const { code, ...ran } = start(file, { ...ASK_VERSION, ...(path && { PATH: path }) }, '', [], options);
    t.equal(ran.stdout, stdout, what);
    t.equal(code, stdout === '' ? 1 : 0, what);
  }
  symlinkSync(join(folder, 'waymark'), join(other, 'static-route'));
  symlinkSync(join(other, 'static-route'), join(other, 'seamless-gateway'));
  symlinkSync(join(folder, 'static-route'), join(other, 'waymark'));
  t.equal(start(join(other, 'static-route'), ASK_VERSION).stdout, answer, 'by symbolic link');
  t.match(start(join(other, 'seamless-gateway'), {}).stderr, 'CNI plugin seamless-gateway ', 'by a chain of them');
  t.equal(start(join(other, 'waymark'), {}, '', ['--version']).stdout, `${VERSION}\n`, 'by one to a plugin');
});

t.test('by symbolic link, the addon comes to lie beside the file, not beside the link', { skip }, async (t) => {
  const folder = installed(t);
  const other = scratchFolder(t);
  symlinkSync(join(folder, 'static-route'), join(other, 'static-route'));
  const config = configOf('static-route', join(scratchFolder(t), 'data'));
  t.match(start(join(other, 'static-route'), variables('STATUS', ''), config), { code: 0, stdout: '' });
  t.ok(isWhole(unpackedIn(folder)));
  t.strictSame(readdirSync(other), ['static-route']);
});

t.test('the environment', { skip }, async (t) => {
  const folder = installed(t);
  const file = join(folder, 'static-route');

  t.test('may be empty', async (t) => {
    t.match(start(file, {}), { code: 0, stdout: '', stderr: `CNI plugin static-route ${VERSION}\n` });
    t.match(start(join(folder, 'waymark'), {}, '', ['--version']), { code: 0, stdout: `${VERSION}\n` });
  });

  t.test('has no say in how the runtime works', async (t) => {
    const module = join(scratchFolder(t), 'module.cjs');
    writeFileSync(module, 'process.exit(42)');
    const plain = start(file, ASK_VERSION);
    for (const options of [`--require=${module}`, '--no-such-option', '--v8-options', '--stack-size=1']) {
      t.strictSame(start(file, { ...ASK_VERSION, NODE_OPTIONS: options }), plain, options);
    }
  });

  t.test('may name a folder that is gone, and the current one may be gone', async (t) => {
    const gone = mkdtempSync(join(scratchFolder(t), 'gone-'));
    const env = { ...ASK_VERSION, HOME: '/nowhere', TMPDIR: '/nowhere' };
    t.match(shell('cd "$1" && rmdir "$1" && exec "$0"', env, file, [gone]), { code: 0, stderr: '' });
  });
});

t.test('the standard streams', { skip }, async (t) => {
  const folder = installed(t);
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const file = join(folder, 'static-route');
  const routes = [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }];
  const ask = (verb: string, redirection: string, keys: object = { routes }) =>
    shell(`exec "$0" ${redirection}`, variables(verb, pod.path), file, [], configOf('static-route', dataDir, keys));

  t.test('stdin closed, or a folder: one error on stdout', async (t) => {
    for (const redirection of ['<&-', '</']) {
      const { code, stdout } = ask('ADD', redirection);
      t.equal(code, 1, redirection);
      t.match(JSON.parse(stdout).code, redirection === '</' ? 5 : 6);
    }
  });

  t.test('stdout closed: the journal is not written to in its place', async (t) => {
    t.match(ask('ADD', '>&-'), { signal: null, stdout: '' });
    const journal = readFileSync(join(dataDir, 'static-route', 'container-1-eth0.json'), 'utf8');
    t.match(JSON.parse(journal), { entries: [{}, { change: { op: 'add-route' } }] });
    t.match(ask('DEL', '>&-'), { code: 0, stdout: '' });
    t.strictSame(readdirSync(join(dataDir, 'static-route')), []);
  });

  t.test('stdout full: exit code 1 and a line on stderr', async (t) => {
    t.match(ask('ADD', '>/dev/full'), { code: 1, stderr: /cannot answer: ENOSPC/ });
    t.match(ask('DEL', '>/dev/full'), { code: 0 }, 'DEL has nothing to say');
    t.match(ask('ADD', '>/dev/full', { routes: 1 }), { code: 1, stderr: /cannot answer: ENOSPC/ });
    for (const args of [['--version'], ['--help']]) {
      const ran = shell('exec "$0" "$@" >/dev/full', {}, join(folder, 'waymark'), args);
      t.match(ran, { code: 1, stderr: /^waymark: ENOSPC/ }, args.join(' '));
      t.notMatch(ran.stderr, /\n\s+at /);
    }
  });

  t.test('stderr closed or full: the answer is the same', async (t) => {
    const plain = ask('ADD', '', { routes: 1 });
    t.match(JSON.parse(plain.stdout), { code: 7 });
    const closed = ask('ADD', '2>&-', { routes: 1 });
    t.strictSame([closed.code, closed.stdout], [1, plain.stdout], 'closed');
    const full = ask('ADD', '2>/dev/full', { routes: 1 });
    t.strictSame([full.code, full.stdout], [1, plain.stdout], 'full');
  });

  t.test('all closed: it does what it is asked to, without a crash', async (t) => {
    t.match(shell('exec "$0" <&- >&- 2>&-', ASK_VERSION, file), { signal: null, code: 0, stdout: '', stderr: '' });
  });
});
