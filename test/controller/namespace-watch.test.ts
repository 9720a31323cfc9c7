import t, { type Test } from 'tap';
import { Allowance, NamespaceWatch } from '../../controller/namespace-watch.ts';
import { openNamespace } from '../../lib/netns/netns.ts';
import { noNamespaces, type Scratch, scratchPod } from '../support/namespaces/namespace.ts';
import { until } from '../support/until.ts';

/** A watch of a pod, and what it did. */
function watchOf(t: Test, pod: Scratch, look: () => Promise<number | undefined> = async () => undefined) {
  const namespace = openNamespace(pod.path);
  const did = { notices: 0, looks: 0, running: 0, most: 0, errors: [] as string[] };
  const load = { resting: 0 };
  const watch = new NamespaceWatch({
    ...{ namespace, load },
    noticed: (notices) => {
      did.notices++;
      return notices === 'lost' || notices.some(({ of }) => of === 'route');
    },
    look: async () => {
      did.looks++;
      did.most = Math.max(did.most, ++did.running);
      try {
        return await look();
      } finally {
        did.running--;
      }
    },
    failed: (error) => did.errors.push(error.message),
  });
  namespace.close();
  t.teardown(() => watch.close());
  return { watch, did, load };
}

t.test('looks after what is noticed, and not after what is not', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const { did } = watchOf(t, pod);
  pod.ip('rule add from 10.1.0.0/16 table 7');
  await until(() => did.notices === 1);
  pod.ip('route add blackhole 10.1.0.0/16');
  await until(() => did.looks === 1);
  t.equal(did.notices, 2);
});

t.test(
  'looks again when a look says so, one at a time, and after one that throws',
  { skip: noNamespaces },
  async (t) => {
    const pod = scratchPod(t);
    const results: (() => number | undefined)[] = [
      () => 1,
      () => {
        throw new Error('no');
      },
    ];
    const { watch, did } = watchOf(t, pod, async () => {
      watch.lookIn(0);
      await new Promise((resolve) => setImmediate(resolve));
      return results[did.looks - 1]?.();
    });
    watch.lookIn(10_000);
    watch.lookIn(0);
    await until(() => did.looks >= 5);
    t.equal(did.most, 1);
    t.strictSame(did.errors, ['no']);
    await watch.close();
    const { looks } = did;
    watch.lookIn(0);
    await new Promise((resolve) => setImmediate(resolve));
    t.equal(did.looks, looks, 'none after the end');
  },
);

t.test(
  'what happened during a look can be noticed in it, and is looked at after it',
  { skip: noNamespaces },
  async (t) => {
    const pod = scratchPod(t);
    const noticed: number[] = [];
    const { watch, did } = watchOf(t, pod, async () => {
      if (did.looks > 1) return undefined;
      pod.ip('route add blackhole 10.1.0.0/16');
      watch.catchUp();
      noticed.push(did.notices);
      return undefined;
    });
    watch.lookIn(0);
    await until(() => did.looks === 2);
    t.strictSame(noticed, [1]);
    await watch.close();
    watch.catchUp();
    t.strictSame([did.notices, did.errors], [1, []], 'nothing after the end');
  },
);

t.test('a flood is looked at now and then, and one that is closed rests no more', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const workMs = () => process.threadCpuUsage().user / 1000;
  const { watch, did, load } = watchOf(t, pod, async () => {
    const begun = workMs();
    while (workMs() < begun + 60);
    return 1;
  });
  const begun = performance.now();
  watch.lookIn(0);
  await until(() => did.looks >= 3);
  const took = performance.now() - begun;
  // Two at once, and then what that took too much of is a fiftieth of the rest.
  t.ok(took > 500, `three looks within ${took} ms`);
  pod.ip('route add blackhole 10.1.0.0/16');
  await until(() => load.resting === 1);
  await watch.close();
  t.equal(load.resting, 0);
});

t.test('a namespace takes a fiftieth of the time, after a tenth of a second at once', async (t) => {
  const rests = (...turns: [now: number, ms: number, resting?: number][]) => {
    const allowance = new Allowance(0);
    return turns.map(([now, ms, resting = 1]) => Math.round(allowance.restAfter(ms, resting, now)));
  };
  t.strictSame(rests([0, 1]), [20], 'a little is for nothing');
  t.strictSame(rests([0, 60], [0, 40], [0, 2], [0, 1]), [20, 20, 100, 150], 'what is more, fifty times');
  t.strictSame(rests([0, 110], [500, 0], [1000, 12]), [500, 20, 100], 'what it has not taken it may take later');
  t.strictSame(rests([1e6, 110]), [500], 'not more than the tenth of a second');
  t.strictSame(rests([0, 1000]), [5000], 'but it never rests longer than five seconds');
  t.strictSame(rests([0, 110, 0]), [500]);
  t.strictSame(rests([0, 110, 5]), [500]);
  t.strictSame(rests([0, 110, 10]), [1000], 'many together take a tenth');
});
