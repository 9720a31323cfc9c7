import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import type { ControllerOptions } from '../../controller/controller.ts';
import { parsePrefix } from '../../lib/address/prefix.ts';
import { installed } from '../support/build/single.ts';
import { type FakePod, type HotPlugNode, hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { openStreams } from '../support/namespaces/tcp.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// Routes of running pods follow their sources. Stand-ins for API server and runtime; what a pod has is what `ip -j` prints.

const onNode = (title: string, body: (t: Test) => Promise<void>) => t.test(title, { skip: noReferencePlugins }, body);

type Keys = { [key: string]: unknown };

const routes = (...dsts: string[]): Keys => ({ routes: dsts.map((dst) => ({ dst, gw: '10.79.0.1' })) });

/** A node with a network of a bridge and static-route, and what edits it. */
async function nodeOf(t: Test, keys: Keys, more: Partial<ControllerOptions> = {}) {
  const node = await hotPlugNode(t, more);
  installed(t, join(node.folder, 'bin'));
  const ipam = {
    type: 'host-local',
    dataDir: join(node.folder, 'leases'),
    ranges: [[{ subnet: '10.79.0.0/16', gateway: '10.79.0.1' }]],
  };
  const bridge = { type: 'bridge', bridge: 'br-blue', isGateway: true, ipam };
  const edit = (edited: Keys, { first = bridge, rest = [] as Keys[] } = {}) => {
    const own = { type: 'static-route', dataDir: join(node.folder, 'data'), ...edited };
    node.define('blue', { cniVersion: '1.0.0', plugins: [first, own, ...rest] });
  };
  edit(keys);
  return { node, edit, bridge };
}

/** Our routes in a pod, as `10.1.0.0/16 via 10.79.0.1`. */
function ours(pod: FakePod): string[] {
  return pod.scratch
    .ipJson('route show proto 87')
    .map(({ dst, gateway }) => `${dst} via ${gateway}`)
    .sort();
}

async function follows(pod: FakePod, ...dsts: string[]): Promise<void> {
  const wanted = dsts.map((dst) => `${dst} via 10.79.0.1`).sort();
  await until(() => ours(pod).join() === wanted.join(), `${pod.name} never has ${wanted}`).catch((error: Error) => {
    throw new Error(`${error.message}, but ${ours(pod)}`);
  });
}

/** Which link it is: a swap would make another one. */
function linkOf(pod: FakePod): unknown {
  return pod.scratch.ipJson('link show').find(({ ifname }) => ifname === 'net1')?.ifindex;
}

const idle = (node: HotPlugNode) => until(() => node.controller.status().busy === 0);

onNode('pods follow an edited definition: a route more, another gateway, a route less', async (t) => {
  const { node, edit } = await nodeOf(t, routes('10.1.0.0/16'));
  const names = Array.from({ length: 30 }, (_, index) => `pod-${index}`);
  const pods = names.map((name) => node.pod(name, 'blue@net1'));
  for (const pod of pods) {
    await pod.has('net1');
    pod.scratch.ip('route add 10.66.0.0/16 via 10.79.0.1 proto static');
  }
  const links = pods.map(linkOf);
  node.node.ip('address add 10.66.0.1/32 dev lo');
  const clients = pods.map(({ scratch }) => scratch);
  const streams = await openStreams(t, node.node, clients, '10.66.0.1');
  t.equal(await streams.goOn(), '30 go on, 0 are broken');
  edit(routes('10.1.0.0/16', '10.2.0.0/16'));
  for (const pod of pods) await follows(pod, '10.1.0.0/16', '10.2.0.0/16');
  edit({ routes: [{ dst: '10.1.0.0/16', gw: '10.79.0.9' }] });
  for (const pod of pods) await until(() => ours(pod).join() === '10.1.0.0/16 via 10.79.0.9');
  edit({});
  for (const pod of pods) {
    await follows(pod);
    t.match(pod.scratch.ip('route show proto static'), '10.66.0.0/16 via 10.79.0.1', 'routes of others stay');
  }
  t.strictSame(pods.map(linkOf), links, 'no interface was attached anew');
  t.equal(await streams.goOn(), '30 go on, 0 are broken', 'connections by other routes of the interface go on');
  const texts = names.flatMap((pod) =>
    [1, 3].map(
      (count) => `pod [default/${pod}]: updated routes of interface net1 of network: blue (changes: ${count})`,
    ),
  );
  await until(() => node.events('UpdatedRoutes').length >= texts.length);
  t.strictSame(node.events('UpdatedRoutes').sort(), texts.sort(), 'the same text again is counted');
  t.strictSame(node.events('RemovedInterface'), []);
  t.strictSame(node.events('FailedUpdatingRoutes'), []);

  edit(routes('10.3.0.0/16'));
  for (const pod of pods) await follows(pod, '10.3.0.0/16');
  for (const pod of pods) pod.select('');
  for (const pod of pods) await pod.has();
  t.strictSame(node.leftovers(), [], 'the detach leaves nothing');
});

onNode('a pod follows its own cni-args without a swap; what concerns other plugins swaps', async (t) => {
  const { node } = await nodeOf(t, routes('10.1.0.0/16'), {
    pacing: { protectedPrefixes: [parsePrefix('10.96.0.0/12')] },
  });
  const select = (args?: Keys) => pod.select([{ name: 'blue', interface: 'net1', ...(args && { 'cni-args': args }) }]);
  const pod = node.pod('web');
  select();
  await pod.has('net1');
  const link = linkOf(pod);
  select(routes('10.5.0.0/16'));
  await follows(pod, '10.5.0.0/16');
  select(routes('10.5.0.0/16', '10.6.0.0/16'));
  await follows(pod, '10.5.0.0/16', '10.6.0.0/16');
  select(routes('10.96.0.0/16'));
  await until(() => node.events('FailedUpdatingRoutes').length === 1);
  t.match(node.events('FailedUpdatingRoutes')[0], /10\.96\.0\.0\/12 is protected on this node/);
  select({ ...routes('10.7.0.0/16'), flushRoute: true });
  await until(() => node.events('FailedUpdatingRoutes').length === 2);
  t.match(node.events('FailedUpdatingRoutes')[1], /flushRoute: is not a known key; did you mean "flushroutes"\?/);
  t.strictSame(ours(pod).length, 2, 'a refused one changes nothing');
  await node.restart();
  select();
  await follows(pod, '10.1.0.0/16');
  t.equal(linkOf(pod), link, 'all with the same interface');
  select({ mac: '02:00:00:00:00:99' });
  await until(() => pod.links().net1?.mac === '02:00:00:00:00:99');
  t.not(linkOf(pod), link);
  await pod.has('net1');
});

onNode('pods follow a map in a file, however it is replaced', async (t) => {
  const folder = t.testdir({});
  const file = join(folder, 'topology.yaml');
  const map = (...subnets: string[]) =>
    ['vrf:', '  a:', '    subnets:', '      10.79.0.0/16: { gw: 10.79.0.1 }']
      .concat(subnets.map((subnet) => `      ${subnet}: { gw: 10.99.0.1 }`))
      .join('\n');
  writeFileSync(file, map('10.1.0.0/16'));
  const { node } = await nodeOf(t, { topologyFile: file });
  const pods = ['a', 'b'].map((name) => node.pod(name, 'blue@net1'));
  const all = async (...dsts: string[]) => {
    for (const pod of pods) await follows(pod, ...dsts);
  };
  await all('10.1.0.0/16');
  writeFileSync(file, map('10.1.0.0/16', '10.2.0.0/16'));
  await all('10.1.0.0/16', '10.2.0.0/16');
  writeFileSync(`${file}.new`, map('10.3.0.0/16'));
  renameSync(`${file}.new`, file);
  await all('10.3.0.0/16');

  // As the kubelet does it with a ConfigMap.
  const volume = (name: string, text: string) => {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'topology.yaml'), text);
    symlinkSync(name, join(folder, '..data_tmp'));
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  };
  volume('..one', map('10.4.0.0/16'));
  symlinkSync('..data/topology.yaml', `${file}.link`);
  renameSync(`${file}.link`, file);
  await all('10.4.0.0/16');
  volume('..two', map('10.5.0.0/16'));
  await all('10.5.0.0/16');

  volume('..three', 'vrf: [');
  await until(() => node.events('FailedUpdatingRoutes').length === 2);
  t.match(node.events('FailedUpdatingRoutes')[0], /the topology cannot be read/);
  await all('10.5.0.0/16');
  volume('..four', map('10.6.0.0/16'));
  await all('10.6.0.0/16');
  await until(() => node.controller.status().pending.length === 0, 'something is pending');
});

onNode('a refused edit leaves all as it was, and is told once', async (t) => {
  const { node, edit, bridge } = await nodeOf(t, routes('10.1.0.0/16'));
  const pod = node.pod('web', 'blue@net1');
  await follows(pod, '10.1.0.0/16');
  const before = pod.scratch.routes();
  edit({ routes: [{ dst: '10.2.0.0/16' }, { dst: '10.3.0.0/16', gw: '203.0.113.1' }] });
  await until(() => node.controller.status().pending.length === 1);
  t.match(node.controller.status().pending, [
    { pod: 'default/web', what: 'update routes of net1 by default/blue', reason: /routes\[1\]: the kernel refused/ },
  ]);
  const explained = await node.controller.explain('default/web');
  t.strictSame(explained.updates?.[0]?.changes.length, 3, 'what is pending is explained');
  const logged = (what: string) => node.logs.filter((line) => line.startsWith(what) && line.includes('refused')).length;
  await until(() => logged('info an update') >= 2, 'it is tried again');
  await idle(node);
  t.equal(logged('warn update routes of net1'), 1);
  t.equal(pod.scratch.routes(), before);
  await until(() => node.events('FailedUpdatingRoutes').length > 0);
  t.match(node.events('FailedUpdatingRoutes'), [
    /^pod \[default\/web\]: failed updating routes of interface net1 of net/,
  ]);
  t.equal(node.events('FailedUpdatingRoutes').length, 1);

  edit(routes('10.4.0.0/16'), { first: { ...bridge, isGateway: false } });
  await follows(pod, '10.4.0.0/16');
  await until(() => node.controller.status().pending.length === 0, 'something is pending');
  edit(routes('10.5.0.0/16'), { rest: [{ type: 'tuning' }] });
  await until(() => node.events('FailedUpdatingRoutes').length === 2);
  t.match(
    node.events('FailedUpdatingRoutes')[1],
    /its plugins are bridge, static-route, tuning now, and were bridge, static-route: only their configs can be updated/,
  );
  await follows(pod, '10.4.0.0/16');
  pod.select('');
  await pod.has();
  t.strictSame(node.leftovers(), []);
});

onNode('a definition that goes leaves the routes, and is told once; when it comes back, it is followed', async (t) => {
  const { node, edit } = await nodeOf(t, routes('10.1.0.0/16'));
  const pod = node.pod('web', 'blue@net1', { isAskedFor: true });
  await follows(pod, '10.1.0.0/16');
  await idle(node);
  node.api.delete('/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/blue');
  await until(() => node.events('NoNetworkFound').length === 1);
  await until(() => node.controller.status().withoutDefinition?.length === 1);
  t.strictSame(node.controller.status().withoutDefinition, [
    { pod: 'default/web', ifname: 'net1', network: 'default/blue' },
  ]);
  const calls = node.cri.calls;
  pod.select('blue@net1 ');
  await until(() => node.cri.calls > calls);
  await idle(node);
  await follows(pod, '10.1.0.0/16');
  edit(routes('10.2.0.0/16'));
  await follows(pod, '10.2.0.0/16');
  await until(() => node.controller.status().withoutDefinition?.length === 0);
  t.strictSame(node.events('NoNetworkFound'), [
    'pod [default/web]: network blue is not defined any more: interface net1 keeps its routes',
  ]);
});

onNode('"reconcile" says whether edits are followed', async (t) => {
  const { node, edit } = await nodeOf(t, { ...routes('10.1.0.0/16'), reconcile: 'heal' });
  const pod = node.pod('web', 'blue@net1', { isAskedFor: true });
  await follows(pod, '10.1.0.0/16');
  for (const reconcile of ['heal', 'off']) {
    await idle(node);
    const calls = node.cri.calls;
    edit({ ...routes('10.2.0.0/16'), reconcile });
    await until(() => node.cri.calls > calls);
    await idle(node);
    await follows(pod, '10.1.0.0/16');
  }
  edit({ ...routes('10.3.0.0/16'), reconcile: 'update' });
  await follows(pod, '10.3.0.0/16');
});

onNode('what cannot be put back in a pod is an event of it, and explained', async (t) => {
  const { node, edit } = await nodeOf(t, routes('10.1.0.0/16'));
  const pod = node.pod('web', 'blue@net1');
  await follows(pod, '10.1.0.0/16');
  await idle(node);
  pod.scratch.ip('link set net1 down');
  node.controller.drifts('default/web', 'net1', 'blue', ['route 10.1.0.0/16 is missing']);
  node.controller.drifts('default/other', 'net1', 'blue', ['of no pod of this node']);
  await until(() => node.events('DriftedRoutes').length > 0);
  t.strictSame(node.events('DriftedRoutes'), [
    'pod [default/web]: routes of interface net1 of network: blue are not as they were made: route 10.1.0.0/16 is missing',
  ]);
  const { updates } = await node.controller.explain('default/web');
  t.match(updates, [{ interface: 'net1', changes: ['add route 10.1.0.0/16 via 10.79.0.1 dev net1'] }]);
  pod.scratch.ip('link set net1 up');
  edit(routes('10.1.0.0/16', '10.2.0.0/16'));
  await follows(pod, '10.1.0.0/16', '10.2.0.0/16');
});

onNode('an edit while no agent runs is found at the next start', async (t) => {
  const { node, edit } = await nodeOf(t, routes('10.1.0.0/16'));
  const pod = node.pod('web', 'blue@net1');
  await follows(pod, '10.1.0.0/16');
  await node.controller.stop();
  edit(routes('10.2.0.0/16'));
  await node.restart();
  await follows(pod, '10.2.0.0/16');
  await node.controller.stop();
  pod.scratch.ip('route flush proto 87');
  await node.restart();
  await follows(pod, '10.2.0.0/16');
});

onNode('the example of docs/live-routes.md', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/live-routes.md'), 'utf8');
  const blocks = [...page.matchAll(/```(\w+)\n(.*?)```/gs)].map(([, language, text = '']) => ({ language, text }));
  const [definition, before, edited, after, , lost = ''] = blocks.map(({ text }) => text);
  t.strictSame(
    blocks.map(({ language }) => language),
    ['yaml', 'console', 'json', 'console', 'bash', 'console'],
  );
  const node = await hotPlugNode(t);
  installed(t, join(node.folder, 'bin'));
  const { metadata, spec } = parse(definition ?? '');
  const { plugins, ...rest } = JSON.parse(spec.config);
  const define = (own: Keys) => {
    const [bridge, routing] = plugins;
    const ipam = { ...bridge.ipam, dataDir: join(node.folder, 'leases') };
    const local = { ...routing, dataDir: join(node.folder, 'data'), ...own };
    node.define(metadata.name, { ...rest, plugins: [{ ...bridge, ipam }, local] });
  };
  define({});
  const pod = node.pod('web', `${metadata.name}@net1`);
  const shown = (text = '') => {
    const [command = '', ...lines] = text.trim().split('\n');
    const printed = pod.scratch
      .ip(command.replace(/^\$ ip /, ''))
      .trim()
      .split('\n');
    return printed.map((line) => line.trim()).join() === lines.join();
  };
  await until(() => shown(before));
  define({ routes: JSON.parse(edited ?? '') });
  await until(() => shown(after));
  await until(() => node.controller.status().busy === 0);
  const [lose = '', ...back] = lost.split('\n');
  pod.scratch.ip(lose.replace(/^\$ ip /, ''));
  await until(() => shown(back.join('\n')), 'what is lost does not come back');
});
