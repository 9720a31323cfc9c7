import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Performer } from '../../controller/perform.ts';
import { concernsUs, newMemory, Reconciler, type ReconcilerOptions } from '../../controller/reconcile.ts';
import { Records, withAttachment, withoutAttachment } from '../../controller/records.ts';
import { podOf } from '../../lib/attachments/pod.ts';
import { SlotsClosed } from '../../lib/attachments/slots.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import type { Sandbox } from '../../lib/cri/runtime-service.ts';
import { noNamespaces, scratchNamespace } from '../support/namespaces/namespace.ts';

// Which steps are made, in which order, and what is told of them. The steps themselves are made of data, the pod is real.

const NETWORKS = 'k8s.v1.cni.cncf.io/networks';
const STATUS = 'k8s.v1.cni.cncf.io/network-status';
const SANDBOX: Sandbox = { id: 'c', name: 'web', namespace: 'shop', uid: 'u', attempt: 0, isReady: true };

type World = { networks?: string; status?: object[]; isOnHostNetwork?: boolean; isStopping?: boolean };

function worldOf(t: Test, { networks, status, isOnHostNetwork = false, isStopping = false }: World = {}) {
  const scratch = scratchNamespace(t);
  scratch.ip('link add eth0 type bridge');
  const records = new Records(join(t.testdir(), 'records'));
  const podWith = (text: string | undefined, entries = status) =>
    podOf({
      metadata: {
        ...{ name: 'web', namespace: 'shop', uid: 'u', resourceVersion: '1' },
        annotations: {
          ...(text !== undefined && { [NETWORKS]: text }),
          ...(entries && { [STATUS]: JSON.stringify(entries) }),
        },
      },
      spec: { hostNetwork: isOnHostNetwork },
      status: { phase: 'Running' },
    });
  const did: string[] = [];
  const statuses: JsonObject[][] = [];
  const written: (string | undefined)[] = [];
  const fails: { [line: string]: Error } = {};
  const world = { netns: scratch.path as string | undefined, liveMs: undefined as number | undefined };
  const make = async (line: string, change: () => void) => {
    did.push(line);
    if (fails[line] !== undefined) throw fails[line];
    change();
  };
  const { recordOf } = Performer.prototype;
  const performer = {
    attach: async (view, { ifname, selection: { network, request } }) =>
      make(`attach ${ifname} ${network}`, () => {
        scratch.ip(`link add ${ifname} type bridge`);
        records.put(
          withAttachment(ofRecords(view), {
            ifname,
            network,
            state: 'attached',
            request,
            result: { interfaces: [{ name: ifname, sandbox: '/n' }] },
          }),
        );
      }),
    detach: async (view, { ifname, network }) =>
      make(`detach ${ifname} ${network}`, () => {
        scratch.ip(`link del ${ifname}`);
        records.put(withoutAttachment(ofRecords(view), ifname));
      }),
  } as Pick<Performer, 'attach' | 'detach'> as Performer;
  const own = new Performer({ records } as unknown as ConstructorParameters<typeof Performer>[0]);
  const ofRecords = (view: Parameters<typeof recordOf>[0]) => own.recordOf(view);
  const stopping = new AbortController();
  if (isStopping) stopping.abort();
  const options = {
    sandboxes: { networkNamespace: async () => world.netns },
    pathOf: (path: string) => path,
    globalNamespaces: new Set(['default']),
    cacheFolders: [],
    recordOf: ofRecords,
    client: {
      get: async () => {
        throw new Error('nobody has changed it');
      },
      mergePatch: async (
        _: string,
        { metadata: { annotations } }: { metadata: { annotations: { [key: string]: string } } },
      ) => {
        statuses.push(JSON.parse(annotations[STATUS] ?? ''));
        written.push(annotations[STATUS], memory.written);
        return {};
      },
    },
    performer,
    liveRoutes: {
      follow: async (_: unknown, __: unknown, pending: ReadonlySet<string>) =>
        void did.push(['follow', ...pending].join(' ')),
      nextMs: () => world.liveMs,
      forget: (key: string) => void did.push(`forget ${key}`),
    },
    definitions: {
      get: async (network: string) => void did.push(`get ${network}`),
      wait: (key: string, waited: ReadonlySet<string>) => void did.push(['wait', key, ...waited].join(' ')),
    },
    events: { record: (_: unknown, reason: string, message: string) => void did.push(`${reason}: ${message}`) },
    report: ({ kind, outcome, seconds }: { kind: string; outcome: string; seconds: number }) =>
      void did.push(`${kind} ${outcome}${seconds >= 0 && seconds < 600 ? '' : ` in ${seconds} s`}`),
    log: (_: unknown, what: string, error: Error | undefined) =>
      void did.push(`log ${what}${error ? `: ${error.message.length}` : ''}`),
    signal: stopping.signal,
  } as unknown as ReconcilerOptions;
  const reconciler = new Reconciler(options);
  const memory = newMemory();
  /** What was done for the pod with this annotation, and when it is looked at again. */
  const reconcile = async (text = networks, sandboxes: readonly Sandbox[] = [SANDBOX]) => {
    did.length = 0;
    const again = await reconciler.reconcile(podWith(text), sandboxes, memory);
    return { did: [...did], again };
  };
  /** Which definitions are read ahead for the pod with this annotation. */
  const readAhead = (text = networks) => {
    did.length = 0;
    reconciler.readAhead(podWith(text), memory, records.all());
    return [...did];
  };
  return { scratch, records, statuses, written, fails, world, memory, reconcile, readAhead };
}

const steps = ({ did }: { did: string[] }) => did.filter((line) => /^(attach|detach) net/.test(line));

t.test('what is selected is attached, told, and written into the status', { skip: noNamespaces }, async (t) => {
  const { reconcile, statuses } = worldOf(t, { networks: 'blue,green' });
  const { did, again } = await reconcile();
  t.strictSame(did, [
    'attach net1 shop/blue',
    'attach done',
    did[2] ?? '',
    'log attach net1 to shop/blue',
    'attach net2 shop/green',
    'attach done',
    did[6] ?? '',
    'log attach net2 to shop/green',
    'follow',
    'wait shop/web',
  ]);
  t.match([did[2], did[6]], [/^AddedInterface: .*net1.*blue/, /^AddedInterface: .*net2.*green/]);
  t.equal(again, undefined);
  t.strictSame(
    statuses.map((entries) =>
      entries.map(({ name, interface: ifname, default: isDefault }) => [name, ifname, isDefault]),
    ),
    [
      [
        ['', 'eth0', true],
        ['shop/blue', 'net1', undefined],
        ['shop/green', 'net2', undefined],
      ],
    ],
  );
  t.strictSame(steps(await reconcile()), [], 'and then nothing is left to do');
});

t.test('the text of a status is known before it is written', { skip: noNamespaces }, async (t) => {
  const { reconcile, written } = worldOf(t, { networks: 'blue' });
  await reconcile();
  t.equal(written.length, 2);
  t.equal(written[0], written[1]);
});

t.test('the definition of the first network to come is read ahead, once', { skip: noNamespaces }, async (t) => {
  const { readAhead, reconcile } = worldOf(t, { networks: 'blue,green' });
  t.strictSame(readAhead(), ['get shop/blue']);
  t.strictSame(readAhead(), [], 'the annotation is the same');
  await reconcile();
  t.strictSame(readAhead('blue,green,red'), ['get shop/red']);
  t.strictSame(readAhead('blue'), [], 'it has all of these');
  t.strictSame(readAhead('other/grey'), [], 'of a namespace that is not allowed');
  t.strictSame(worldOf(t, { networks: 'blue', isOnHostNetwork: true }).readAhead(), []);
});

t.test('what is not selected any more is detached before others are attached', { skip: noNamespaces }, async (t) => {
  const { reconcile } = worldOf(t);
  await reconcile('blue');
  const { did } = await reconcile('green');
  t.strictSame(steps({ did }), ['detach net1 shop/blue', 'attach net1 shop/green']);
  t.ok(did.some((line) => /^RemovedInterface: .*net1.*blue/.test(line)));
  t.ok(did.includes('detach done'));
});

t.test(
  'what fails is told, tried again later, and holds up only its own interface',
  { skip: noNamespaces },
  async (t) => {
    t.intercept(Math, 'random', { value: () => 0 });
    const { reconcile, fails, memory } = worldOf(t, { networks: 'blue,green' });
    fails['attach net1 shop/blue'] = new Error('x'.repeat(1000));
    const first = await reconcile();
    t.strictSame(steps(first), ['attach net1 shop/blue', 'attach net2 shop/green']);
    t.ok(first.did.includes('attach failed'));
    t.ok(first.did.includes('log attach net1 to shop/blue: 500'), 'as much of its words as a log line takes');
    t.ok(first.did.some((line) => /^FailedAddingInterface: .*net1.*blue.*x{500}$/.test(line)));
    t.strictSame(first.did.slice(-2), ['follow net1', 'wait shop/web shop/blue']);
    t.ok(first.again !== undefined && first.again > 0 && first.again <= 500, `${first.again}`);
    const second = await reconcile();
    t.strictSame(steps(second), [], 'not before its time');
    delete fails['attach net1 shop/blue'];
    memory.failures.retry();
    t.strictSame(steps(await reconcile()), ['attach net1 shop/blue']);
    t.strictSame(memory.failures.all(), []);
  },
);

t.test('what failed comes last, so that it holds nothing up', { skip: noNamespaces }, async (t) => {
  const { reconcile, fails } = worldOf(t, { networks: 'blue,green' });
  fails['attach net1 shop/blue'] = new Error('no room');
  fails['attach net2 shop/green'] = new SlotsClosed('not now');
  t.strictSame(steps(await reconcile()), ['attach net1 shop/blue', 'attach net2 shop/green']);
  const later = Date.now() + 1_000_000;
  t.intercept(Date, 'now', { value: () => later });
  t.strictSame(steps(await reconcile()), ['attach net2 shop/green', 'attach net1 shop/blue']);
});

t.test('with another annotation all is tried at once', { skip: noNamespaces }, async (t) => {
  const { reconcile, fails } = worldOf(t);
  fails['attach net1 shop/blue'] = new Error('no room');
  await reconcile('blue');
  t.strictSame(steps(await reconcile('blue')), []);
  t.strictSame(steps(await reconcile('blue,green')), ['attach net1 shop/blue', 'attach net2 shop/green']);
});

t.test('an attach waits for a detach of its interface that fails', { skip: noNamespaces }, async (t) => {
  const { reconcile, fails, statuses } = worldOf(t);
  await reconcile('blue');
  fails['detach net1 shop/blue'] = new Error('stuck');
  const { did, again } = await reconcile('green');
  t.strictSame(steps({ did }), ['detach net1 shop/blue']);
  t.ok(did.some((line) => /^FailedRemovingInterface: .*net1.*blue.*stuck/.test(line)));
  t.ok(again !== undefined && again <= 1000);
  t.match(statuses.at(-1), [{ interface: 'eth0' }, { name: 'shop/blue', interface: 'net1' }]);
});

t.test(
  'an agent that stops begins nothing, and what was not begun has not failed',
  { skip: noNamespaces },
  async (t) => {
    t.strictSame(steps(await worldOf(t, { networks: 'blue', isStopping: true }).reconcile()), []);
    const { reconcile, fails, memory } = worldOf(t, { networks: 'blue' });
    fails['attach net1 shop/blue'] = new SlotsClosed('it stops');
    const { did } = await reconcile();
    t.notOk(did.some((line) => /Failed|failed/.test(line)));
    t.strictSame(memory.failures.all(), []);
  },
);

t.test('what cannot be honored is told once', { skip: noNamespaces }, async (t) => {
  const { reconcile } = worldOf(t, { networks: 'far/blue' });
  const { did } = await reconcile();
  const told = did.filter((line) => line.startsWith('FailedAddingInterface'));
  t.match(told, [/namespace isolation/]);
  t.strictSame(
    (await reconcile()).did.filter((line) => line.startsWith('Failed')),
    [],
  );
  t.match(
    (await reconcile('far/green')).did.filter((line) => line.startsWith('Failed')),
    [/namespace isolation/],
  );
});

t.test('without a sandbox it is looked at again in a moment', { skip: noNamespaces }, async (t) => {
  const { reconcile, world } = worldOf(t, { networks: 'blue' });
  const waits = { did: ['forget shop/web'], again: 500 };
  t.strictSame(await reconcile('blue', []), waits);
  t.strictSame(await reconcile('blue', [{ ...SANDBOX, isReady: false }]), waits);
  world.netns = undefined;
  t.strictSame(await reconcile('blue'), waits);
});

t.test('of several sandboxes the last one that is ready counts', { skip: noNamespaces }, async (t) => {
  const { reconcile, records } = worldOf(t, { networks: 'blue' });
  const [old, last] = [
    { ...SANDBOX, id: 'old' },
    { ...SANDBOX, id: 'last', attempt: 1 },
  ];
  await reconcile('blue', [old, last, { ...SANDBOX, id: 'ended', attempt: 2, isReady: false }]);
  t.strictSame(
    records.all().map(({ containerID }) => containerID),
    ['last'],
  );
});

t.test('a pod on the node’s network is told once that it gets none', { skip: noNamespaces }, async (t) => {
  const { reconcile } = worldOf(t, { isOnHostNetwork: true });
  t.strictSame(await reconcile(undefined), { did: [], again: undefined });
  const { did } = await reconcile('blue');
  t.match(did, [/^InterfaceAddRejected: /]);
  t.strictSame((await reconcile('blue')).did, []);
  t.match((await reconcile('green')).did, [/^InterfaceAddRejected: /], 'again for another annotation');
});

t.test('the sooner of what is tried again and what routes follow', { skip: noNamespaces }, async (t) => {
  const { reconcile, world } = worldOf(t);
  world.liveMs = 700;
  t.equal((await reconcile('blue')).again, 700);
  world.liveMs = 0;
  t.equal((await reconcile('blue')).again, 0);
});

t.test(
  'a pod that nobody has written a status for, and that has nothing, gets none',
  { skip: noNamespaces },
  async (t) => {
    const { reconcile, statuses } = worldOf(t);
    await reconcile(undefined);
    t.strictSame(statuses, []);
    const own = { name: 'cluster', interface: 'eth0', ips: ['10.0.0.5'], default: true, dns: {} };
    const stale = worldOf(t, { status: [own, { name: 'shop/blue', interface: 'net1', dns: {} }] });
    await stale.reconcile(undefined);
    t.strictSame(stale.statuses, [[own]], 'what is not there is no longer said');
  },
);

t.test('most pods do not concern us', async (t) => {
  const concerns = (annotations: { [key: string]: string }) =>
    concernsUs(podOf({ metadata: { name: 'web', namespace: 'shop', uid: 'u', resourceVersion: '1', annotations } }));
  t.notOk(concerns({}));
  t.notOk(concerns({ [NETWORKS]: ' ', networks: '' }));
  t.ok(concerns({ [NETWORKS]: 'blue' }));
  t.ok(concerns({ networks: '[]' }));
  t.ok(concerns({ [STATUS]: '[{"name":"shop/blue","interface":"net1"}]' }));
  t.notOk(concerns({ [STATUS]: '[{"name":"cluster","interface":"eth0","default":true}]' }));
  t.notOk(concerns({ [STATUS]: 'odd' }));
});
