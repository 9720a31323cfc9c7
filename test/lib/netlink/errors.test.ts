import t from 'tap';
import { errnoName, NetlinkError } from '../../../lib/netlink/errors.ts';

/** asm-generic/errno-base.h and errno.h: those that rtnetlink answers with. */
const names: [number, string][] = [
  [1, 'EPERM'],
  [2, 'ENOENT'],
  [3, 'ESRCH'],
  [11, 'EAGAIN'],
  [12, 'ENOMEM'],
  [13, 'EACCES'],
  [16, 'EBUSY'],
  [17, 'EEXIST'],
  [19, 'ENODEV'],
  [22, 'EINVAL'],
  [34, 'ERANGE'],
  [36, 'ENAMETOOLONG'],
  [90, 'EMSGSIZE'],
  [95, 'EOPNOTSUPP'],
  [97, 'EAFNOSUPPORT'],
  [99, 'EADDRNOTAVAIL'],
  [100, 'ENETDOWN'],
  [101, 'ENETUNREACH'],
  [105, 'ENOBUFS'],
  [113, 'EHOSTUNREACH'],
];

t.test('errnoName', async (t) => {
  for (const [errno, name] of names) {
    t.test(`calls ${errno} ${name}`, async (t) => {
      t.equal(errnoName(errno), name);
    });
  }
  t.test('gives the number of one that has no name in user space', async (t) => {
    t.equal(errnoName(524), 'errno 524');
    t.equal(errnoName(0), 'errno 0');
  });
});

t.test('NetlinkError', async (t) => {
  t.test('carries operation, errno, its name, the message of the kernel and the cause as data', async (t) => {
    const cause = new Error('why');
    const error = new NetlinkError('add route', 101, 'Nexthop has invalid gateway.', cause);
    const { name, message, operation, errno, code, kernelMessage } = error;
    t.strictSame(
      { name, message, operation, errno, code, kernelMessage },
      {
        name: 'NetlinkError',
        message: 'add route: ENETUNREACH: Nexthop has invalid gateway.',
        operation: 'add route',
        errno: 101,
        code: 'ENETUNREACH',
        kernelMessage: 'Nexthop has invalid gateway.',
      },
    );
    t.equal(error.cause, cause);
  });
  t.test('has no colon after the name if the kernel said nothing', async (t) => {
    const error = new NetlinkError('delete route', 3);
    t.equal(error.message, 'delete route: ESRCH');
    t.equal(error.kernelMessage, undefined);
  });
});
