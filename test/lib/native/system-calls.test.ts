import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { scratchFolder, works } from '../../support/namespaces/namespace.ts';

// What nothing but the system calls shows, and what the addon does about those that fail: strace makes them fail.

const MODULE = new URL('../../../lib/native/native.ts', import.meta.url).href;
const noStrace = works('strace', ['-V']) ? false : 'needs strace';

/** Opens a socket in the own namespace by `open`, and tells the refusals and how many descriptors are left of them. */
const PREAMBLE = `
  import { openSync, readdirSync } from 'node:fs';
  import { nativeSockets } from ${JSON.stringify(MODULE)};
  const native = nativeSockets();
  const own = openSync('/proc/thread-self/ns/net');
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const tried = (work) => {
    const before = descriptors();
    try {
      const result = work();
      return typeof result === 'object' ? { opened: result.fd !== undefined } : { result };
    } catch ({ syscall, errno }) {
      return { syscall, errno, left: descriptors() - before };
    }
  };`;

type Ran = { readonly printed: unknown; readonly calls: readonly string[] };

/** What the script prints as JSON, and its system calls from the first netlink socket on, without descriptors and results. */
function ran(t: Test, script: string, options: readonly string[] = []): Ran {
  const log = join(scratchFolder(t), 'strace');
  const trace = 'trace=socket,connect,setsockopt,recvfrom';
  const command = [process.execPath, '--input-type=module', '-e', `${PREAMBLE}console.log(JSON.stringify(${script}))`];
  const { status, stdout, stderr } = spawnSync('strace', ['-o', log, '-e', trace, ...options, ...command], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  const lines = readFileSync(log, 'utf8').split('\n');
  const calls = lines
    .slice(lines.findIndex((line) => line.startsWith('socket(AF_NETLINK')))
    .flatMap((line) => /^(\w+\().*?(?:, |(?=AF_))(.*)\) += /.exec(line)?.slice(1).join('') ?? []);
  return { printed: JSON.parse(stdout), calls };
}

const OPENED = [
  'socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_ROUTE',
  /^connect\(.*nl_pid=0/,
  /^recvfrom\(/,
] as const;

t.test(
  'a socket for questions waits ten seconds for 8 MiB of answers, and checks strictly',
  { skip: noStrace },
  async (t) => {
    const { printed, calls } = ran(t, 'tried(() => native.openSocket(own))');
    t.strictSame(printed, { opened: true });
    // struct timeval: ten seconds and no microseconds.
    t.match(calls, [
      ...OPENED,
      'setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, [1], 4',
      'setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, [1], 4',
      'setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, [1], 4',
      /^setsockopt\(SOL_SOCKET, SO_RCVTIMEO(?:_OLD)?, (?:"\\n(?:\\0){15}"|\{tv_sec=10, tv_usec=0\}), 16$/,
      'setsockopt(SOL_SOCKET, SO_RCVBUFFORCE, [8388608], 4',
    ]);
    t.equal(calls.length, 8);
  },
);

t.test('one for notifications holds 64 KiB, and is in all groups', { skip: noStrace }, async (t) => {
  const { printed, calls } = ran(t, 'tried(() => native.openNotifications(own)) && []');
  t.strictSame(printed, []);
  // RTNLGRP_* of linux/rtnetlink.h: links; IPv4 addresses, routes and rules; the same of IPv6.
  const groups = [1, 5, 7, 8, 9, 11, 19].map(
    (group) => `setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, [${group}], 4`,
  );
  t.match(calls, [...OPENED, 'setsockopt(SOL_SOCKET, SO_RCVBUF, [65536], 4', ...groups]);
  t.equal(calls.length, 4 + groups.length);
});

// What strace says instead of the kernel: an errno that the kernel says of no such call.
const EDOM = 33;

const failed = (syscall: string) => ({ syscall, errno: EDOM, left: 0 });

const REFUSED: readonly (readonly [what: string, script: string, inject: string, expected: unknown])[] = [
  ['the first option', 'native.openSocket(own)', 'setsockopt:error=EDOM:when=1', failed('setsockopt')],
  ['the last option that has to be', 'native.openSocket(own)', 'setsockopt:error=EDOM:when=4', failed('setsockopt')],
  ['a buffer of any size', 'native.openSocket(own)', 'setsockopt:error=EDOM:when=5..6', failed('setsockopt')],
  ['a buffer beyond the limit', 'native.openSocket(own)', 'setsockopt:error=EPERM:when=5', { opened: true }],
  ['a small buffer', 'native.openNotifications(own)', 'setsockopt:error=EDOM:when=1', failed('setsockopt')],
  ['the last group', 'native.openNotifications(own)', 'setsockopt:error=EDOM:when=8', failed('setsockopt')],
  ['to talk to the kernel only', 'native.openSocket(own)', 'connect:error=EDOM', failed('connect')],
  ['a socket', 'native.openNotifications(own)', 'socket:error=EDOM', failed('socket')],
  ['what came before, lost', 'native.openSocket(own)', 'recvfrom:error=ENOBUFS:when=1', { opened: true }],
  ['what came before, unreadable', 'native.openSocket(own)', 'recvfrom:error=EDOM:when=1', failed('connect')],
];

for (const [what, script, inject, expected] of REFUSED) {
  t.test(`the kernel refuses ${what}`, { skip: noStrace }, async (t) => {
    t.strictSame(ran(t, `tried(() => ${script})`, ['-e', `inject=${inject}`]).printed, expected);
  });
}

t.test('everything that came before is dropped, also what is empty', { skip: noStrace }, async (t) => {
  for (const came of ['retval=0', 'retval=1', 'error=ENOBUFS']) {
    const inject = ['-e', `inject=recvfrom:${came}:when=1`];
    const { printed, calls } = ran(t, 'tried(() => native.openSocket(own))', inject);
    t.strictSame([printed, calls.filter((call) => call.startsWith('recvfrom(')).length], [{ opened: true }, 2], came);
  }
});

t.test('who could not be called back the first time can be the second', { skip: noStrace }, async (t) => {
  const script = '[1, 2, 3].map(() => tried(() => native.onReadable(() => undefined) ?? 0))';
  const log = join(scratchFolder(t), 'strace');
  const trace = ['-e', 'trace=epoll_create1'];
  const command = [process.execPath, '--input-type=module', '-e', `${PREAMBLE}console.log(JSON.stringify(${script}))`];
  const counted = spawnSync('strace', ['-o', log, ...trace, ...command]);
  t.equal(counted.status, 0);
  // The runtime has some of its own.
  const calls = readFileSync(log, 'utf8').match(/^epoll_create1\(/gm)?.length;
  const { stdout } = spawnSync('strace', [
    '-o',
    log,
    ...trace,
    '-e',
    `inject=epoll_create1:error=EDOM:when=${calls}`,
    ...command,
  ]);
  t.strictSame(JSON.parse(String(stdout)), [failed('epoll_create1'), { result: 0 }, { left: 0 }]);
});

t.test('a notification after an interruption, a loss, an error', { skip: noStrace }, async (t) => {
  const fd = 'native.openNotifications(own)';
  const read = (inject: string) => {
    const script = `((fd) => tried(() => native.readNotification(fd, Buffer.alloc(64))))(${fd})`;
    return ran(t, script, ['-e', `inject=recvfrom:${inject}:when=2`]).printed;
  };
  t.strictSame(read('error=EINTR'), { result: 0 });
  t.strictSame(read('error=ENOBUFS'), { result: -1 });
  t.strictSame(read('error=EDOM'), failed('recvfrom'));
});
