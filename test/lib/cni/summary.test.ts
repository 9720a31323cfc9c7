import t from 'tap';
import { summarize } from '../../../lib/cni/summary.ts';

const problem = (number: number) => `routes[${number}].dst: "x" is not an IP address with a prefix length`;
const many = (count: number) => Array.from({ length: count }, (_, i) => problem(i));

t.test('a single problem is the message, and has no details', async (t) => {
  t.strictSame(summarize('invalid: ', [problem(0)]), { message: `invalid: ${problem(0)}`, details: undefined });
  const long = 'x'.repeat(1000);
  t.strictSame(summarize('', [long]), { message: long, details: undefined }, 'whatever its length');
});

t.test('forty problems are one line of at most 300 characters, and the details have all of them', async (t) => {
  const { message, details } = summarize('invalid network config: ', many(40));
  t.ok(message.length <= 300, `${message.length} characters`);
  t.notMatch(message, '\n');
  const shown = many(40).filter((line) => message.includes(line)).length;
  t.ok(shown >= 3, message);
  t.equal(message, `invalid network config: ${many(shown).join('; ')}; and ${40 - shown} more, see the log`);
  t.strictSame(details?.split('\n'), many(40));
});

t.test('the line has 300 characters at most, with what it says of the others', async (t) => {
  const others = '; and 1 more, see the log';
  const summed = (length: number) => {
    const second = 'b'.repeat(length - 'a; '.length - others.length);
    return { second, ...summarize('', ['a', second, 'c'.repeat(300)]) };
  };
  const whole = summed(300);
  t.equal(whole.message, `a; ${whole.second}${others}`);
  t.equal(summed(301).message, 'a; and 2 more, see the log');
});

t.test('problems that fit on the line are all there, and none is said to be missing', async (t) => {
  t.equal(summarize('', ['a', 'b', 'c']).message, 'a; b; c');
  t.equal(summarize('', ['a', 'b', 'c']).details, 'a\nb\nc');
});

t.test('the first problem is shown whatever its length', async (t) => {
  const long = 'x'.repeat(400);
  t.equal(summarize('', [long, 'b']).message, `${long}; and 1 more, see the log`);
});

t.test('of a thousand problems the details have fifty and the number of the others', async (t) => {
  const lines = summarize('', many(1000)).details?.split('\n') ?? [];
  t.equal(lines.length, 51);
  t.equal(lines.at(-1), 'and 950 more');
  t.strictSame(lines.slice(0, 50), many(50));
  t.strictSame(summarize('', many(50)).details?.split('\n'), many(50), 'fifty are all');
});
