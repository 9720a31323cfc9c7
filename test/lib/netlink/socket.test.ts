import t from 'tap';
import { NetlinkError } from '../../../lib/netlink/errors.ts';
import { findLink } from '../../../lib/netlink/link.ts';
import { formatRequests, type Request } from '../../../lib/netlink/message.ts';
import type { Route } from '../../../lib/netlink/route.ts';
import { addRouteRequest, deleteRouteRequest } from '../../../lib/netlink/route-message.ts';
import { listRoutes } from '../../../lib/netlink/routes.ts';
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
const NLM_F_ACK = 0x4;
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

t.test('change', async (t) => {
  const requests = Array.from({ length: 20 }, (_, i): Request => ({ type: NEW, flags: 0x600, payload: s32(i) }));
  /** A message has 16 + 4 bytes and is counted with 3 of padding, so this is 5 in a slice. */
  const sliceBytes = 5 * 23;
  const describe = (index: number) => `change ${index}`;
  /** Refuses those whose number is in the list, and acknowledges what asks for it. */
  const kernel = (...refused: number[]) =>
    fakeTransport((sent) =>
      sent.flatMap((request) => {
        const number = request.payload.readInt32LE();
        if (refused.includes(number)) return [acknowledgement(request, 101, `because of ${number}`)];
        return (request.flags & NLM_F_ACK) !== 0 ? [acknowledgement(request, 0)] : [];
      }),
    );

  t.test('sends all in slices, in their order, and asks for one acknowledgement per slice', async (t) => {
    const transport = kernel();
    t.strictSame(await new RouteSocket(transport).change(requests, describe, { sliceBytes }), {
      sent: 20,
      refusals: [],
    });
    t.strictSame(
      transport.writes.map(({ length }) => length),
      [5, 5, 5, 5],
    );
    const all = transport.writes.flat();
    t.strictSame(
      all.map(({ payload }) => payload.readInt32LE()),
      [...requests.keys()],
    );
    t.strictSame(
      all.map(({ seq }) => seq),
      [...requests.keys()].map((i) => i + 1),
    );
    const acknowledged = all.filter(({ flags }) => (flags & NLM_F_ACK) !== 0).map(({ seq }) => seq);
    t.strictSame(acknowledged, [5, 10, 15, 20]);
  });

  t.test('of nothing sends nothing', async (t) => {
    const transport = kernel();
    t.strictSame(await new RouteSocket(transport).change([], describe), { sent: 0, refusals: [] });
    t.strictSame(transport.writes, []);
  });

  t.test('sends one at a time where a request is larger than a slice', async (t) => {
    const transport = kernel();
    await new RouteSocket(transport).change(requests.slice(0, 3), describe, { sliceBytes: 1 });
    t.strictSame(
      transport.writes.map(({ length }) => length),
      [1, 1, 1],
    );
  });

  const stops: [what: string, refused: number[], sent: number][] = [
    ['the first of a slice', [5], 10],
    ['one within a slice', [7], 10],
    ['the last of a slice', [9], 10],
    ['several of a slice', [5, 7, 9], 10],
    ['the very first', [0], 5],
    ['the very last', [19], 20],
    ['all', [...requests.keys()], 5],
  ];
  for (const [what, refused, sent] of stops) {
    t.test(`ties the refusal of ${what} to its request, and sends nothing after that slice`, async (t) => {
      const transport = kernel(...refused);
      const outcome = await new RouteSocket(transport).change(requests, describe, { sliceBytes });
      t.equal(outcome.sent, sent);
      t.equal(transport.writes.flat().length, sent);
      t.match(
        outcome.refusals,
        refused
          .filter((index) => index < sent)
          .map((index) => ({
            index,
            error: { code: 'ENETUNREACH', operation: `change ${index}`, kernelMessage: `because of ${index}` },
          })),
      );
      t.equal(outcome.refusals.length, refused.filter((index) => index < sent).length);
      t.ok(outcome.refusals.every(({ error }) => error instanceof NetlinkError));
    });

    t.test(`goes on after the refusal of ${what} with keepGoing`, async (t) => {
      const transport = kernel(...refused);
      const outcome = await new RouteSocket(transport).change(requests, describe, { sliceBytes, keepGoing: true });
      t.equal(outcome.sent, 20);
      t.strictSame(
        outcome.refusals.map(({ index }) => index),
        refused,
      );
    });
  }

  t.test('breathes between slices, not before the first nor after the last', async (t) => {
    const transport = kernel();
    const writes: number[] = [];
    const breathe = async () => {
      writes.push(transport.writes.length);
    };
    await new RouteSocket(transport).change(requests, describe, { sliceBytes, breathe });
    t.strictSame(writes, [1, 2, 3]);
  });

  t.test('ignores stale answers: of earlier requests, of later ones, and messages that are no answers', async (t) => {
    const stale = (seq: number) => ({ type: NEW, flags: 0, seq, payload: Buffer.alloc(0) });
    const inner = kernel();
    const socket = new RouteSocket({
      ...inner,
      receive: () =>
        Buffer.concat([acknowledgement(stale(99), 17), part(1, 1), acknowledgement(stale(0), 17), inner.receive()]),
    });
    t.strictSame(await socket.change(requests, describe, { sliceBytes }), { sent: 20, refusals: [] });
  });

  t.test('throws when the answer is lost, as it is not known then what was done, and sends no more', async (t) => {
    const transport = fakeTransport(() => []);
    await t.rejects(new RouteSocket(transport).change(requests, describe, { sliceBytes }), {
      name: 'NetlinkError',
      code: 'EAGAIN',
    });
    t.equal(transport.writes.length, 1);
  });

  t.test('throws when the socket does not take the requests', async (t) => {
    const socket = new RouteSocket({
      ...kernel(),
      send: () => {
        throw systemError('EMSGSIZE', 90);
      },
    });
    await t.rejects(socket.change(requests, describe), { name: 'NetlinkError', code: 'EMSGSIZE' });
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

t.test('the real kernel', { skip: noNamespaces }, async (t) => {
  const describe = (index: number) => `add route ${index}`;
  const COUNT = 2000;
  /** Every seventh has a gateway that is not on the link. */
  const isBad = (i: number) => i % 7 === 6;
  const routes = (oif: number, family: 4 | 6) =>
    Array.from({ length: COUNT }, (_, i): Route => {
      const dst = family === 4 ? `10.${100 + (i >> 8)}.${i & 255}.0/24` : `fd99:${i.toString(16)}::/32`;
      const good = family === 4 ? '10.244.1.1' : 'fd00:244:1::1';
      const gw = isBad(i) ? (family === 4 ? '192.0.2.1' : '2001:db8::1') : good;
      return { family, dst, type: 'unicast', table: 254, priority: 77, protocol: 87, scope: 0, hops: [{ gw, oif }] };
    });

  for (const family of [4, 6] as const) {
    for (const sliceBytes of [60, 1000, 60_000, 150_000]) {
      t.test(
        `takes all but every 7th of 2,000 IPv${family} routes, told one by one, in slices of ${sliceBytes}`,
        async (t) => {
          const pod = scratchPod(t);
          const socket = socketIn(t, pod);
          const before = pod.routes();
          const list = routes(findLink(socket, 'eth0')?.index ?? 0, family);
          const outcome = await socket.change(list.map(addRouteRequest), describe, { sliceBytes, keepGoing: true });
          t.equal(outcome.sent, COUNT);
          const bad = [...list.keys()].filter(isBad);
          t.strictSame(
            outcome.refusals.map(({ index }) => index),
            bad,
          );
          const [message, code] =
            family === 4 ? ['Nexthop has invalid gateway', 'ENETUNREACH'] : [undefined, 'EHOSTUNREACH'];
          const unlike = outcome.refusals.filter(
            ({ index, error }) =>
              error.code !== code || error.kernelMessage !== message || error.operation !== describe(index),
          );
          t.strictSame(unlike, []);
          const there = pod.ipJson(`-${family} route show proto 87`).map(({ dst }) => dst);
          const good = list.filter((_, i) => !isBad(i));
          t.strictSame(
            new Set(there),
            new Set(good.map(({ dst }) => (family === 6 ? dst.replace(':0::', '::') : dst))),
          );
          t.equal(
            listRoutes(socket, family, { table: 254 }).filter(({ protocol }) => protocol === 87).length,
            good.length,
          );

          const deleted = await socket.change(good.map(deleteRouteRequest), describe, { sliceBytes });
          t.strictSame(deleted, { sent: good.length, refusals: [] });
          t.equal(pod.routes(), before);
        },
      );
    }
  }

  t.test('is sent nothing after the slice in which one was refused', async (t) => {
    const pod = scratchPod(t);
    const socket = socketIn(t, pod);
    const list = routes(findLink(socket, 'eth0')?.index ?? 0, 4);
    const { sent, refusals } = await socket.change(list.map(addRouteRequest), describe, { sliceBytes: 200 });
    t.ok(sent >= 7 && sent < 20);
    t.strictSame(
      refusals.map(({ index }) => index),
      [...Array(sent).keys()].filter(isBad),
    );
    t.equal(pod.ipJson('route show proto 87').length, sent - refusals.length);
  });

  t.test('refuses with errno name and its own words', async (t) => {
    const pod = scratchPod(t);
    const socket = socketIn(t, pod);
    const oif = findLink(socket, 'eth0')?.index ?? 0;
    const base: Route = {
      family: 4,
      dst: '10.99.0.0/16',
      type: 'unicast',
      table: 254,
      priority: 0,
      protocol: 87,
      scope: 0,
      hops: [{ gw: '10.244.1.1', oif }],
    };
    const before = pod.routes();
    const cases: [what: string, route: Partial<Route>, code: string, kernelMessage: string | undefined][] = [
      [
        'a gateway that is not on the link',
        { hops: [{ gw: '192.0.2.1', oif }] },
        'ENETUNREACH',
        'Nexthop has invalid gateway',
      ],
      ['a link that is not there', { scope: 253, hops: [{ oif: 9999 }] }, 'ENODEV', undefined],
      ['a source that is not ours', { src: '192.0.2.1' }, 'EINVAL', 'Invalid prefsrc address'],
      ['host bits', { dst: '10.99.0.1/16' }, 'EINVAL', 'Invalid prefix for given prefix length'],
      [
        'an IPv6 gateway of our own',
        { family: 6, dst: 'fd99::/64', hops: [{ gw: 'fd00:244:1::5', oif }] },
        'EINVAL',
        'Gateway can not be a local address',
      ],
    ];
    for (const [what, change, code, kernelMessage] of cases) {
      const { refusals } = await socket.change([addRouteRequest({ ...base, ...change })], () => `add ${what}`);
      const found = refusals.map(({ index, error }) => [index, error.code, error.kernelMessage, error.operation]);
      t.strictSame(found, [[0, code, kernelMessage, `add ${what}`]], what);
    }
    t.equal(pod.routes(), before);
  });

  t.test('is not sent a slice that no socket takes: EMSGSIZE, and nothing is changed', async (t) => {
    const pod = scratchPod(t);
    const socket = socketIn(t, pod);
    const list = routes(findLink(socket, 'eth0')?.index ?? 0, 4);
    const many = [...list, ...list, ...list, ...list].map(addRouteRequest);
    await t.rejects(socket.change(many, describe, { sliceBytes: 1e9 }), { name: 'NetlinkError', code: 'EMSGSIZE' });
    t.strictSame(pod.ipJson('route show proto 87'), []);
  });
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
