import t from 'tap';
import { canonicalJson, isDeeperThan, isJsonObject } from '../../../lib/cni/json.ts';

t.test('isJsonObject accepts objects alone', async (t) => {
  t.strictSame([{}, { a: 1 }, [], null, 'text', 1, undefined].map(isJsonObject), [true, true, ...Array(5).fill(false)]);
});

t.test('isDeeperThan counts objects and lists, not what stands in them', async (t) => {
  const cases: [value: unknown, depth: number][] = [
    ['text', 0],
    [null, 0],
    [{}, 1],
    [{ a: 1, b: 'x' }, 1],
    [[[]], 2],
    [{ a: 1, b: [{ c: 1 }] }, 3],
  ];
  for (const [value, depth] of cases) {
    t.equal(isDeeperThan(value, depth), false, JSON.stringify(value));
    if (depth > 0) t.equal(isDeeperThan(value, depth - 1), true, JSON.stringify(value));
  }
});

t.test('isDeeperThan does not exhaust the stack', async (t) => {
  let value: unknown = 1;
  for (let depth = 0; depth < 100_000; depth++) value = [value];
  t.equal(isDeeperThan(value, 100), true);
  t.equal(isDeeperThan(value, 100_000), false);
});

t.test('canonicalJson does not depend on the order of keys', async (t) => {
  t.equal(canonicalJson({ b: [{ d: 1, c: 2 }], a: null }), '{"a":null,"b":[{"c":2,"d":1}]}');
  t.equal(canonicalJson({ a: null, b: [{ c: 2, d: 1 }] }), '{"a":null,"b":[{"c":2,"d":1}]}');
});
