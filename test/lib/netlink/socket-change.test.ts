import t from 'tap';
import { NetlinkError } from '../../../lib/netlink/errors.ts';
import type { Request } from '../../../lib/netlink/message.ts';
import { RouteSocket, type Transport } from '../../../lib/netlink/socket.ts';
import {
  acknowledgement,
  fakeTransport,
  message,
  parseRequests,
  s32,
  systemError,
} from '../../support/namespaces/transport.ts';

// linux/netlink.h
const NLM_F_ACK = 0x4;

const NEW = 24;
const part = (seq: number, value: number, flags = 2) => message({ type: NEW, flags, seq }, s32(value));

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

  t.test('of a slice that the socket does not take, all are refused, and no more is sent', async (t) => {
    const transport = kernel();
    const outcome = await new RouteSocket(refusing(transport, 7)).change(requests, describe, { sliceBytes });
    t.equal(outcome.sent, 10);
    t.match(
      outcome.refusals,
      [5, 6, 7, 8, 9].map((index) => ({ index, error: { code: 'EMSGSIZE', operation: `change ${index}` } })),
    );
    t.equal(outcome.refusals.length, 5);
    t.equal(transport.writes.length, 1);
  });

  t.test('with keepGoing, one that the socket does not take holds up no other', async (t) => {
    const transport = kernel(8);
    const options = { sliceBytes, keepGoing: true };
    const outcome = await new RouteSocket(refusing(transport, 7)).change(requests, describe, options);
    t.equal(outcome.sent, 20);
    t.match(outcome.refusals, [
      { index: 7, error: { code: 'EMSGSIZE', operation: 'change 7' } },
      { index: 8, error: { code: 'ENETUNREACH', operation: 'change 8' } },
    ]);
    t.equal(outcome.refusals.length, 2);
    const taken = transport.writes.flat().map(({ payload }) => payload.readInt32LE());
    t.strictSame(
      taken,
      [...requests.keys()].filter((number) => number !== 7),
    );
  });
});

/** A socket that takes no write in which this request is. */
function refusing(transport: Transport, number: number): Transport {
  return {
    ...transport,
    send: (bytes) => {
      const numbers = parseRequests(Buffer.from(bytes)).map(({ payload }) => payload.readInt32LE());
      if (numbers.includes(number)) throw systemError('EMSGSIZE', 90);
      transport.send(bytes);
    },
  };
}
