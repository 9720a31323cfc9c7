import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { errorText } from '../../cli/main.ts';
import { CniError } from '../../lib/cni/errors.ts';
import { noNamespaces, scratchFolder, works } from '../support/namespaces/namespace.ts';
import { bundleOf } from '../support/plugins/call.ts';

const NOBODY = ['--reuid=65534', '--regid=65534', '--clear-groups'];
const noNobody = works('setpriv', [...NOBODY, 'test', '-r', bundleOf('waymark'), '-a', '-x', process.execPath])
  ? false
  : 'needs setpriv, and a checkout that others can read';

t.test('details that the message has already are not printed again', async (t) => {
  const short = new CniError(5, 'no folder: a is full; b is gone', { details: 'a is full\nb is gone' });
  t.equal(errorText(short, true), 'waymark: no folder: a is full; b is gone\n');
  const long = new CniError(7, 'wrong: a; … and 2 more', { details: 'a\nbeta\ngamma' });
  t.equal(errorText(long, true), 'waymark: wrong: a; … and 2 more\nbeta\ngamma\n');
});

t.test('a refusal for want of rights says what to do, but not to root', async (t) => {
  const denied = Object.assign(new Error("EACCES: permission denied, lstat '/x'"), { code: 'EACCES' });
  t.equal(errorText(denied, false), "waymark: EACCES: permission denied, lstat '/x'; run it as root\n");
  t.equal(errorText(denied, true), "waymark: EACCES: permission denied, lstat '/x'\n");
  t.match(errorText(new Error('/x: cannot be made (EPERM)'), false), /; run it as root\n$/);
  t.match(errorText(new Error('not possible', { cause: denied }), false), /; run it as root\n$/);
  t.equal(errorText(new Error('no such network'), false), 'waymark: no such network\n');
});

t.test('as somebody else than root, install and uninstall say so', { skip: noNamespaces || noNobody }, async (t) => {
  const folder = join(scratchFolder(t), 'closed');
  mkdirSync(folder, { mode: 0o700 });
  for (const args of [['--uninstall'], ['--once', '--from', folder]]) {
    const { stderr, status } = spawnSync(
      'setpriv',
      [...NOBODY, process.execPath, bundleOf('waymark'), 'install', '--bin-dir', join(folder, 'bin'), ...args],
      { encoding: 'utf8' },
    );
    t.equal(status, 1);
    t.match(stderr.split('\n', 1)[0], /^waymark: .*; run it as root$/);
  }
});

t.test('an unknown log level is refused with those that there are', async (t) => {
  const args = [bundleOf('waymark'), 'agent', '--log-level', 'loud', '--socket', '/nonexistent/agent.sock'];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  t.equal(status, 1);
  t.match(stderr, /argument 'loud' is invalid\. It must be silent, fatal, error, warn, info, debug, trace, panic, /);
  t.notMatch(stderr, /\n {4}at /);
});
