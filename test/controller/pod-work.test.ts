import t from 'tap';
import type { Failures } from '../../controller/failures.ts';
import { PodWork, type PodWorkOptions } from '../../controller/pod-work.ts';
import { ReadAhead } from '../../controller/read-ahead.ts';
import type { Memory } from '../../controller/reconcile.ts';
import type { SandboxRecord } from '../../controller/records.ts';
import { type Pod, podOf } from '../../lib/attachments/pod.ts';
import type { Sandbox } from '../../lib/cri/runtime-service.ts';

const KEY = 'shop/web';

const podWith = (networks: string | undefined, phase = 'Running', uid = 'u'): Pod =>
  podOf({
    metadata: {
      ...{ name: 'web', namespace: 'shop', uid, resourceVersion: '1' },
      annotations: networks === undefined ? {} : { 'k8s.v1.cni.cncf.io/networks': networks },
    },
    status: { phase },
  });
const sandbox = (id: string, uid = 'u', isReady = true): Sandbox => ({
  id,
  uid,
  isReady,
  name: 'web',
  namespace: 'shop',
  attempt: 0,
});
const record = (containerID: string, uid = 'u'): SandboxRecord => ({
  ...{ version: 1, containerID, netns: '/n', attachments: [], defaults: [] },
  pod: { namespace: 'shop', name: 'web', uid },
});

type World = {
  pods: Map<string, Pod>;
  sandboxes: Sandbox[];
  records: SandboxRecord[];
  hasOurs: boolean;
  again: number | undefined;
  /** Sandboxes that cannot be released. */
  stuck: string[];
  fault: Error | undefined;
};

/** The work on pods of a world made of data; `did` has what came of it, in order. */
function workOn(world: Partial<World>) {
  const state: World = {
    pods: new Map(),
    sandboxes: [],
    records: [],
    hasOurs: false,
    again: undefined,
    stuck: [],
    fault: undefined,
    ...world,
  };
  const did: string[] = [];
  const memories: Memory[] = [];
  const list = (of: string) => async (uid: string) => {
    did.push(`${of} ${uid}`);
    return state.sandboxes.filter((each) => each.uid === uid);
  };
  const ahead = new ReadAhead({ get: async () => Promise.reject(new Error('nobody asks')) }, undefined);
  const work = new PodWork({
    pods: () => state.pods,
    sandboxes: { running: list('running'), all: list('all') },
    records: { ofPod: () => state.records } as unknown as PodWorkOptions['records'],
    performer: {
      release: async ({ containerID }) => {
        if (state.stuck.includes(containerID)) throw new Error(`${containerID} is stuck`);
        did.push(`release ${containerID}`);
      },
    },
    reconciler: {
      readAhead: (_, memory) => {
        did.push('read ahead');
        memory.written = 'what we wrote';
        return ahead;
      },
      reconcile: async (_, sandboxes, memory, given) => {
        did.push(`reconcile ${sandboxes.map(({ id }) => id)}`);
        if (given !== ahead) did.push('nothing was read ahead');
        memories.push(memory);
        if (state.fault !== undefined) throw state.fault;
        return state.again;
      },
    },
    definitions: { wait: (key, networks) => void did.push(`wait ${key} ${networks.size}`) },
    liveRoutes: { forget: (key) => void did.push(`forget ${key}`) },
    healing: { failures: () => new Map([[KEY, [failure('put back')]]]) },
    hasOurs: () => state.hasOurs,
    log: (level, message) => void did.push(`${level} ${message}`),
  });
  return { state, did, memories, work };
}

const failure = (what: string) => ({ what, network: undefined, reason: 'no', attempts: 1, until: Date.now() + 60_000 });

t.test(
  'a pod that concerns us is reconciled with the sandboxes of its UID, and looked at again when that says',
  async (t) => {
    const pods = new Map([[KEY, podWith('blue')]]);
    const { did, work, state } = workOn({
      pods,
      sandboxes: [sandbox('a'), sandbox('b', 'u', false), sandbox('c', 'other')],
      again: 700,
    });
    t.strictSame(await work.work(KEY), { afterMs: 700 });
    t.strictSame(did, ['read ahead', 'running u', 'reconcile a,b'], 'the definition and the sandboxes at once');
    t.ok(work.hasWritten(KEY, 'what we wrote'));
    t.notOk(work.hasWritten(KEY, 'what another wrote'));
    t.notOk(work.hasWritten(KEY, undefined));
    t.ok(work.knows(KEY));
    state.again = undefined;
    t.equal(await work.work(KEY), undefined);
  },
);

t.test('one that selects nothing, does not run, or is gone is forgotten', async (t) => {
  const forgotten = [`wait ${KEY} 0`, `forget ${KEY}`];
  const none = workOn({ pods: new Map([[KEY, podWith(undefined)]]) });
  t.equal(await none.work.work(KEY), undefined);
  t.strictSame(none.did, ['read ahead', 'running u', ...forgotten]);
  t.notOk(none.work.hasWritten(KEY, 'what we wrote'));
  const pending = workOn({ pods: new Map([[KEY, podWith('blue', 'Pending')]]) });
  await pending.work.work(KEY);
  t.strictSame(pending.did, forgotten, 'the runtime is not asked');
  const gone = workOn({});
  await gone.work.work(KEY);
  t.strictSame(gone.did, forgotten);
  t.notOk(gone.work.knows(KEY));
});

t.test('one that has something of ours is reconciled whatever it selects', async (t) => {
  for (const world of [{ hasOurs: true }, { records: [record('a')], sandboxes: [sandbox('a')] }]) {
    const { did, work } = workOn({ pods: new Map([[KEY, podWith(undefined)]]), ...world });
    await work.work(KEY);
    t.match(did.at(-1), /^reconcile/);
  }
});

t.test('what sandboxes had that are not there any more is released', async (t) => {
  const pods = new Map([[KEY, podWith('blue')]]);
  const { did, work } = workOn({
    ...{ pods, sandboxes: [sandbox('a'), sandbox('stopped', 'u', false)] },
    records: [record('a'), record('stopped'), record('old', 'before')],
  });
  t.equal(await work.work(KEY), undefined);
  const released = 'info released what a sandbox had';
  t.strictSame(did, [
    'read ahead',
    'running u',
    'all before',
    'release stopped',
    released,
    'release old',
    released,
    'reconcile a,stopped',
  ]);
});

t.test(
  'a sandbox that goes on after its pod is looked at again in five seconds, or sooner if something else is',
  async (t) => {
    const old = { sandboxes: [sandbox('old', 'before')], records: [record('old', 'before')] };
    t.strictSame(await workOn(old).work.work(KEY), { afterMs: 5000 });
    const pods = new Map([[KEY, podWith('blue')]]);
    t.strictSame(await workOn({ ...old, pods }).work.work(KEY), { afterMs: 5000 });
    t.strictSame(await workOn({ ...old, pods, again: 700 }).work.work(KEY), { afterMs: 700 });
    t.strictSame(await workOn({ ...old, pods, again: 9000 }).work.work(KEY), { afterMs: 5000 });
    const ending = {
      pods: new Map([[KEY, podWith('blue', 'Succeeded')]]),
      sandboxes: [sandbox('a')],
      records: [record('a')],
    };
    t.strictSame(await workOn(ending).work.work(KEY), { afterMs: 5000 });
    t.equal(await workOn({ ...ending, pods }).work.work(KEY), undefined);
  },
);

t.test('what cannot be released does not hold up the pod that is there, and is tried again', async (t) => {
  t.intercept(Math, 'random', { value: () => 0 });
  const pods = new Map([[KEY, podWith('blue')]]);
  const records = [record('x', 'before'), record('y', 'before'), record('z', 'before')];
  const { did, work, state } = workOn({ pods, records, stuck: ['x', 'z'], sandboxes: [sandbox('a')] });
  t.strictSame(await work.work(KEY), { afterMs: 125 });
  t.ok(did.includes('release y') && did.includes('reconcile a'));
  t.strictSame(await work.work(KEY), { afterMs: 250 }, 'twice as long after the second failure');
  const [, fault] = work.pending();
  t.match(fault, {
    pod: KEY,
    what: 'look at the pod',
    reason: 'sandbox x: x is stuck\nsandbox z: z is stuck',
    retryInSeconds: 0,
  });
  state.stuck = [];
  t.equal(await work.work(KEY), undefined);
  t.strictSame(
    work.pending().map(({ what }) => what),
    ['put back'],
    'it is forgotten once it is done',
  );
  const gone = workOn({ records, stuck: ['x'] });
  t.strictSame(await gone.work.work(KEY), { afterMs: 125 }, 'nor where no pod is there');
  t.ok(gone.did.includes('warn a pod could not be inspected'));
});

t.test('what failed is pending, and is tried at once when something has changed', async (t) => {
  const pods = new Map([[KEY, podWith('blue')]]);
  const { work, memories, state } = workOn({ pods });
  await work.work(KEY);
  const [memory] = memories;
  const failures = [memory?.failures, memory?.live.failures] as [Failures, Failures];
  const fail = () => {
    failures[0].add('a', 'attach net1', 'default/blue', 'no');
    failures[1].add('b', 'update net2', 'default/green', 'no');
  };
  fail();
  t.equal(work.failuresOf(KEY), failures[0]);
  t.strictSame(
    work.pending().map(({ pod, what }) => [pod, what]),
    [
      [KEY, 'attach net1'],
      [KEY, 'update net2'],
      [KEY, 'put back'],
    ],
  );
  const waiting = () => [failures[0].isWaiting('a'), failures[1].isWaiting('b')];
  t.strictSame(waiting(), [true, true]);
  t.strictSame([...work.retry({ network: 'default/blue', pods: [KEY, 'shop/unknown'] })], [KEY, 'shop/unknown']);
  t.strictSame(waiting(), [false, true]);
  fail();
  work.retry({ network: 'default/green', pods: [KEY] });
  t.strictSame(waiting(), [true, false]);
  state.fault = new Error('odd');
  state.pods.set('shop/other', podWith('blue'));
  await work.work('shop/other');
  t.strictSame([...work.retry()].sort(), ['shop/other', 'shop/other', KEY].sort());
  t.strictSame(waiting(), [false, false]);
  if (memory !== undefined) memory.live.kept = [{ ifname: 'net2', network: 'default/green' }];
  t.strictSame(work.kept(), [{ pod: KEY, ifname: 'net2', network: 'default/green' }]);
});
