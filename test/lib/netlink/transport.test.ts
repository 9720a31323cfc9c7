import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { inNamespace, openTransport, socketError } from '../../../lib/netlink/transport.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';
import { noNamespaces, scratchNamespace } from '../../support/namespaces/namespace.ts';

// errno-base.h
const [EPERM, EINVAL, EBADMSG] = [1, 22, 74];
const failing = (error: object) => () => {
  throw Object.assign(new Error('odd'), error);
};

t.test('what node:fs or the addon threw has its errno, and what has none is a bad message', async (t) => {
  t.match(socketError('send', { errno: -EPERM }), { errno: EPERM, operation: 'send', code: 'EPERM' });
  t.match(socketError('send', { errno: EPERM }), { errno: EPERM });
  t.match(socketError('send', new Error('odd')), { errno: EBADMSG, message: 'send: EBADMSG: odd' });
});

t.test('a descriptor that is no network namespace, or another one by now, is told apart', async (t) => {
  const own = openNamespace('/proc/self/ns/net');
  t.equal(
    inNamespace(own, (fd) => fd),
    own.fd,
  );
  const open = (error: object) => () => inNamespace(own, failing(error));
  t.throws(open({ syscall: 'setns', errno: EINVAL }), {
    name: 'NamespaceError',
    message: '/proc/self/ns/net is not a namespace',
  });
  t.throws(open({ syscall: 'setns', errno: EPERM }), {
    name: 'NetlinkError',
    message: 'netlink socket in /proc/self/ns/net: setns: EPERM',
  });
  t.throws(open({ syscall: 'socket', errno: EINVAL }), { name: 'NetlinkError' });
  for (const other of [{ device: own.device + 1n }, { inode: own.inode + 1n }])
    t.throws(() => inNamespace({ ...own, ...other }, (fd) => fd), { name: 'NamespaceError' });
  own.close();
  const file = openSync('/proc/self/status', 'r');
  t.throws(() => inNamespace({ ...own, fd: file }, (fd) => fd), { name: 'NamespaceError' });
  closeSync(file);
});

t.test('a transport sends and receives in its namespace', { skip: noNamespaces }, async (t) => {
  const namespace = openNamespace(scratchNamespace(t).path);
  const { transport, cookie, receiveBytes } = openTransport(namespace);
  t.ok(cookie > 0n && receiveBytes > 0);
  // struct nlmsghdr and struct rtgenmsg (linux/netlink.h, linux/rtnetlink.h): RTM_GETLINK of index 1 with NLM_F_REQUEST.
  const request = Buffer.alloc(32);
  request.writeUInt32LE(32, 0);
  request.writeUInt16LE(18, 4);
  request.writeUInt16LE(1, 6);
  request.writeUInt32LE(77, 8);
  request.writeInt32LE(1, 20);
  transport.send(request);
  const first = transport.receive();
  t.strictSame([first.readUInt16LE(4), first.readUInt32LE(8), first.readInt32LE(20)], [16, 77, 1], 'RTM_NEWLINK of lo');
  t.equal(first.readUInt32LE(0), first.length);
  transport.send(request);
  const again = transport.receive();
  t.not(again, first);
  t.strictSame(again.length, first.length, 'what was read stays what it was');
  transport.close();
  namespace.close();
});
