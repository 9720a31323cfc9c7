import t from 'tap';
import { findLink } from '../../../lib/netlink/link.ts';
import { formatRequests, type Request } from '../../../lib/netlink/message.ts';
import { addRouteRequest, deleteRouteRequest } from '../../../lib/netlink/route-message.ts';
import { ANSWER_BYTES, RouteSocket } from '../../../lib/netlink/socket.ts';
import { openTransport } from '../../../lib/netlink/transport.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';
import { noNamespaces, run, scratchNamespace, scratchPod } from '../../support/namespaces/namespace.ts';
import {
  acknowledgement,
  done,
  fakeTransport,
  message,
  type Sent,
  s32,
  socketIn,
  systemError,
} from '../../support/namespaces/transport.ts';

// linux/netlink.h
const NLM_F_REQUEST = 0x1;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;

const NEW = 24;
const dumpRequest: Request = { type: 26, flags: 0, payload: Buffer.alloc(12) };
const part = (seq: number, value: number, flags = 2) => message({ type: NEW, flags, seq }, s32(value));
const valuesOf = (messages: { data: Buffer }[]) => messages.map(({ data }) => data.readInt32LE());

t.test('dump', async (t) => {
  t.test(
    'asks with NLM_F_REQUEST and NLM_F_DUMP, and collects the messages of many datagrams until NLMSG_DONE',
    async (t) => {
      const transport = fakeTransport(([sent]) => [
        Buffer.concat([part(seqOf(sent), 1), part(seqOf(sent), 2)]),
        part(seqOf(sent), 3),
        Buffer.concat([part(seqOf(sent), 4), done(must(sent))]),
      ]);
      t.strictSame(valuesOf(new RouteSocket(transport).dump('read', dumpRequest)), [1, 2, 3, 4]);
      t.match(transport.writes, [[{ type: 26, flags: NLM_F_REQUEST | NLM_F_DUMP, seq: 1 }]]);
    },
  );

  t.test('that is interrupted is read again, and nothing of the first reading is kept', async (t) => {
    for (const where of ['first', 'last', 'done']) {
      const transport = fakeTransport(([sent], write) => {
        const flag = (place: string) => (write < 3 && where === place ? NLM_F_DUMP_INTR : 0);
        const seq = seqOf(sent);
        return [
          part(seq, write * 10 + 1, 2 | flag('first')),
          part(seq, write * 10 + 2, 2 | flag('last')),
          done(must(sent), 0, undefined, flag('done')),
        ];
      });
      t.strictSame(valuesOf(new RouteSocket(transport).dump('read', dumpRequest)), [31, 32], where);
      t.equal(transport.writes.length, 4);
    }
  });

  t.test('that is interrupted 20 times is given up with EAGAIN and the operation, not returned', async (t) => {
    const transport = fakeTransport(([sent]) => [part(seqOf(sent), 1, 2 | NLM_F_DUMP_INTR), done(must(sent))]);
    t.throws(() => new RouteSocket(transport).dump('list routes', dumpRequest), {
      name: 'NetlinkError',
      code: 'EAGAIN',
      operation: 'list routes',
      kernelMessage: /20 times/,
    });
    t.equal(transport.writes.length, 20);
  });

  t.test(
    'that ends with an errno in NLMSG_DONE throws it with the text of the kernel, and returns no part',
    async (t) => {
      const transport = fakeTransport(([sent]) => [
        part(seqOf(sent), 1),
        done(must(sent), 2, 'ipv4: FIB table does not exist'),
      ]);
      t.throws(() => new RouteSocket(transport).dump('list routes', dumpRequest), {
        code: 'ENOENT',
        errno: 2,
        operation: 'list routes',
        kernelMessage: 'ipv4: FIB table does not exist',
      });
    },
  );

  t.test('that is refused throws the errno and the text of the kernel', async (t) => {
    const transport = fakeTransport(([sent]) => [acknowledgement(must(sent), 22, 'Invalid data in dump header')]);
    t.throws(() => new RouteSocket(transport).dump('list routes', dumpRequest), {
      code: 'EINVAL',
      kernelMessage: 'Invalid data in dump header',
    });
  });

  t.test('ignores what is left of an earlier request, its end and its refusal too', async (t) => {
    const stale = { type: 26, flags: 0, seq: 99, payload: Buffer.alloc(0) };
    const transport = fakeTransport(([sent]) => [
      part(99, 7),
      Buffer.concat([done(stale), part(seqOf(sent), 1), acknowledgement(stale, 17)]),
      part(0, 8),
      done(must(sent)),
    ]);
    t.strictSame(valuesOf(new RouteSocket(transport).dump('read', dumpRequest)), [1]);
  });

  for (const [code, errno] of [
    ['ENOBUFS', 105],
    ['EAGAIN', 11],
    ['ENOMEM', 12],
  ] as const) {
    t.test(`whose answer is lost (${code}) throws it, and the next dump works`, async (t) => {
      let lost = true;
      const inner = fakeTransport(([sent]) => [part(seqOf(sent), 1), done(must(sent))]);
      const socket = new RouteSocket({
        ...inner,
        receive: () => {
          if (!lost) return inner.receive();
          lost = false;
          throw systemError(code, errno);
        },
      });
      t.throws(() => socket.dump('list routes', dumpRequest), {
        name: 'NetlinkError',
        code,
        errno,
        operation: /list routes/,
      });
      t.strictSame(valuesOf(socket.dump('list routes', dumpRequest)), [1]);
    });
  }

  t.test('whose answer is cut short or no message at all throws EBADMSG', async (t) => {
    for (const datagram of [Buffer.alloc(3), Buffer.alloc(16), part(1, 1).subarray(0, 18), Buffer.alloc(40, 0xff)]) {
      const socket = new RouteSocket(fakeTransport(() => [datagram]));
      t.throws(() => socket.dump('list routes', dumpRequest), { name: 'NetlinkError', code: 'EBADMSG' });
    }
  });
});

t.test('get', async (t) => {
  t.test('returns the one answer, and asks without NLM_F_DUMP', async (t) => {
    const transport = fakeTransport(([sent]) => [part(99, 9), part(seqOf(sent), 5)]);
    t.equal(new RouteSocket(transport).get('look up', dumpRequest).data.readInt32LE(), 5);
    t.match(transport.writes, [[{ flags: NLM_F_REQUEST }]]);
  });
  t.test('throws the refusal', async (t) => {
    const transport = fakeTransport(([sent]) => [acknowledgement(must(sent), 19, 'No such device.')]);
    t.throws(() => new RouteSocket(transport).get('look up link x', dumpRequest), {
      code: 'ENODEV',
      operation: 'look up link x',
      kernelMessage: 'No such device.',
    });
  });
});

t.test(
  'no write has more requests than the receive buffer has room for refusals',
  { skip: noNamespaces },
  async (t) => {
    const transport = fakeTransport((sent) => sent.map((request) => acknowledgement(request, 3)));
    const requests = Array.from({ length: 25 }, (_, i): Request => ({ type: NEW, flags: 0x600, payload: s32(i) }));
    const socket = new RouteSocket(transport, 0n, { receiveBytes: 10 * ANSWER_BYTES + 5 });
    const { sent, refusals } = await socket.change(requests, String, { keepGoing: true });
    t.strictSame([sent, refusals.length], [25, 25]);
    t.strictSame(
      transport.writes.map(({ length }) => length),
      [10, 10, 5],
    );

    for (const receiveBytes of [1, ANSWER_BYTES, 2 * ANSWER_BYTES - 1]) {
      const small = fakeTransport((sent) => sent.map((request) => acknowledgement(request, 0)));
      await new RouteSocket(small, 0n, { receiveBytes }).change(requests.slice(0, 3), String);
      t.equal(small.writes.length, 3, 'one at least');
    }

    // What the kernel counts for each (Rmem of /proc/net/netlink), with a text of its own and without.
    const pod = scratchPod(t);
    const namespace = openNamespace(pod.path);
    const COUNT = 50;
    for (const gw of ['192.0.2.1', undefined]) {
      const opened = openTransport(namespace);
      const hops = gw === undefined ? [] : [{ gw, oif: findLink(socketIn(t, pod), 'eth0')?.index ?? 0 }];
      const route = { family: 4, dst: '10.9.0.0/16', table: 254, priority: 7, protocol: 87, scope: 0, hops } as const;
      const one =
        gw === undefined
          ? deleteRouteRequest({ ...route, type: 'blackhole' })
          : addRouteRequest({ ...route, type: 'unicast' });
      opened.transport.send(
        formatRequests(
          Array.from({ length: COUNT }, () => one),
          1,
        ),
      );
      const rows = run('ip', ['netns', 'exec', pod.name, 'cat', '/proc/net/netlink']).split('\n').slice(1);
      const most = Math.max(...rows.map((row) => Number(row.trim().split(/\s+/)[4] ?? 0)));
      t.ok(most > 0 && most <= COUNT * ANSWER_BYTES, `${most / COUNT} bytes for each of ${COUNT} refusals`);
      t.ok(opened.receiveBytes > 200_000, `a buffer of ${opened.receiveBytes} bytes`);
      opened.transport.close();
    }
    namespace.close();
  },
);

t.test('a dump beyond the limit is given up with DumpTooLarge, and one that just fits is returned', async (t) => {
  const answers = (count: number) =>
    fakeTransport(([sent]) => [...Array.from({ length: count }, (_, i) => part(seqOf(sent), i)), done(must(sent))]);
  const dump = (count: number) =>
    new RouteSocket(answers(count), 0n, { dumpBytes: 40 }).dump('list routes', dumpRequest);
  // Four bytes each, and as many for the end.
  t.equal(dump(9).length, 9);
  t.throws(() => dump(10), { name: 'DumpTooLarge', operation: 'list routes', limitBytes: 40 });
});

t.test('an answer that goes on and on is given up with ETIMEDOUT, not waited for', async (t) => {
  const noise = { ...fakeTransport(() => []), receive: () => part(0, 1) };
  const socket = () => new RouteSocket(noise, 0n, { answerMs: 20 });
  const late = { name: 'NetlinkError', code: 'ETIMEDOUT', operation: /^read: no answer in time$/ };
  t.throws(() => socket().dump('read', dumpRequest), late);
  t.throws(() => socket().get('read', dumpRequest), late);
  await t.rejects(
    socket().change([dumpRequest], () => 'read'),
    late,
  );
});

t.test('close closes the transport', async (t) => {
  const transport = fakeTransport(() => []);
  new RouteSocket(transport).close();
  t.ok(transport.closed);
});

t.test('open', { skip: noNamespaces }, async (t) => {
  t.test('throws EBADF for a namespace that was closed, and does not open the socket in our own instead', async (t) => {
    const namespace = openNamespace(scratchNamespace(t).path);
    namespace.close();
    t.throws(() => RouteSocket.open(namespace), { name: 'NetlinkError', code: 'EBADF' });
  });

  t.test('throws NamespaceError where the descriptor was closed and is that of another namespace by now', async (t) => {
    const closed = openNamespace(scratchNamespace(t).path);
    closed.close();
    const other = openNamespace(scratchNamespace(t).path);
    t.teardown(() => other.close());
    t.equal(other.fd, closed.fd);
    t.throws(() => RouteSocket.open(closed), { name: 'NamespaceError' });
    RouteSocket.open(other).close();
  });
});

function must(sent: Sent | undefined): Sent {
  if (sent === undefined) throw new Error('nothing was sent');
  return sent;
}

function seqOf(sent: Sent | undefined): number {
  return must(sent).seq;
}
