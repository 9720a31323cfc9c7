import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { nativeSockets } from '../../../lib/native/native.ts';

// What the addon refuses. What it tells is in test/lib/netlink/notifications.test.ts.

const { openNotifications, readNotification, wakeOnce } = nativeSockets();
const EBADF = 9;
const EINVAL = 22;
const ENOTSOCK = 88;

function refusalOf(work: () => unknown): object {
  try {
    work();
    return {};
  } catch (error) {
    return error as object;
  }
}

t.test('a descriptor that is none, no namespace, or no socket', async (t) => {
  const file = openSync('/proc/self/status', 'r');
  t.match(
    refusalOf(() => openNotifications(-1)),
    { syscall: 'fcntl', errno: EBADF },
  );
  t.match(
    refusalOf(() => openNotifications(file)),
    { syscall: 'setns', errno: EINVAL },
  );
  t.match(
    refusalOf(() => readNotification(-1, Buffer.alloc(8))),
    { syscall: 'recvfrom', errno: EBADF },
  );
  t.match(
    refusalOf(() => readNotification(file, Buffer.alloc(8))),
    { syscall: 'recvfrom', errno: ENOTSOCK },
  );
  t.match(
    refusalOf(() => wakeOnce(-1)),
    { syscall: 'epoll_ctl', errno: EBADF },
  );
  closeSync(file);
});

t.test('what is no descriptor, or no buffer', async (t) => {
  const wrong = { openNotifications, readNotification, wakeOnce } as unknown as {
    [name: string]: (...args: unknown[]) => void;
  };
  for (const [name, ...args] of [
    ['openNotifications'],
    ['openNotifications', '3'],
    ['readNotification', 3],
    ['readNotification', '3', Buffer.alloc(8)],
    ['readNotification', 3, 'x'],
    ['wakeOnce', {}],
  ] as [string, ...unknown[]][])
    t.throws(() => wrong[name]?.(...args), TypeError, `${name} ${args}`);
});
