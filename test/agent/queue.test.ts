import fc from 'fast-check';
import t from 'tap';
import { NotBegun, Overload, Queue } from '../../agent/queue.ts';

const PLENTY = { running: 100, waiting: 100, waitMs: 60_000 };

/** Work that ends when it is told to. */
function work(): { run: () => Promise<void>; begun: boolean; end: () => void } {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const self = {
    begun: false,
    end: () => end(),
    run: async () => {
      self.begun = true;
      await ended;
    },
  };
  return self;
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

t.test('work of one key runs one after another, in the order in which it came', async (t) => {
  const queue = new Queue(PLENTY);
  const jobs = [work(), work(), work()];
  const done = jobs.map((job) => queue.run('a', job.run));
  for (const [index, job] of jobs.entries()) {
    await settle();
    t.strictSame(
      jobs.map(({ begun }) => begun),
      jobs.map((_, i) => i <= index),
    );
    t.equal(queue.running, 1);
    t.equal(queue.waiting, jobs.length - 1 - index);
    job.end();
  }
  await Promise.all(done);
  t.equal(queue.running, 0);
});

t.test('work of different keys runs at the same time, up to the limit, and the first that waits is next', async (t) => {
  const queue = new Queue({ ...PLENTY, running: 2 });
  const jobs = [work(), work(), work(), work()] as const;
  const done = jobs.map((job, index) => queue.run(`key ${index}`, job.run));
  await settle();
  t.strictSame(
    jobs.map(({ begun }) => begun),
    [true, true, false, false],
  );
  jobs[1].end();
  await settle();
  t.strictSame(
    jobs.map(({ begun }) => begun),
    [true, true, true, false],
  );
  for (const job of jobs) job.end();
  await Promise.all(done);
});

t.test('work whose key is busy does not hold up what came after it', async (t) => {
  const queue = new Queue({ ...PLENTY, running: 2 });
  const [a1, a2, b] = [work(), work(), work()];
  const done = [queue.run('a', a1.run), queue.run('a', a2.run), queue.run('b', b.run)];
  await settle();
  t.strictSame([a1.begun, a2.begun, b.begun], [true, false, true]);
  for (const job of [a1, a2, b]) job.end();
  await Promise.all(done);
});

t.test('work that fails makes way for the next, and its failure is told', async (t) => {
  const queue = new Queue(PLENTY);
  const failed = queue.run('a', async () => {
    throw new Error('broken');
  });
  const next = queue.run('a', async () => 'done');
  await t.rejects(failed, { message: 'broken' });
  t.equal(await next, 'done');
  const thrown = queue.run('a', () => {
    throw new Error('at once');
  });
  await t.rejects(thrown, { message: 'at once' });
  t.equal(queue.running, 0);
});

t.test('what comes when too much waits is refused at once, and never runs', async (t) => {
  const queue = new Queue({ ...PLENTY, waiting: 1 });
  const [first, second, third] = [work(), work(), work()];
  const done = [queue.run('a', first.run), queue.run('a', second.run)];
  await t.rejects(queue.run('a', third.run), new Overload('1 calls are waiting already'));
  t.equal(await queue.run('b', async () => 'another key'), 'another key');
  first.end();
  second.end();
  await Promise.all(done);
  t.notOk(third.begun);
});

t.test('what waits too long is refused, and never runs', async (t) => {
  const queue = new Queue({ ...PLENTY, waitMs: 20 });
  const [first, second, third] = [work(), work(), work()];
  const running = queue.run('a', first.run);
  await t.rejects(queue.run('a', second.run), new Overload('waited 0.02 s for other calls'));
  t.equal(queue.waiting, 0);
  const behind = queue.run('a', third.run);
  first.end();
  third.end();
  await Promise.all([running, behind]);
  t.notOk(second.begun);
});

t.test('what waits can be refused, and what runs goes on', async (t) => {
  const queue = new Queue(PLENTY);
  const [first, second] = [work(), work()];
  const running = queue.run('a', first.run);
  const waiting = queue.run('a', second.run);
  queue.refuseWaiting();
  t.ok((await waiting.catch((error: unknown) => error)) instanceof NotBegun);
  t.equal(queue.waiting, 0);
  first.end();
  await running;
  t.notOk(second.begun);
});

t.test('whatever comes, no key runs twice at once, nothing is lost, and the limits hold', async (t) => {
  const job = fc.record({
    key: fc.constantFrom('a', 'b', 'c', 'd'),
    ms: fc.nat(3),
    fails: fc.boolean(),
    after: fc.nat(2),
  });
  const limits = fc.record({
    running: fc.integer({ min: 1, max: 3 }),
    waiting: fc.nat(6),
    waitMs: fc.constantFrom(1, 1000),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(job, { maxLength: 15 }), limits, async (jobs, limits) => {
      const queue = new Queue(limits);
      const busy = new Set<string>();
      const order = new Map<string, number[]>();
      let ran = 0;
      const outcomes: Promise<string>[] = [];
      for (const [index, { key, ms, fails, after }] of jobs.entries()) {
        if (after > 0) await new Promise((resolve) => setTimeout(resolve, after));
        const run = queue.run(key, async () => {
          if (busy.has(key)) throw new Error(`${key} runs already`);
          busy.add(key);
          order.set(key, [...(order.get(key) ?? []), index]);
          if (busy.size > limits.running) throw new Error('too many run');
          await new Promise((resolve) => setTimeout(resolve, ms));
          busy.delete(key);
          ran++;
          if (fails) throw new Error('meant to fail');
        });
        if (queue.waiting > limits.waiting) throw new Error('too many wait');
        outcomes.push(
          run.then(
            () => 'done',
            (error: Error) => (error instanceof Overload ? 'refused' : error.message),
          ),
        );
      }
      const ends = await Promise.all(outcomes);
      const expected = jobs.filter((_, index) => ends[index] !== 'refused');
      t.strictSame(
        ends.filter((end) => end !== 'refused'),
        expected.map(({ fails }) => (fails ? 'meant to fail' : 'done')),
      );
      if (ran !== expected.length) throw new Error(`${ran} ran of ${expected.length}`);
      for (const indices of order.values())
        t.strictSame(
          indices,
          indices.toSorted((a, b) => a - b),
        );
      if (queue.running + queue.waiting > 0) throw new Error('something is left');
    }),
    { numRuns: 40 },
  );
});
