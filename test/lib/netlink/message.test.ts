import { parseMessages } from 'netlink/dist/structs.js';
import t from 'tap';
import {
  attributesOf,
  formatRequests,
  isInterrupted,
  PayloadWriter,
  parseAcknowledgement,
  parseDone,
  payloadOf,
} from '../../../lib/netlink/message.ts';
import { acknowledgement, done, message, s32 } from '../../support/namespaces/transport.ts';

const request = { type: 24, flags: 0, seq: 7, payload: Buffer.alloc(0) };

t.test('formatRequests writes struct nlmsghdr with NLM_F_REQUEST, and pads what follows', async (t) => {
  const format = (bytes: number[]) =>
    formatRequests([{ type: 24, flags: 0x600, payload: Uint8Array.from(bytes) }], 0x01020304).toString('hex');
  // Length (without the padding), type, flags, sequence number, port.
  t.equal(format([1, 2, 3, 4]), '14000000180001060403020100000000' + '01020304');
  t.equal(format([1]), '11000000180001060403020100000000' + '01000000');
  t.equal(format([]), '10000000180001060403020100000000');
});

t.test('payloadOf starts every attribute at a multiple of 4', async (t) => {
  const payload = payloadOf((out) => {
    out.push(1, Buffer.of(0xaa));
    out.push(2, Buffer.of(0xbb, 0xcc));
  });
  t.equal(Buffer.from(payload).toString('hex'), '05000100aa000000' + '06000200bbcc');
});

t.test('attributesOf', async (t) => {
  t.test('lists them in their order, repeated ones too, without the flags of the type', async (t) => {
    const bytes = Buffer.from('05000100aa000000 06000280bbcc0000 04000140 05000100dd'.replaceAll(' ', ''), 'hex');
    t.strictSame(
      attributesOf(bytes).map(([type, data]) => [type, data.toString('hex')]),
      [
        [1, 'aa'],
        [2, 'bbcc'],
        [1, ''],
        [1, 'dd'],
      ],
    );
  });
  t.test('of nothing is nothing', async (t) => {
    t.strictSame(attributesOf(Buffer.alloc(0)), []);
  });
  t.test('that are longer than the message are refused', async (t) => {
    t.throws(() => attributesOf(Buffer.from('09000100aa000000', 'hex')));
  });
});

t.test('parseAcknowledgement', async (t) => {
  t.test('of a success has errno 0 and no message', async (t) => {
    t.strictSame(parseAcknowledgement(parsed(acknowledgement(request, 0))), {
      seq: 7,
      errno: 0,
      kernelMessage: undefined,
    });
  });
  t.test('of a refusal has a positive errno and the text of the kernel, without its NUL', async (t) => {
    t.strictSame(parseAcknowledgement(parsed(acknowledgement(request, 101, 'Nexthop has invalid gateway.'))), {
      seq: 7,
      errno: 101,
      kernelMessage: 'Nexthop has invalid gateway.',
    });
  });
  t.test('does not read attributes that the flags do not announce', async (t) => {
    const bytes = acknowledgement(request, 17, 'text');
    bytes.writeUInt16LE(0x100, 6);
    t.equal(parseAcknowledgement(parsed(bytes)).kernelMessage, undefined);
  });
});

t.test('parseDone', async (t) => {
  t.test('of a whole dump has errno 0, with and without a number in the message', async (t) => {
    t.strictSame(parseDone(parsed(done(request))), { seq: 7, errno: 0, kernelMessage: undefined });
    t.strictSame(parseDone(parsed(message({ type: 3, seq: 7 }))), { seq: 7, errno: 0, kernelMessage: undefined });
  });
  t.test('of a dump that was broken off has the errno and the text', async (t) => {
    const { errno, kernelMessage } = parseDone(parsed(done(request, 2, 'ipv4: FIB table does not exist')));
    t.strictSame([errno, kernelMessage], [2, 'ipv4: FIB table does not exist']);
  });
});

t.test(
  'isInterrupted is true with NLM_F_DUMP_INTR (0x10), whatever other flags there are, and false without',
  async (t) => {
    const flagged = (flags: number) => parsed(message({ type: 24, flags, seq: 1 }, s32(0)));
    for (const flags of [0x10, 0x12, 0xffff]) t.ok(isInterrupted(flagged(flags)));
    for (const flags of [0, 0x02, 0x22, 0xffef]) t.notOk(isInterrupted(flagged(flags)));
  },
);

function parsed(bytes: Buffer) {
  const [first] = parseMessages(bytes);
  if (first === undefined) throw new Error('no message');
  return first;
}

t.test('an ordinary payload is written into one buffer, and not copied', async (t) => {
  const writer = new PayloadWriter();
  const place = () => ({ buffer: writer.bytes().buffer, offset: writer.bytes().byteOffset });
  const before = place();
  writer.emit(Buffer.alloc(12));
  for (let attribute = 0; attribute < 10; attribute++) writer.pushU32(1, 7);
  t.equal(writer.bytes().length, 92);
  t.equal(place().buffer, before.buffer);
  t.equal(place().offset, before.offset);
});
