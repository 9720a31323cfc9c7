import type { ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import type { Asked } from '../support/kubernetes/api-stand-in.ts';
import { type FakePod, type HotPlugNode, hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// What an API server does to its clients: faults that a real one makes only by chance, so the stand-in makes them.
// WAYMARK_OUTAGE_SECONDS sets how long it is away.

const onNode = (title: string, body: (t: Test) => Promise<void>) => t.test(title, { skip: noReferencePlugins }, body);

const OUTAGE_MS = Number(process.env.WAYMARK_OUTAGE_SECONDS ?? 3) * 1000;

const WEBHOOK = 'admission webhook "guard.example.org" denied the request: not now';

/** Answers so many writes of the status with these codes, one after the other; returns how many it has answered. */
function refuseStatus(node: HotPlugNode, codes: readonly number[], message = 'not now'): () => number {
  let refused = 0;
  node.api.fault = ({ method, path }: Asked, response: ServerResponse) => {
    const code = codes[refused];
    if (method !== 'PATCH' || !path.endsWith('/status') || code === undefined) return undefined;
    refused++;
    response.writeHead(code).end(JSON.stringify({ kind: 'Status', code, message }));
    return true;
  };
  return () => refused;
}

type Whole = { readonly metadata: { readonly annotations: object }; readonly spec: object; readonly status: object };

const wholeOf = (node: HotPlugNode, { path }: FakePod) => node.api.get(path) as unknown as Whole;

onNode('a status that is refused ten times for a conflict is right in the end, by few requests', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web');
  const refused = refuseStatus(node, Array(10).fill(409));
  pod.select('blue@net1');
  await pod.has('net1');
  t.equal(refused(), 10);
  t.ok(node.api.count('PATCH', /\/status$/) <= 12, `${node.api.count('PATCH', /\/status$/)} writes`);
  await until(() => node.events('AddedInterface').length > 0);
  t.equal(node.events('AddedInterface').length, 1, 'the network was attached once');
});

onNode('a webhook that refuses the status is named as the cause, and holds up no other pod', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web');
  let isRefused = true;
  node.api.fault = ({ method, path }, response) => {
    if (!isRefused || method !== 'PATCH' || path !== `${pod.path}/status`) return undefined;
    response.writeHead(403).end(JSON.stringify({ kind: 'Status', code: 403, reason: 'Forbidden', message: WEBHOOK }));
    return true;
  };
  pod.select('blue@net1');
  await until(() => node.controller.status().pending.length === 1);
  t.match(node.controller.status().pending, [{ pod: 'default/web', what: 'look at the pod', reason: WEBHOOK }]);
  t.ok('net1' in pod.links());
  const other = node.pod('other', 'blue@net1');
  await other.has('net1');
  isRefused = false;
  await pod.has('net1');
  await until(() => node.controller.status().pending.length === 0);
});

onNode('500 for the status does not make a network come twice', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web');
  const refused = refuseStatus(node, [500, 503, 500]);
  pod.select('blue@net1');
  await pod.has('net1');
  t.equal(refused(), 3);
  t.equal(node.leftovers().filter((file) => file.startsWith('leases/')).length, 1);
});

onNode('an edit that is made while the watch has expired (410) is not missed', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  node.define('green');
  const pod = node.pod('web', 'blue@net1');
  const gone = node.pod('gone', 'blue@net1');
  await pod.has('net1');
  await gone.has('net1');
  const lists = () => node.api.asked.filter(({ path, query }) => path === '/api/v1/pods' && !query.has('watch')).length;
  const before = lists();
  // The watch is away while the pods change, and the server forgets what it has missed.
  node.api.fault = ({ query }, response) => {
    if (query.get('watch') !== 'true') return undefined;
    response.destroy();
    return true;
  };
  node.api.endWatches('destroy');
  pod.select('green@net2');
  for (const sandbox of node.cri.sandboxes.filter(({ name }) => name === 'gone')) sandbox.ready = false;
  node.api.delete(gone.path);
  node.api.compact();
  node.api.fault = () => undefined;
  await pod.has('net2');
  await until(() => node.leftovers().filter((file) => file.startsWith('leases/')).length === 1);
  t.ok(lists() > before, 'the list was read again');
});

onNode(
  `an API server that is away for ${OUTAGE_MS / 1000} s: what was edited around it is done once it is back`,
  async (t) => {
    const node = await hotPlugNode(t);
    for (const name of ['blue', 'green']) node.define(name);
    const pods = ['a', 'b', 'c'].map((name) => node.pod(name, 'blue@net1'));
    for (const pod of pods) await pod.has('net1');
    node.api.fault = (_, response) => {
      response.destroy();
      return true;
    };
    node.api.endWatches('destroy');
    const [begun, asked] = [Date.now(), node.api.asked.length];
    // Written before the server went, and read after it came back; one pod ends meanwhile.
    pods[0]?.select('green@net1');
    pods[1]?.select('');
    for (const sandbox of node.cri.sandboxes.filter(({ name }) => name === 'c')) sandbox.ready = false;
    await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS));
    const perSecond = (node.api.asked.length - asked) / ((Date.now() - begun) / 1000);
    node.api.delete(pods[2]?.path ?? '');
    node.api.fault = () => undefined;
    const back = Date.now();
    await pods[0]?.has('net1');
    await pods[1]?.has();
    await until(() => pods[0]?.status()[1]?.name === 'default/green');
    t.comment(`${perSecond.toFixed(1)} requests a second while away; done ${Date.now() - back} ms after`);
    await until(() => node.leftovers().filter((file) => file.startsWith('leases/')).length === 1);
    t.ok(perSecond < 5, `${perSecond} requests a second`);
  },
);

onNode('edits while the containers are being created are done when they run, and only the last one', async (t) => {
  const node = await hotPlugNode(t);
  for (const name of ['blue', 'green']) node.define(name);
  const pod = node.pod('web');
  const phase = (text: string) => {
    const { spec, metadata } = wholeOf(node, pod);
    node.api.put(pod.path, { metadata, spec, status: { phase: text } });
  };
  await until(() => node.api.watching === 1);
  phase('Pending');
  const edit = (networks: string) => {
    const { spec, metadata } = wholeOf(node, pod);
    const annotations = { ...metadata.annotations, 'k8s.v1.cni.cncf.io/networks': networks };
    node.api.put(pod.path, { metadata: { ...metadata, annotations }, spec, status: { phase: 'Pending' } });
  };
  const calls = node.cri.calls;
  for (const networks of ['blue', 'green@x', 'blue@net1,green@net2', 'green@net2']) edit(networks);
  const seen = node.pod('witness', 'blue@net1');
  await seen.has('net1');
  t.strictSame(Object.keys(pod.links()), ['eth0']);
  t.ok(node.cri.calls > calls, 'the witness was looked at');
  phase('Running');
  await pod.has('net2');
  const added = () => node.events('AddedInterface').filter((text) => text.includes('/web]'));
  await until(() => added().length > 0);
  t.strictSame(added(), ['pod [default/web]: added interface net2 to network: green']);
});

onNode('a static pod is found by the kubelet’s own UID', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web');
  // Its mirror in the API has another UID than the sandbox has.
  for (const sandbox of node.cri.sandboxes) sandbox.uid = 'of-the-manifest';
  const { metadata, spec, status } = wholeOf(node, pod);
  const mirror = { 'kubernetes.io/config.mirror': 'of-the-manifest', 'k8s.v1.cni.cncf.io/networks': 'blue@net1' };
  const annotations = { ...metadata.annotations, ...mirror };
  node.api.put(pod.path, { metadata: { ...metadata, annotations }, spec, status });
  await pod.has('net1');
  // The kubelet makes a new mirror when somebody deletes it: the sandbox goes on.
  node.api.delete(pod.path);
  node.api.put(pod.path, { metadata: { ...metadata, uid: 'another-mirror', annotations }, spec, status });
  await pod.has('net1');
  const [net1] = [pod.links().net1];
  await until(() => node.controller.status().busy === 0);
  t.strictSame(pod.links().net1, net1);
  for (const sandbox of node.cri.sandboxes) sandbox.ready = false;
  node.api.delete(pod.path);
  await until(() => node.leftovers().length === 0);
});
