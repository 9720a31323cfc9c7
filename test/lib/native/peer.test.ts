import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { peerOf } from '../../../lib/native/peer.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';
import { until } from '../../support/until.ts';

const descriptorOf = (socket: Socket) => (socket as unknown as { _handle: { fd: number } })._handle.fd;

t.test('who is at the other end of a socket, and whether it has gone', async (t) => {
  const path = join(scratchFolder(t), 'socket');
  // What comes is left unread, so that the kernel has it.
  const server = createServer({ pauseOnConnect: true }).listen(path);
  await once(server, 'listening');
  t.teardown(() => server.close());
  const client = connect(path);
  const [accepted] = (await once(server, 'connection')) as [Socket];
  const fd = descriptorOf(accepted);
  const there = { pid: process.pid, uid: process.geteuid?.(), gone: false };
  t.match(peerOf(fd), there);
  client.write('x');
  t.match(peerOf(fd), there, 'it has said something');
  t.match(peerOf(fd), there, 'which is still there to be read');
  client.destroy();
  await once(client, 'close');
  accepted.resume();
  await until(() => accepted.destroyed || peerOf(fd).gone);
  accepted.destroy();
});

t.test('one that has gone without a word has gone', async (t) => {
  const path = join(scratchFolder(t), 'socket');
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(path);
  await once(server, 'listening');
  t.teardown(() => server.close());
  const client = connect(path);
  const [accepted] = (await once(server, 'connection')) as [Socket];
  client.end();
  await until(() => peerOf(descriptorOf(accepted)).gone);
  accepted.destroy();
  client.destroy();
});

t.test('what is no socket has no peer', async (t) => {
  t.throws(() => peerOf(-1), { message: 'getsockopt: Bad file descriptor' });
});
