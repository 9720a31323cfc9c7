import { mock } from 'node:test';
import fc from 'fast-check';
import t from 'tap';
import { NotServed, Queue, type Turn } from '../../agent/queue.ts';

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

t.test('work that fails makes way for the next, and its failure is reported', async (t) => {
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
  await t.rejects(queue.run('a', third.run), new NotServed('queue full'));
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
  await t.rejects(queue.run('a', second.run), new NotServed('waited too long'));
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
  queue.stop();
  t.ok((await waiting.catch((error: unknown) => error)) instanceof NotServed);
  t.equal(queue.waiting, 0);
  first.end();
  await running;
  t.notOk(second.begun);
});

const never = () => () => {};

t.test('work that pauses makes room for other keys, and keeps its own', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const queue = new Queue({ ...PLENTY, running: 1 });
  const [after, other] = [work(), work()];
  const paused: string[] = [];
  const patient = queue.run('a', async ({ pause }) => {
    await pause(1000, never);
    paused.push('over');
  });
  await settle();
  t.strictSame([queue.running, queue.waiting, queue.patient], [0, 0, 1]);
  const done = [queue.run('a', after.run), queue.run('b', other.run)];
  await settle();
  t.strictSame([after.begun, other.begun], [false, true]);
  mock.timers.tick(1000);
  await settle();
  t.equal(queue.waiting, 2);
  t.strictSame(paused, [], 'it goes on only when there is a place again');
  other.end();
  await patient;
  after.end();
  await Promise.all(done);
  t.strictSame([queue.running, queue.waiting, queue.patient], [0, 0, 0]);
});

t.test('a pause ends when nobody waits for the work any more, or the queue is stopped', async (t) => {
  const queue = new Queue(PLENTY);
  let go = () => {};
  let left = 0;
  const onGone = (listener: () => void) => {
    go = listener;
    return () => {
      left++;
    };
  };
  const abandoned = queue.run('a', ({ pause }) => pause(60_000, onGone));
  await settle();
  go();
  await t.rejects(abandoned, new NotServed('caller gone'));
  t.equal(left, 1, 'the listener is taken back');
  const stopped = queue.run('a', ({ pause }) => pause(60_000, never));
  await settle();
  queue.stop();
  await t.rejects(stopped, new NotServed('stopping'));
  t.strictSame([queue.running, queue.waiting, queue.patient], [0, 0, 0]);
  t.equal(await queue.run('a', async () => 'free again'), 'free again');
});

t.test('those that pause are among those that may wait, and what is too many goes elsewhere', async (t) => {
  const queue = new Queue({ ...PLENTY, waiting: 1 });
  const first = queue.run('a', ({ pause }) => pause(60_000, never));
  await settle();
  await t.rejects(
    queue.run('b', ({ pause }) => pause(60_000, never)),
    new NotServed('queue full'),
  );
  t.equal(await queue.run('c', async () => 'served'), 'served');
  queue.stop();
  await t.rejects(first);
});

t.test('work that runs on after the stop cannot be patient any more', async (t) => {
  const queue = new Queue(PLENTY);
  const between = work();
  const done = queue.run('a', async ({ pause }) => {
    await between.run();
    await pause(500, never);
  });
  await settle();
  queue.stop();
  between.end();
  await t.rejects(done, new NotServed('stopping'));
  t.strictSame([queue.running, queue.patient], [0, 0]);
});

t.test('large work runs one at a time, and others have a turn of the event loop in between', async (t) => {
  const queue = new Queue(PLENTY);
  const order: string[] = [];
  const large = (name: string) => queue.run(name, async () => void order.push(name), { large: true });
  const done = [large('large 1'), large('large 2'), large('large 3')];
  const small = new Promise<void>((resolve) => {
    setImmediate(() => {
      setImmediate(() => {
        order.push('small');
        resolve();
      });
    });
  });
  await Promise.all([...done, small]);
  t.ok(order.indexOf('small') < order.indexOf('large 3'), order.join());
});

t.test('large work is not overtaken by later work of its key, which there would be room for', async (t) => {
  const queue = new Queue(PLENTY);
  const order: string[] = [];
  const [other, first] = [work(), work()];
  const done = [
    queue.run('other', other.run, { large: true }),
    queue.run('a', first.run),
    queue.run('a', async () => void order.push('large'), { large: true }),
    queue.run('a', async () => void order.push('waited behind it')),
  ];
  first.end();
  await settle();
  done.push(queue.run('a', async () => void order.push('came when the key was free')));
  await settle();
  t.strictSame(order, []);
  other.end();
  await Promise.all(done);
  t.strictSame(order, ['large', 'waited behind it', 'came when the key was free']);
});

t.test('whatever comes, no key runs twice at once, nothing is lost, and the limits hold', async (t) => {
  const job = fc.record({
    key: fc.constantFrom('a', 'b', 'c', 'd'),
    ms: fc.nat(3),
    rests: fc.nat(2),
    large: fc.boolean(),
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
      let largeOnes = 0;
      const outcomes: Promise<string>[] = [];
      for (const [index, { key, ms, rests, large, fails, after }] of jobs.entries()) {
        if (after > 0) await new Promise((resolve) => setTimeout(resolve, after));
        const work = async ({ pause }: Turn) => {
          if (busy.has(key)) throw new Error(`${key} runs already`);
          busy.add(key);
          order.set(key, [...(order.get(key) ?? []), index]);
          try {
            for (let rest = 0; rest <= rests; rest++) {
              if (queue.running > limits.running) throw new Error('too many run');
              if (large && ++largeOnes > 1) throw new Error('two large ones run');
              await new Promise((resolve) => setTimeout(resolve, ms));
              if (large) largeOnes--;
              if (rest < rests) await pause(ms, () => () => {});
            }
          } finally {
            busy.delete(key);
          }
          ran++;
          if (fails) throw new Error('meant to fail');
        };
        const run = queue.run(key, work, { large });
        if (queue.waiting > limits.waiting) throw new Error('too many wait');
        outcomes.push(
          run.then(
            () => 'done',
            (error: Error) => (error instanceof NotServed ? 'refused' : error.message),
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
      if (queue.running + queue.waiting + queue.patient > 0) throw new Error('something is left');
    }),
    { numRuns: 40 },
  );
});
