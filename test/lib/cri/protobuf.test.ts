import fc from 'fast-check';
import t from 'tap';
import { field, mapIn, messagesIn, numberIn, parseFields, textIn } from '../../../lib/cri/protobuf.ts';

t.test('encodes as the documentation of the format does', async (t) => {
  // The examples of https://protobuf.dev/programming-guides/encoding/
  t.equal(field(1, 150).toString('hex'), '089601');
  t.equal(field(2, 'testing').toString('hex'), '120774657374696e67');
  t.equal(field(3, field(1, 150)).toString('hex'), '1a03089601');
  t.equal(field(16, true).toString('hex'), '800101');
  t.strictSame(
    [127, 128, 16_383, 16_384].map((number) => field(1, number).toString('hex')),
    ['087f', '088001', '08ff7f', '08808001'],
    'a byte has seven bits',
  );
});

t.test('reads numbers of which a byte has no bits but the one that says that another follows', async (t) => {
  const read = (hex: string) => numberIn(parseFields(Buffer.from(hex, 'hex')), 1);
  t.strictSame(['087f', '088001', '08808001'].map(read), [127, 128, 16384]);
});

t.test('reads what it wrote, and skips what it does not know', async (t) => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), fc.dictionary(fc.string(), fc.string()), (text, number, map) => {
      const entries = Object.entries(map).map(([key, value]) =>
        field(9, Buffer.concat([field(1, key), field(2, value)])),
      );
      const fields = parseFields(Buffer.concat([field(1, text), field(7, number), ...entries]));
      return (
        textIn(fields, 1) === text &&
        numberIn(fields, 7) === number &&
        JSON.stringify([...mapIn(fields, 9)]) === JSON.stringify(Object.entries(map))
      );
    }),
  );
  // Fields 3 and 4: eight and four bytes of fixed length.
  const fields = parseFields(Buffer.from('190102030405060708250102030408 05'.replaceAll(' ', ''), 'hex'));
  t.equal(numberIn(fields, 1), 5);
  t.equal(textIn(fields, 2), '');
  t.equal(numberIn(fields, 2), 0, 'as proto3 has what is not there');
  t.equal(numberIn(parseFields(field(1, 'text')), 1), 0);
  t.strictSame(messagesIn(fields, 2), []);
});

t.test('refuses what is cut short, at every place, and what is no message', async (t) => {
  const whole = Buffer.concat([field(1, 'name'), field(2, 300)]);
  for (let length = 1; length < whole.length; length++) {
    if (length === field(1, 'name').length) continue;
    t.throws(() => parseFields(whole.subarray(0, length)), { name: 'Error', message: 'the message is cut short' });
  }
  t.throws(() => parseFields(Buffer.from('0b', 'hex')), /wire type 3/);
  // A number of 64 bits has ten bytes at most.
  t.throws(() => parseFields(Buffer.from(`08${'80'.repeat(10)}01`, 'hex')), /too long/);
  t.equal(numberIn(parseFields(Buffer.from(`08${'80'.repeat(9)}01`, 'hex')), 1), 2 ** 63);
});
