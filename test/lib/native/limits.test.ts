import assert from 'node:assert';
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';
import t from 'tap';
import { nativeSockets } from '../../../lib/native/native.ts';
import { works } from '../../support/namespaces/namespace.ts';

// What is left of a process that cannot be started because the system has no room for it.

const MODULE = new URL('../../../lib/native/native.ts', import.meta.url).href;
const EMFILE = 24;
const EAGAIN = 11;

const TRIED = `
  import { spawnSync } from 'node:child_process';
  import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
  import { nativeSockets } from ${JSON.stringify(MODULE)};
  const native = nativeSockets();
  const tried = () => {
    try {
      return native.startProcess(['/bin/sleep', '1000'], [], () => undefined, -1).pid > 0;
    } catch ({ syscall, errno }) {
      return [syscall, errno];
    }
  };`;

/** What a process prints, as JSON, that is started with these in front of it. */
function printed(under: readonly string[], script: string): unknown {
  const [command = '', ...args] = [...under, process.execPath, '--input-type=module', '-e', `${TRIED}${script}`];
  // What is left of a process may also keep ours from ending.
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 20_000 });
  if (status !== 0) throw new Error(`${status} ${stderr}`);
  return JSON.parse(stdout);
}

t.test('a process with fewer than six descriptors for its streams is refused, and gives them back', async (t) => {
  const script = `
    const fill = () => {
      const opened = [];
      try {
        for (;;) opened.push(openSync('/dev/null'));
      } catch {
        return opened;
      }
    };
    const opened = fill();
    const all = [0, 1, 2, 3, 4, 5].map((room) => {
      for (const fd of opened.splice(0, room)) closeSync(fd);
      const result = tried();
      const left = fill();
      opened.push(...left);
      return [...result, left.length];
    });
    console.log(JSON.stringify(all));`;
  const refused = [0, 1, 2, 3, 4, 5].map((room) => ['pipe2', EMFILE, room]);
  t.strictSame(printed(['sh', '-c', 'ulimit -n 64; exec "$@"', 'sh'], script), refused);
});

const noLimits =
  process.getuid?.() !== 0 ? 'needs root' : works('setpriv', ['--version']) ? false : 'needs setpriv and prlimit';

t.test('one that nobody could wait for is ended, and leaves nothing', { skip: noLimits }, async (t) => {
  const script = `
    const own = () => [readdirSync('/proc/self/fd').length, readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8')];
    const before = own();
    const room = readdirSync('/proc/self/task').length + 1;
    spawnSync('prlimit', ['--pid', process.pid, '--nproc=' + room]);
    console.log(JSON.stringify([tried(), ...own().map((now, index) => now === before[index])]));`;
  // A user whom nobody else is, and who can read what this one can: the limit is of all that a user runs.
  const only = '-all,+dac_read_search';
  const user = `--reuid=${randomInt(100_000, 2 ** 31)}`;
  const caps = [`--bounding-set=${only}`, `--inh-caps=${only}`, `--ambient-caps=${only}`];
  const under = ['setpriv', user, '--clear-groups', ...caps];
  t.strictSame(printed(under, script), [['uv_thread_create', EAGAIN], true, true]);
});

t.test('what a process was to be started with is let go of, whether it could be or not', async (t) => {
  const { startProcess } = nativeSockets();
  const long = 'x'.repeat(1 << 20);
  const wrong = 7 as unknown as string;
  const nothing = () => undefined;
  const cases: [argv: string[], environment: string[]][] = [
    [['/nowhere', long], []],
    [['/nowhere'], [long]],
    [['/nowhere', long, wrong], []],
    [['/nowhere'], [long, wrong]],
    [[], [long]],
  ];
  const before = process.memoryUsage.rss();
  for (const [argv, environment] of cases) {
    for (let i = 0; i < 100; i++) assert.throws(() => startProcess(argv, environment, nothing, -1));
  }
  const grown = (process.memoryUsage.rss() - before) / (1 << 20);
  t.ok(grown < 80, `${grown} MiB more than before`);
});

t.test('what are no arguments, environment or function of a process', async (t) => {
  const { startProcess } = nativeSockets() as unknown as { startProcess(...args: unknown[]): unknown };
  const nothing = () => undefined;
  const before = readdirSync('/proc/self/fd').length;
  for (const args of [
    [],
    [['/bin/true'], []],
    [['/bin/true'], [], nothing],
    [['/bin/true'], [], nothing, '/proc/1/ns/mnt'],
    [['/bin/true'], [], 'x', -1],
    [[], [], nothing, -1],
    [['/bin/true', 1], [], nothing, -1],
    ['/bin/true', [], nothing, -1],
    [['/bin/true'], 'A=1', nothing, -1],
    [['/bin/true'], ['A=1', null], nothing, -1],
  ])
    t.throws(() => startProcess(...args), TypeError, JSON.stringify(args));
  t.equal(readdirSync('/proc/self/fd').length, before);
});

t.test('what the other functions refuse, and what a socket is said to be', async (t) => {
  const native = nativeSockets();
  const refusals: [work: () => unknown, syscall: string, errno: number][] = [
    [() => native.notify('/nowhere/socket', 'x'), 'sendto', constants.errno.ENOENT],
    [() => native.notify(`/${'x'.repeat(106)}`, 'x'), 'sendto', constants.errno.ENOENT],
    [() => native.notify(`/${'x'.repeat(107)}`, 'x'), 'sendto', constants.errno.ENAMETOOLONG],
    [() => native.notify('', 'x'), 'sendto', constants.errno.ENAMETOOLONG],
    [() => native.peerOf(-1), 'getsockopt', constants.errno.EBADF],
    [() => native.lockFile(-1), 'flock', constants.errno.EBADF],
  ];
  for (const [work, syscall, errno] of refusals) {
    try {
      work();
      t.fail(syscall);
    } catch (error) {
      t.match(error, { syscall, errno });
    }
  }
  const wrong = native as unknown as { [name: string]: (...args: unknown[]) => unknown };
  for (const [name, ...args] of [
    ['notify'],
    ['notify', '/x'],
    ['notify', 7, 'x'],
    ['notify', '/x', 7],
    ['peerOf'],
    ['peerOf', 'x'],
    ['lockFile', null],
    ['onReadable'],
    ['onReadable', 'x'],
  ] as [string, ...unknown[]][])
    t.throws(() => wrong[name]?.(...args), TypeError, `${name} ${args}`);
  const own = openSync('/proc/thread-self/ns/net', 'r');
  const { fd, cookie, receiveBytes } = native.openSocket(own);
  t.ok(fd > own && typeof cookie === 'bigint' && receiveBytes > 4096, `${cookie} ${receiveBytes}`);
  for (const each of [fd, own]) closeSync(each);
});
