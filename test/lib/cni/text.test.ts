import t from 'tap';
import { clip, MAX_SHOWN, shorten } from '../../../lib/cni/text.ts';

t.test('clip shows a text on one line, printable and cut', async (t) => {
  t.equal(clip('net1'), 'net1');
  t.equal(clip('a\n"b"\u0000'), 'a\\n\\"b\\"\\u0000');
  t.equal(clip('x'.repeat(MAX_SHOWN)), 'x'.repeat(MAX_SHOWN));
  t.equal(clip('x'.repeat(MAX_SHOWN + 1)), `${'x'.repeat(MAX_SHOWN)}…`);
});

t.test('shorten cuts and changes nothing else', async (t) => {
  t.equal(shorten('{"a":1}'), '{"a":1}');
  t.equal(shorten('x'.repeat(1000)), `${'x'.repeat(MAX_SHOWN)}…`);
});
