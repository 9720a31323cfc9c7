import t, { type Test } from 'tap';
import type { KubeObject } from '../../lib/kubernetes/object.ts';
import { hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { scratchNamespace } from '../support/namespaces/namespace.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// Stand-ins for API server and runtime; real namespaces, plugins and leases. The same on a real cluster: test/cluster.

/** A look at a pod that is not known asks the runtime twice: for its sandboxes, and for the namespace of one. */
const CALLS = 2;

const onNode = (title: string, body: (t: Test) => Promise<void>) => t.test(title, { skip: noReferencePlugins }, body);

onNode('a running pod follows its annotation: add, remove, replace', async (t) => {
  const node = await hotPlugNode(t);
  for (const name of ['blue', 'green', 'red']) node.define(name);
  const pod = node.pod('web');
  pod.select('blue');
  await pod.has('net1');
  const { net1 } = pod.links();
  t.match(pod.status(), [
    { name: 'cluster', interface: 'eth0', default: true },
    { name: 'default/blue', interface: 'net1', ips: net1?.ips, mac: net1?.mac, dns: {} },
  ]);

  pod.select([{ name: 'green', interface: 'second' }, { name: 'blue' }, { name: 'blue' }]);
  await pod.has('net1', 'net2', 'second');
  t.equal(pod.links().net1?.mac, net1?.mac, 'what existed is not touched');
  t.strictSame(
    pod.status().map((entry) => entry.interface),
    ['eth0', 'second', 'net1', 'net2'],
    'in the annotation’s order',
  );

  pod.select('blue,red@third');
  await pod.has('net1', 'third');
  pod.select('');
  await pod.has();
  t.strictSame(node.leftovers(), [], 'no lease, no record, no result');
  await until(() => node.events('RemovedInterface').length === 4);
  t.strictSame(node.events('AddedInterface'), [
    'pod [default/web]: added interface net1 to network: blue',
    'pod [default/web]: added interface second to network: green',
    'pod [default/web]: added interface net2 to network: blue',
    'pod [default/web]: added interface third to network: red',
  ]);
  t.strictSame(node.events('FailedAddingInterface'), []);
});

onNode('a list in another order or form makes no call and no write', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  node.define('green');
  const pod = node.pod('web', 'blue@net1,green@net2', { isAskedFor: true });
  await pod.has('net1', 'net2');
  await until(() => node.events('AddedInterface').length === 2);
  const [before, requests] = [pod.links(), node.api.asked.length];
  pod.select([
    { interface: 'net1', name: 'blue' },
    { name: 'green', interface: 'net2', namespace: 'default' },
  ]);
  const calls = node.cri.calls;
  await until(() => node.cri.calls >= calls + CALLS);
  pod.select('default/blue@net1 , green@net2');
  await until(() => node.cri.calls >= calls + 2 * CALLS);
  t.strictSame(pod.links(), before);
  t.equal(node.api.asked.length, requests, 'no request at all');
});

onNode('swaps in place: another network, address or hardware address', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  node.define('green');
  const pod = node.pod('web', 'blue@net1');
  await pod.has('net1');
  const { net1: first } = pod.links();
  const changed = () => JSON.stringify(pod.links().net1) !== JSON.stringify(first) && pod.links().net1 !== undefined;
  pod.select('green@net1');
  await until(changed);
  await until(() => pod.status()[1]?.name === 'default/green');
  t.match(pod.status()[1], { name: 'default/green', interface: 'net1', mac: first?.mac, ips: pod.links().net1?.ips });
  t.equal(node.leftovers().filter((file) => file.startsWith('leases/')).length, 1, 'the old lease is free');

  pod.select([{ name: 'green', interface: 'net1', mac: '02:00:00:00:00:77' }]);
  await until(() => pod.links().net1?.mac === '02:00:00:00:00:77');
  await until(() => pod.status()[1]?.mac === '02:00:00:00:00:77');
});

onNode('swaps in place for other addresses and other arguments, and frees what it had', async (t) => {
  const node = await hotPlugNode(t);
  const ipam = { type: 'static', routes: [{ dst: '10.9.0.0/16' }] };
  const blue = { cniVersion: '1.0.0', type: 'bridge', bridge: 'br-blue', capabilities: { ips: true }, ipam };
  node.define('blue', blue);
  const pod = node.pod('web', [{ name: 'blue', interface: 'net1', ips: ['10.66.0.7/24'] }]);
  await pod.has('net1');
  const { net1 } = pod.links();
  t.strictSame(net1?.ips, ['10.66.0.7']);
  pod.select([{ name: 'blue', interface: 'net1', ips: ['10.66.0.8/24'] }]);
  await until(() => pod.links().net1?.ips.join() === '10.66.0.8');
  await until(() => pod.status()[1]?.ips?.join() === '10.66.0.8');
  t.equal(pod.links().net1?.mac, net1?.mac);
  t.match(pod.scratch.ip('route show'), '10.9.0.0/16', 'the routes are there again');
  pod.select([{ name: 'blue', interface: 'net1', ips: ['10.66.0.8/24'], 'cni-args': { x: 1 } }]);
  await until(() => node.events('AddedInterface').length === 3);
  const removals = node.api.asked.filter(({ method, path }) => method === 'PATCH' && path.includes('/events/'));
  t.match(removals, [{ body: { count: 2 } }], 'the same text again is counted');
  await pod.has('net1');
  t.equal(pod.links().net1?.mac, net1?.mac);
});

onNode('refuses names that are not its to give, and takes nothing away for it', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web');
  pod.scratch.ip('link add mine type veth peer name mine-peer');
  const before = JSON.stringify(pod.links());
  pod.select([
    { name: 'blue', interface: 'eth0' },
    { name: 'blue', interface: 'mine' },
    { name: 'blue', interface: 'sixteencharacter' },
    { name: 'blue', interface: 'twice' },
    { name: 'blue', interface: 'twice' },
  ]);
  await until(() => node.events('FailedAddingInterface').length === 4);
  t.equal(JSON.stringify(pod.links()), before);
  t.match(node.events('FailedAddingInterface').sort(), [
    /interface eth0 to network: blue: the pod has an interface eth0 of somebody else/,
    /interface mine to network: blue: the pod has an interface mine of somebody else/,
    /interface sixteencharacter to network: blue: "interface" is longer/,
    /interface twice to network: blue: interface twice is selected more than once/,
  ]);
});

onNode('one that fails holds nothing up, and is attached once its definition comes', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  node.define('green');
  const pod = node.pod('web', 'missing@net1,blue@net2,green@net3');
  await pod.has('net2', 'net3');
  await until(() => node.controller.status().pending.length === 1);
  t.match(node.controller.status().pending, [
    { pod: 'default/web', what: 'attach net1 to default/missing', reason: /not found/ },
  ]);
  node.define('missing');
  const begun = Date.now();
  await pod.has('net1', 'net2', 'net3');
  t.comment(`attached ${Date.now() - begun} ms after the definition came`);
  t.strictSame(
    pod.status().map((entry) => entry.interface),
    ['eth0', 'net1', 'net2', 'net3'],
  );
  await until(() => node.controller.status().pending.length === 0);
});

onNode('networks of kactus’ kind are attached, also once they come', async (t) => {
  const node = await hotPlugNode(t);
  node.api.kinds.add('networks');
  const pod = node.pod('web', 'blue');
  await until(() => node.controller.status().pending.length === 1);
  const config = JSON.stringify({ cniVersion: '0.3.1', name: 'blue-net', bridge: 'br-blue', ipam: {} });
  node.api.put('/apis/kaloom.com/v1/namespaces/default/networks/blue', {
    apiVersion: 'kaloom.com/v1',
    metadata: { name: 'blue', namespace: 'default' },
    spec: { plugin: 'bridge', config },
  });
  await pod.has('net1');
  t.match(pod.status()[1], { name: 'default/blue', interface: 'net1' });
  pod.select('');
  await pod.has();
  t.strictSame(node.leftovers(), []);
});

onNode('a selection with an IPAM claim is attached; with addresses too, it is refused', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web', [
    { name: 'blue', interface: 'a', 'ipam-claim-reference': 'vm.blue' },
    { name: 'blue', interface: 'b', 'ipam-claim-reference': 'vm.blue', ips: ['10.1.1.1'] },
  ]);
  await pod.has('a');
  await until(() => node.events('FailedAddingInterface').length === 1);
  t.match(node.events('FailedAddingInterface'), [/"ips" and "ipam-claim-reference" exclude each other/]);
});

onNode('detaches after the definition is gone and the agent was started again', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web', 'blue@net1');
  await pod.has('net1');
  node.api.delete('/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/blue');
  await node.restart();
  await pod.has('net1');
  pod.select('');
  await pod.has();
  t.strictSame(node.leftovers(), []);
});

onNode('a pod that ends leaves nothing, also if the agent was down', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  for (const isDown of [false, true]) {
    const pod = node.pod(isDown ? 'down' : 'up', 'blue@net1');
    await pod.has('net1');
    if (isDown) await node.controller.stop();
    for (const sandbox of node.cri.sandboxes) sandbox.ready = false;
    node.api.delete(pod.path);
    if (isDown) await node.restart();
    await until(() => node.leftovers().length === 0, 'something is left');
    const released = () => node.logs.filter((line) => line.startsWith('info released what a sandbox had')).length;
    await until(() => released() === (isDown ? 2 : 1), 'it does not know that it has released it');
  }
});

onNode('a sandbox that takes the place of another gets the networks at once', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web', 'blue@net1');
  await pod.has('net1');
  // What the watch tells of the first pod, the status that was just written among it, comes before this one.
  const last = node.pod('last', 'blue@net1');
  await last.has('net1');
  await until(() => node.controller.status().busy === 0);
  const [first] = node.cri.sandboxes;
  if (first === undefined) throw new Error('no sandbox');
  first.ready = false;
  pod.scratch.remove();
  const next = scratchNamespace(t);
  next.ip('link add eth0 type veth peer name eth0-peer');
  node.cri.sandboxes.push({ ...first, id: 'next', attempt: 1, ready: true, netns: next.path });
  const { metadata, spec } = node.api.get(pod.path) as KubeObject;
  node.api.put(pod.path, { metadata, spec, status: { phase: 'Running', podIP: '10.250.0.8' } });
  // Before the minute is over after which it would look by itself.
  const hasNetwork = () => next.ipJson('link show').some(({ ifname }) => ifname === 'net1');
  await until(hasNetwork, 'it never has a network', 50);
  await until(() => !node.leftovers().some((file) => file.includes(first.id)), 'what the first had stays');
  const leases = () => node.leftovers().filter((file) => file.startsWith('leases/')).length;
  await until(() => leases() === 2);
  t.equal(leases(), 2, 'one for each pod');
});

onNode('the next pod of the same name gets its own, and the old one’s goes', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const old = node.pod('db-0', 'blue@net1', { uid: 'first' });
  await old.has('net1');
  for (const sandbox of node.cri.sandboxes) sandbox.ready = false;
  node.api.delete(old.path);
  const next = node.pod('db-0', 'blue@net1', { uid: 'second' });
  await next.has('net1');
  await until(() => node.leftovers().filter((file) => file.startsWith('leases/')).length === 1);
  t.equal(node.leftovers().filter((file) => file.includes('cfirst')).length, 0);
});

onNode('a refused or overwritten status comes right', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web');
  let refusals = 0;
  node.api.fault = ({ method }, response) => {
    if (method !== 'PATCH' || refusals++ >= 10) return undefined;
    const code = refusals <= 7 ? 409 : 500;
    response.writeHead(code).end(JSON.stringify({ kind: 'Status', code, message: 'not now' }));
    return true;
  };
  pod.select('blue@net1');
  await pod.has('net1');
  t.ok(refusals >= 10);

  const status = 'k8s.v1.cni.cncf.io/network-status';
  const object = node.api.get(pod.path) as { metadata: { annotations: object } };
  const overwrite = (text: string) =>
    node.api.put(pod.path, {
      ...object,
      metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, [status]: text } },
    });
  for (const text of ['[]', 'not JSON', '[{"name":"default/ghost","interface":"net9"}]']) {
    overwrite(text);
    await pod.has('net1');
    t.match(pod.status()[0], { name: 'cluster', interface: 'eth0', default: true }, text);
  }
  const other = { name: 'somebody', interface: 'eth0', note: 'of another controller' };
  overwrite(JSON.stringify([other]));
  await until(() => pod.status().length === 3);
  t.match(pod.status(), [{ default: true }, { interface: 'net1' }, other]);
});

onNode('an API server that was away keeps nothing waiting once it is back', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web');
  await until(() => node.api.watching === 1);
  node.api.fault = ({ method, path }, response) => {
    if (!path.includes('network-attachment') && method === 'GET') return undefined;
    response.destroy();
    return true;
  };
  pod.select('blue');
  await until(() => node.controller.status().pending.length === 1);
  node.api.fault = (_, response) => {
    response.destroy();
    return true;
  };
  node.api.endWatches('destroy');
  // Long enough for the pauses between tries to be longer than it takes to see that the server is back.
  await new Promise((resolve) => setTimeout(resolve, 3000));
  node.api.fault = () => undefined;
  await pod.has('net1');
  await until(() => node.controller.status().pending.length === 0);
});

onNode('asks the API server no more than docs/hot-plug.md says', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  node.define('green');
  const pod = node.pod('web', 'blue', { isAskedFor: true });
  await pod.has('net1');
  await until(() => node.events('AddedInterface').length === 1);
  const from = node.api.asked.length;
  const asked = () =>
    node.api.asked
      .slice(from)
      .map(({ method, path }) => `${method} ${path.replace(/.*\/namespaces\/default\//, '')}`)
      .sort();
  pod.select('blue,green');
  await pod.has('net1', 'net2');
  await until(() => node.events('AddedInterface').length === 2);
  const perEdit = ['GET network-attachment-definitions/green', 'PATCH pods/web/status', 'POST events'];
  t.strictSame(asked(), perEdit, 'one definition, one status, one event');
  // Our own status comes back through the watch, and is examined once more. What the watch tells after that is last.
  node.api.put('/api/v1/namespaces/default/pods/last', {
    metadata: { name: 'last', namespace: 'default' },
    spec: { nodeName: 'node-1', hostNetwork: true },
  });
  await until(() => node.controller.pod('default', 'last') !== undefined && node.controller.status().busy === 0);
  // What the kubelet writes all the time costs nothing.
  const calls = node.cri.calls;
  for (let i = 0; i < 20; i++)
    node.api.put(pod.path, { ...node.api.get(pod.path), status: { phase: 'Running', conditions: [i] } });
  pod.select('blue,green ');
  await until(() => node.cri.calls > calls && node.controller.status().busy === 0);
  t.strictSame(asked(), perEdit);
  t.equal(node.cri.calls, calls + CALLS, 'neither does it of the runtime');
});

onNode('the container runtime is asked once about a pod, and edits need it no more', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  node.define('green');
  const pod = node.pod('web', 'blue@net1');
  await pod.has('net1');
  t.equal(node.cri.calls, CALLS);
  node.cri.stop();
  pod.select('blue@net1,green@net2');
  await pod.has('net1', 'net2');
  pod.select('green@net2');
  await pod.has('net2');
  t.equal(node.cri.calls, CALLS);
});

onNode('a burst of edits ends with the last one', async (t) => {
  const node = await hotPlugNode(t);
  for (const name of ['blue', 'green', 'red']) node.define(name);
  const pod = node.pod('web');
  for (const networks of [
    'blue',
    'green',
    'red@net1',
    'blue,green',
    '',
    'red',
    'blue,red',
    'green',
    'blue@x',
    'red@y,green',
  ]) {
    pod.select(networks);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  // The name of green's depends on whether it had one when the last edit came.
  const isLast = (names: string[]) => ['eth0,net1,y', 'eth0,net2,y'].includes(names.sort().join());
  await until(
    () => isLast(pod.status().map(({ interface: name = '' }) => name)) && isLast(Object.keys(pod.links())),
    'the last edit is not what comes of it',
  );
  t.strictSame(
    pod.status().map(({ name }) => name),
    ['cluster', 'default/red', 'default/green'],
  );
  await until(() => node.leftovers().filter((file) => file.startsWith('leases/')).length === 2);
});

onNode('a pod on the node’s network is left alone, with an event', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  const pod = node.pod('web');
  node.api.put(pod.path, {
    metadata: { ...node.api.get(pod.path)?.metadata, annotations: { 'k8s.v1.cni.cncf.io/networks': 'blue' } },
    spec: { nodeName: 'node-1', hostNetwork: true },
    status: { phase: 'Running' },
  });
  await until(() => node.events('InterfaceAddRejected').length === 1);
  t.strictSame(node.events('InterfaceAddRejected'), [
    'pod [default/web]: will not add interface to host networked pod',
  ]);
  t.strictSame(Object.keys(pod.links()), ['eth0']);
});

onNode('hostile definitions end in an event', async (t) => {
  const node = await hotPlugNode(t, {
    deadlineMs: 1000,
    allowedTypes: new Set(['bridge', 'host-local', 'garbage', 'hangs', 'wordy']),
  });
  const pod = node.pod('web');
  const bin = `${node.folder}/bin`;
  const { mkdirSync, writeFileSync } = await import('node:fs');
  mkdirSync(bin);
  writeFileSync(`${bin}/garbage`, '#!/bin/sh\necho garbage\n', { mode: 0o755 });
  const words = `#!/bin/sh\nprintf '{"code":999,"msg":"'; yes xxxx | head -200000 | tr -d '[:space:]'; echo '"}'; exit 1\n`;
  writeFileSync(`${bin}/wordy`, words, { mode: 0o755 });
  writeFileSync(`${bin}/hangs`, '#!/bin/sh\nsleep 1000 & sleep 1000\n', { mode: 0o755 });
  node.define('path', { cniVersion: '1.0.0', type: '../../bin/sh' });
  node.define('type', { cniVersion: '1.0.0', type: 'host-device' });
  node.define('ipam', { cniVersion: '1.0.0', type: 'bridge', ipam: { type: 'dhcp' } });
  node.define('list', { cniVersion: '1.0.0', plugins: 7 });
  node.define('garbage', { cniVersion: '1.0.0', type: 'garbage' });
  node.define('hangs', { cniVersion: '1.0.0', type: 'hangs' });
  node.define('wordy', { cniVersion: '1.0.0', type: 'wordy' });
  node.define('good');
  pod.select('path@a,type@b,ipam@c,list@d,garbage@e,hangs@f,good@g,wordy@h');
  await pod.has('g');
  // On a busy machine, others do not end within a second either, and are tried again.
  for (const [ifname, why] of [
    ['a', 'plugin "../../bin/sh" is not among'],
    ['b', 'plugin "host-device" is not among those of --allow-types'],
    ['c', 'plugin "dhcp" is not among'],
    ['d', '"plugins" is not a list'],
    ['e', 'not a JSON object'],
    ['f', 'did not end within 1 s'],
    ['h', 'x'.repeat(100)],
  ] as const) {
    const isSaid = (text: string) => text.includes(`interface ${ifname} `) && text.includes(why);
    await until(() => node.events('FailedAddingInterface').some(isSaid), `${ifname}: ${why}`);
  }
  t.ok(
    node.logs.every((line) => line.length < 2000),
    'no log line is as long as a plugin likes',
  );
  t.ok(node.controller.status().pending.every(({ reason }) => reason.length <= 500));
});
