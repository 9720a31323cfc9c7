import t from 'tap';
import { Slots, SlotsClosed } from '../../../lib/attachments/slots.ts';

/** Work that ends when it is told to, and says when it began. */
function work(slots: Slots, begun: string[], key: string, name: string) {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const done = slots.run(key, () => {
    begun.push(name);
    return promise;
  });
  return { done, end: () => resolve(name), fail: (error: Error) => reject(error) };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

t.test('so many run in all and of one key; what waits for its key holds no other up', async (t) => {
  const slots = new Slots(3, 2);
  const begun: string[] = [];
  const [a1, a2, a3] = ['a1', 'a2', 'a3'].map((name) => work(slots, begun, 'a', name));
  const b1 = work(slots, begun, 'b', 'b1');
  const b2 = work(slots, begun, 'b', 'b2');
  await settled();
  t.strictSame(begun, ['a1', 'a2', 'b1']);
  t.strictSame([slots.running, slots.waiting], [3, 2]);
  b1.end();
  t.equal(await b1.done, 'b1');
  await settled();
  t.strictSame(begun.slice(3), ['b2'], 'a3 has waited longer, but its key has no room');
  a1?.fail(new Error('broken'));
  await t.rejects(async () => void (await a1?.done), /broken/);
  await settled();
  t.strictSame(begun.slice(4), ['a3'], 'who fails leaves its place too');
  for (const one of [a2, a3, b2]) one?.end();
  await Promise.all([a2, a3, b2].map((one) => one?.done));
  t.strictSame([slots.running, slots.waiting], [0, 0]);
});

t.test('who leaves makes room for one, of the same key too', async (t) => {
  const slots = new Slots(4, 2);
  const begun: string[] = [];
  const b = work(slots, begun, 'b', 'b');
  const all = [1, 2, 3, 4, 5].map((number) => work(slots, begun, 'a', `a${number}`));
  for (let ended = 0; ended < all.length; ended++) {
    await settled();
    t.equal(begun.length, Math.min(1 + ended + 2, 6));
    t.strictSame([slots.running, slots.waiting], [Math.min(3, 6 - ended), Math.max(0, 3 - ended)]);
    all[ended]?.end();
    await all[ended]?.done;
  }
  t.equal(slots.running, 1);
  b.end();
  await b.done;
  t.equal(slots.running, 0);
});

t.test('who waits longest comes first', async (t) => {
  const slots = new Slots(1, 1);
  const begun: string[] = [];
  const all = ['a', 'b', 'c'].map((name) => work(slots, begun, name, name));
  for (const one of all) {
    one.end();
    await one.done;
  }
  t.strictSame(begun, ['a', 'b', 'c']);
});

t.test('once closed, what runs ends, and nothing else begins', async (t) => {
  const slots = new Slots(1, 1);
  const begun: string[] = [];
  const first = work(slots, begun, 'a', 'first');
  const second = work(slots, begun, 'a', 'second');
  slots.close();
  const third = work(slots, begun, 'b', 'third');
  for (const { done } of [second, third]) t.ok((await done.catch((error) => error)) instanceof SlotsClosed);
  first.end();
  t.equal(await first.done, 'first');
  t.strictSame(begun, ['first']);
  t.strictSame([slots.running, slots.waiting], [0, 0]);
});
