import t, { type Test } from 'tap';
import { EventRecorder, messages } from '../../../lib/attachments/events.ts';
import type { Pod } from '../../../lib/attachments/pod.ts';
import { ApiStandIn, refuse } from '../../support/kubernetes/api-stand-in.ts';
import { until } from '../../support/until.ts';

const POD: Pod = {
  namespace: 'shop',
  name: 'web',
  uid: 'uid-1',
  sandboxUid: 'uid-1',
  resourceVersion: '7',
  isRunning: true,
  isOnHostNetwork: false,
  address: undefined,
  networks: undefined,
  kactusNetworks: undefined,
  defaultNetwork: undefined,
  status: undefined,
};
const EVENTS = '/api/v1/namespaces/shop/events';

async function recorder(t: Test) {
  const api = new ApiStandIn();
  await api.start();
  const client = api.client();
  t.teardown(async () => {
    client.close();
    await api.stop();
  });
  const lost: string[] = [];
  let now = Date.parse('2026-01-02T03:04:05.678Z');
  const events = new EventRecorder({ client, node: 'node-1', lost: (why) => lost.push(why), now: () => now });
  const pass = (seconds: number) => {
    now += seconds * 1000;
  };
  return { api, events, lost, pass };
}

t.test('writes the peer’s reasons and texts', async (t) => {
  const request = { ips: ['10.1.1.7/24', 'fd00::7'], mac: '02:00:00:00:00:01', cniArgs: { a: 1 } };
  t.equal(messages.added(POD, 'net1', 'shop/blue', {}), 'pod [shop/web]: added interface net1 to network: blue');
  t.equal(
    messages.added(POD, 'net1', 'shop/blue', request),
    'pod [shop/web]: added interface net1 to network: blue(ips: [10.1.1.7/24 fd00::7], mac: 02:00:00:00:00:01, cni-args: {"a":1})',
  );
  t.equal(messages.removed(POD, 'net1', 'shop/blue'), 'pod [shop/web]: removed interface net1 from network: blue');
  t.equal(
    messages.failedAdding(POD, 'net1', 'shop/blue', {}, 'no such bridge'),
    'pod [shop/web]: failed adding interface net1 to network: blue: no such bridge',
  );
  t.equal(
    messages.failedRemoving(POD, 'net1', 'shop/blue', 'busy'),
    'pod [shop/web]: failed removing interface net1 from network: blue: busy',
  );
  t.equal(messages.rejected(POD), 'pod [shop/web]: will not add interface to host networked pod');
});

t.test('an event is about the pod, and counts up when it happens again', async (t) => {
  const { api, events, pass } = await recorder(t);
  events.record(POD, 'AddedInterface', 'one');
  events.record(POD, 'FailedAddingInterface', 'two');
  pass(60);
  events.record(POD, 'FailedAddingInterface', 'two');
  await events.written();
  const written = api.asked.map(({ method, body }) => ({ method, body }));
  t.match(written, [
    {
      method: 'POST',
      body: {
        involvedObject: { kind: 'Pod', namespace: 'shop', name: 'web', uid: 'uid-1' },
        type: 'Normal',
        reason: 'AddedInterface',
        source: { component: 'pod-networks-updates', host: 'node-1' },
        firstTimestamp: '2026-01-02T03:04:05Z',
        count: 1,
      },
    },
    { method: 'POST', body: { type: 'Warning', reason: 'FailedAddingInterface', message: 'two' } },
    { method: 'PATCH', body: { count: 2, lastTimestamp: '2026-01-02T03:05:05Z' } },
  ]);
});

t.test('one that the server has forgotten is created again', async (t) => {
  const { api, events, pass } = await recorder(t);
  events.record(POD, 'FailedAddingInterface', 'text');
  await events.written();
  const { name } = (api.asked[0]?.body?.metadata ?? {}) as { name?: string };
  api.delete(`${EVENTS}/${name}`);
  pass(1);
  events.record(POD, 'FailedAddingInterface', 'text');
  await events.written();
  t.strictSame(
    api.asked.map(({ method }) => method),
    ['POST', 'PATCH', 'POST'],
  );
});

t.test('a flood is cut, and a server that refuses harms nothing', async (t) => {
  const { api, events, lost, pass } = await recorder(t);
  for (let i = 0; i < 100; i++) events.record(POD, 'FailedAddingInterface', `text ${i}`);
  await events.written();
  t.equal(api.asked.length, 25);
  t.equal(lost.length, 75);
  pass(60);
  for (let i = 0; i < 5; i++) events.record(POD, 'FailedAddingInterface', `later ${i}`);
  await events.written();
  t.equal(api.asked.length, 27, 'time makes room');
  api.fault = (_, response) => {
    refuse(response, 403, 'Forbidden', 'not allowed');
    return true;
  };
  pass(3600);
  events.record(POD, 'AddedInterface', 'x'.repeat(5000));
  await events.written();
  t.match(lost.at(-1), /not allowed/);
  t.equal(String(api.asked.at(-1)?.body?.message).length, 1024);
  events.record({ ...POD, uid: 'another' }, 'FailedAddingInterface', 'one:\n  two\nthree');
  await events.written();
  t.equal(api.asked.at(-1)?.body?.message, 'one:; two; three');
});

t.test('a server that does not answer holds up nobody who stops', async (t) => {
  const { api } = await recorder(t);
  api.fault = () => true;
  const client = api.client(60_000);
  const lost: string[] = [];
  const events = new EventRecorder({ client, node: 'node-1', lost: (why) => lost.push(why) });
  events.record(POD, 'AddedInterface', 'one');
  events.record(POD, 'AddedInterface', 'two');
  await until(() => api.asked.length === 1);
  let isStopped = false;
  void events.stop(100).then(() => {
    isStopped = true;
  });
  await until(() => isStopped);
  client.close();
  await events.written();
  t.match(lost, [/shop\/web: .*cannot be reached/, /shop\/web: the agent has stopped/]);
  t.equal(api.asked.length, 1);
});

/** A recorder whose server takes everything; what it is asked, and what is lost. */
function patientRecorder() {
  const asked: string[] = [];
  const lost: string[] = [];
  let now = Date.parse('2026-01-02T03:04:05Z');
  const client = {
    create: async (_: string, body: { message?: unknown; metadata?: { name: string } }) => {
      asked.push(`create ${body.message} ${body.metadata?.name}`);
      return {} as never;
    },
    mergePatch: async (path: string) => {
      asked.push(`patch ${path}`);
      return {} as never;
    },
  };
  const events = new EventRecorder({ client, node: 'node-1', lost: (why) => lost.push(why), now: () => now });
  const record = async (uid: string, text = 'text', more: Partial<Pod> = {}) => {
    const before = asked.length;
    events.record({ ...POD, uid, ...more }, 'UpdatedRoutes', text);
    await events.written();
    return asked.slice(before).map((line) => line.split(' ')[0])[0];
  };
  const pass = (ms: number) => {
    now += ms;
  };
  return { asked, lost, record, pass };
}

const HALF_AN_HOUR = 30 * 60_000;

t.test('the same text within half an hour is one event, and its name is a name', async (t) => {
  const { record, pass, asked } = patientRecorder();
  const name = 'x'.repeat(250);
  t.equal(await record('a', 'text', { name }), 'create');
  t.match(asked[0], new RegExp(`^create text x{200}\\.${Date.parse('2026-01-02T03:04:05Z').toString(16)}[0-9a-f]{8}$`));
  pass(HALF_AN_HOUR - 1);
  t.equal(await record('a'), 'patch');
  pass(HALF_AN_HOUR - 1);
  t.equal(await record('a'), 'patch', 'since it last was said');
  pass(HALF_AN_HOUR);
  t.equal(await record('a'), 'create');
  t.equal(await record('b'), 'create', 'of another pod');
});

t.test('of a thousand events and pods it is known what was said, the latest ones', async (t) => {
  const { record, lost } = patientRecorder();
  for (let i = 0; i < 1000; i++) await record(`pod-${i}`);
  t.equal(await record('pod-0'), 'patch');
  await record('one more');
  t.equal(await record('pod-0'), 'create', 'the first is forgotten');
  t.equal(await record('pod-2'), 'patch');

  const other = patientRecorder();
  for (const uid of ['a', 'b']) for (let i = 0; i < 25; i++) await other.record(uid, `${i}`);
  for (let i = 0; i < 998; i++) await other.record(`pod-${i}`);
  t.equal(await other.record('b', 'x'), undefined);
  t.equal(await other.record('a', 'x'), undefined, 'of a thousand pods it is known how much each has said');
  await other.record('one more');
  t.equal(await other.record('a', 'x'), undefined);
  t.strictSame([lost.length, other.lost.length], [0, 3]);
  for (let i = 0; i < 1000; i++) await other.record(`more-${i}`);
  t.equal(await other.record('a', 'x'), 'create', 'one that was silent since is forgotten');
});

t.test('what was asked for is told if anything was', async (t) => {
  const added = (request: object) => messages.added(POD, 'net1', 'shop/blue', request).split('network: blue')[1];
  t.equal(added({ ips: ['10.1.1.7'] }), '(ips: [10.1.1.7], mac: , cni-args: <nil>)');
  t.equal(added({ mac: '02:00:00:00:00:01' }), '(ips: [], mac: 02:00:00:00:00:01, cni-args: <nil>)');
  t.equal(added({ cniArgs: {} }), '(ips: [], mac: , cni-args: {})');
  t.equal(added({ bandwidth: {} }), '');
  const drifted = messages.drifted(POD, 'net1', 'shop/blue', ['a', 'b']);
  t.equal(drifted, 'pod [shop/web]: routes of interface net1 of network: shop/blue are not as they were made: a; b');
  for (const [network, of] of [
    [undefined, ''],
    ['shop/blue', ' of network: blue'],
  ] as const)
    t.equal(
      messages.updated(POD, 'net1', network, 2),
      `pod [shop/web]: updated routes of interface net1${of} (changes: 2)`,
    );
});
