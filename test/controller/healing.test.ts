import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ControllerOptions } from '../../controller/controller.ts';
import { networkFromRecord } from '../../lib/attachments/delegates.ts';
import { cacheResult } from '../../lib/runtime/cache.ts';
import { staticRoute } from '../../plugins/static-route/main.ts';
import { descriptorKinds } from '../support/agent/process-figures.ts';
import { installed } from '../support/build/single.ts';
import { type FakePod, type HotPlugNode, hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { run } from '../support/namespaces/namespace.ts';
import { call, success, variables } from '../support/plugins/call.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// What running pods lose comes back. Stand-ins for API server and runtime; what a pod has is what `ip` prints.

const onNode = (title: string, body: (t: Test) => Promise<void>) => t.test(title, { skip: noReferencePlugins }, body);

type Keys = { [key: string]: unknown };

const KEYS: Keys = {
  routes: [
    { dst: '10.1.0.0/16', gw: '10.79.0.1' },
    { dst: '2001:db8:1::/48', gw: 'fd00:79::1' },
  ],
  rules: [{ from: '10.79.0.0/16', table: 7, priority: 100 }],
};

/** A node with a network of a bridge and static-route, of both families. */
async function nodeOf(t: Test, keys: Keys, more: Partial<ControllerOptions> = {}) {
  const node = await hotPlugNode(t, more);
  installed(t, join(node.folder, 'bin'));
  const outcomes: string[] = [];
  await node.restart({
    observer: {
      healed: (outcome) => outcomes.push(outcome),
      log: (level, message, fields) => node.logs.push(`${level} ${message} ${JSON.stringify(fields)}`),
    },
  });
  const ranges = [[{ subnet: '10.79.0.0/16', gateway: '10.79.0.1' }], [{ subnet: 'fd00:79::/64' }]];
  const ipam = { type: 'host-local', dataDir: join(node.folder, 'leases'), ranges };
  const bridge = { type: 'bridge', bridge: 'br-blue', ipam };
  const edit = (edited: Keys) => {
    const own = { type: 'static-route', dataDir: join(node.folder, 'data'), ...edited };
    node.define('blue', { cniVersion: '1.0.0', plugins: [bridge, own] });
  };
  edit(keys);
  return { node, edit, outcomes };
}

/** Our routes and rules in a pod. */
function ours(pod: FakePod): string {
  const commands = ['route show proto 87', '-6 route show proto 87', 'rule show priority 100'];
  return commands.map((command) => pod.scratch.ip(command).trim()).join('\n');
}

const WHOLE = [/^10\.1\.0\.0\/16 via 10\.79\.0\.1 dev net1/m, /^2001:db8:1::\/48 via fd00:79::1 dev net1/m, /^100:/m];

const isWhole = (pod: FakePod) => WHOLE.every((each) => each.test(ours(pod)));

const whole = (pod: FakePod) =>
  until(() => isWhole(pod), `${pod.name} is not whole`).catch((error: Error) => {
    throw new Error(`${error.message}, but has\n${ours(pod)}`);
  });

async function podOf(node: HotPlugNode, name = 'web', networks = 'blue@net1'): Promise<FakePod> {
  const pod = node.pod(name, networks);
  await pod.has(...[...networks.matchAll(/@(\w+)/g)].map(([, ifname = '']) => ifname));
  await whole(pod);
  await until(() => node.controller.status().busy === 0);
  return pod;
}

const CIDR = (pod: FakePod) => `${pod.links().net1?.ips.find((ip) => ip.includes('.'))}/16`;
const CIDR6 = (pod: FakePod) => `${pod.links().net1?.ips.find((ip) => ip.includes(':'))}/64`;

onNode('what a pod loses by a flush, a link that goes down, or an address is back', async (t) => {
  const { node, outcomes } = await nodeOf(t, KEYS);
  const pod = await podOf(node);
  const [ip, v4, v6] = [pod.scratch.ip, CIDR(pod), CIDR6(pod)];
  ip('route add 10.66.0.0/16 via 10.79.0.1 proto static');
  const losses: [string, () => void][] = [
    ['flush', () => ip('route flush proto 87')],
    ['one route', () => ip('route del 10.1.0.0/16')],
    ['rule', () => ip('rule del priority 100')],
    [
      'address',
      () => {
        ip(`address del ${v4} dev net1`);
        ip(`address add ${v4} dev net1`);
      },
    ],
    ['flush of IPv6', () => ip('-6 route flush proto 87')],
  ];
  for (const [what, lose] of losses) {
    lose();
    t.comment(what);
    await whole(pod);
  }
  const sysctl = 'echo 0 >/proc/sys/net/ipv6/conf/net1/keep_addr_on_down';
  run('ip', ['netns', 'exec', pod.scratch.name, 'sh', '-c', sysctl]);
  ip('link set net1 down');
  await until(() => outcomes.includes('waiting'), 'nobody says that it waits');
  t.match(node.controller.status().pending, [{ pod: 'default/web', what: 'put back routes of net1' }]);
  const done = () => outcomes.filter((outcome) => outcome === 'done').length;
  const before = done();
  ip('link set net1 up');
  await until(() => /10\.1\.0\.0/.test(ours(pod)) && done() > before);
  t.match(node.controller.status().pending, [{ pod: 'default/web', what: 'put back routes of net1' }], 'one is left');
  t.notMatch(ours(pod), /2001:db8/, 'the kernel has taken the address of IPv6 with the link');
  ip(`address add ${v6} dev net1 nodad`);
  await whole(pod);
  await until(() => node.controller.status().pending.length === 0, 'something is pending');
  t.notOk(outcomes.includes('contested'));
  t.equal(node.events('ContestedRoutes').length, 0);
  await until(() => node.events('HealedRoutes').length > 0);
  t.equal(
    node.events('HealedRoutes')[0],
    'pod [default/web]: put back routes of interface net1 of network: blue (changes: 1)',
  );
});

onNode('with `heal` what was lost comes back and no edit is followed; with `off` nothing comes back', async (t) => {
  const { node, edit } = await nodeOf(t, { ...KEYS, reconcile: 'heal' });
  await node.restart({ rounds: { most: 1000 } });
  const red = {
    type: 'static-route',
    dataDir: join(node.folder, 'data'),
    routes: [{ dst: '10.2.0.0/16', gw: '10.80.0.1' }],
  };
  const ipam = { type: 'host-local', dataDir: join(node.folder, 'leases'), ranges: [[{ subnet: '10.80.0.0/16' }]] };
  node.define('red', { cniVersion: '1.0.0', plugins: [{ type: 'bridge', bridge: 'br-red', ipam }, red] });
  const pod = await podOf(node, 'web', 'blue@net1,red@net2');
  const redIsBack = () =>
    until(() => /^10\.2\.0\.0\/16 via 10\.80\.0\.1 dev net2/m.test(ours(pod)), 'the other one does not come back');
  await redIsBack();
  edit({ routes: [], reconcile: 'heal' });
  pod.scratch.ip('route flush proto 87');
  await whole(pod);
  await redIsBack();
  edit({ ...KEYS, reconcile: 'off' });
  // Until the edit has come, it does.
  const flush = async () => {
    pod.scratch.ip('route flush proto 87');
    await redIsBack();
    return !/10\.1\.0\.0/.test(ours(pod));
  };
  await until(flush, 'what is off comes back');
  t.ok(await flush());
  edit(KEYS);
  await whole(pod);
});

onNode('there is no fight with somebody who takes a route again and again', async (t) => {
  const rounds = { backoff: { firstMs: 1e6, maxMs: 1e6 }, quietMs: 1e7 };
  const { node, outcomes } = await nodeOf(t, KEYS);
  await node.restart({
    rounds,
    observer: { healed: (outcome) => outcomes.push(outcome) },
  });
  const pod = await podOf(node);
  for (let round = 0; round < 3; round++) {
    pod.scratch.ip('route del 10.1.0.0/16');
    await whole(pod);
  }
  t.notOk(outcomes.includes('contested'));
  pod.scratch.ip('route del 10.1.0.0/16');
  await until(() => node.events('ContestedRoutes').length > 0, 'nobody says so');
  t.strictSame(node.events('ContestedRoutes'), [
    'pod [default/web]: somebody takes away routes of interface net1 of network: blue: ' +
      '10.1.0.0/16 via 10.79.0.1 dev net1: nothing is in its place',
  ]);
  t.match(node.controller.status().pending, [{ what: 'put back routes of net1', retryInSeconds: Number }]);
  pod.scratch.ip('-6 route del 2001:db8:1::/48');
  await until(() => /2001/.test(ours(pod)), 'the others are put back all the same');
  t.notMatch(ours(pod), /10\.1\.0\.0/);
  t.equal(outcomes.filter((outcome) => outcome === 'contested').length, 1);
});

onNode('a pod that floods netlink keeps nobody waiting, and gets its own route back three times', async (t) => {
  const rounds = { backoff: { firstMs: 1e6, maxMs: 1e6 }, quietMs: 1e7 };
  const { node } = await nodeOf(t, KEYS);
  await node.restart({ rounds });
  const [flooder, victim] = [await podOf(node, 'flooder'), await podOf(node, 'victim')];
  const flood = await floodOf(t, flooder, join(node.folder, 'flood'));
  await flood.goesOn();
  for (let round = 0; round < 3; round++) {
    victim.scratch.ip('route flush proto 87');
    await whole(victim);
    await flood.goesOn();
  }
  const contested = () => node.events('ContestedRoutes').filter((text) => text.includes('[default/flooder]'));
  await until(() => contested().length > 0, 'nobody says who takes the route away');
  await flood.goesOn();
  t.equal(contested().length, 1);
  const { additions } = await flood.end();
  // Once more if the kernel had just told of the pod's address, with which it may take routes away itself.
  t.ok(additions >= 3 && additions <= 4, `${additions} times in all of the flood`);
  t.equal(isWhole(victim), true);
});

/** Somebody in a pod who adds and deletes routes all the time, one of ours too; but not for ever. */
async function floodOf(t: Test, { scratch }: FakePod, file: string) {
  // Of IPv6, so that whoever counts what happens to one of IPv4 is not flooded.
  const others = Array.from({ length: 200 }, (_, i) => `2001:db8:f:${i}::/64`);
  const lines = others.flatMap((dst) => [`route add ${dst} via fd00:79::1`, `route del ${dst}`]);
  writeFileSync(file, [...lines, 'route del 10.1.0.0/16 proto 87', ''].join('\n'));
  const inPod = (...command: string[]) => {
    const child = spawn('ip', ['netns', 'exec', scratch.name, ...command], { stdio: ['ignore', 'pipe', 'ignore'] });
    const ended = new Promise((resolve) => child.once('close', resolve));
    let text = '';
    child.stdout.on('data', (more) => {
      text += more;
    });
    const end = async () => {
      child.kill('SIGKILL');
      await ended;
    };
    t.teardown(end);
    return { said: () => text, end };
  };
  const monitor = inPod('ip', '-4', '-o', 'monitor', 'route');
  // It listens once it has told of something.
  await until(() => {
    if (monitor.said() === '') for (const what of ['add', 'del']) scratch.ip(`route ${what} blackhole 10.66.0.0/16`);
    return monitor.said() !== '';
  });
  const flood = inPod('sh', '-c', `for i in $(seq ${FLOODS}); do ip -force -batch ${file}; echo; done`);
  const count = () => flood.said().length;
  return {
    /** Waits until it has gone on. Throws once it is over. */
    goesOn: async () => {
      const before = count();
      await until(() => count() > before || count() >= FLOODS);
      if (count() >= FLOODS) throw new Error('the flood is over before what was lost has come back');
    },
    end: async () => {
      await flood.end();
      await monitor.end();
      return { additions: [...monitor.said().matchAll(/^10\.1\.0\.0\/16 .*proto 87/gm)].length };
    },
  };
}

/** As many as take a minute. */
const FLOODS = 10_000;

onNode('what somebody else has put in the place of a route stays, and is named; `replace` takes it back', async (t) => {
  const { node, edit } = await nodeOf(t, KEYS);
  const pod = await podOf(node);
  const rival = () => pod.scratch.ip('route replace 10.1.0.0/16 via 10.79.0.9 proto static');
  rival();
  await until(() => node.events('ContestedRoutes').length > 0, 'nobody says so');
  t.strictSame(node.events('ContestedRoutes'), [
    'pod [default/web]: somebody takes away routes of interface net1 of network: blue: ' +
      '10.1.0.0/16 via 10.79.0.1 dev net1: 10.1.0.0/16 via 10.79.0.9 dev net1 proto static is in its place',
  ]);
  t.match(pod.scratch.ip('route show 10.1.0.0/16'), /via 10\.79\.0\.9 .*proto static/);
  pod.scratch.ip('route del 10.1.0.0/16');
  await whole(pod);
  edit({ ...KEYS, onConflict: 'replace' });
  // Once it is, which nothing in the pod shows.
  await until(async () => {
    rival();
    await until(() => isWhole(pod), '', 1).catch(() => undefined);
    return isWhole(pod);
  }, 'it is not taken back');
});

onNode('what is contested again after a quiet time is told again, and within it is not', async (t) => {
  for (const [quietMs, times] of [
    [0, 2],
    [1e7, 1],
  ] as const) {
    const { node, outcomes } = await nodeOf(t, KEYS);
    await node.restart({ rounds: { quietMs, most: 1000 }, observer: { healed: (outcome) => outcomes.push(outcome) } });
    const pod = await podOf(node);
    const contest = async () => {
      pod.scratch.ip('route replace 10.1.0.0/16 via 10.79.0.9 proto static');
      await until(() => node.controller.status().pending.length > 0, 'nobody sees it');
      pod.scratch.ip('route del 10.1.0.0/16');
      await whole(pod);
      await until(() => node.controller.status().pending.length === 0, 'it stays pending');
    };
    await contest();
    await contest();
    t.equal(outcomes.filter((outcome) => outcome === 'contested').length, times, `${quietMs} ms`);
  }
});

onNode('what ends leaves no descriptor: an attachment, a sandbox, a pod, the agent', async (t) => {
  const { node } = await nodeOf(t, KEYS);
  const before = descriptorKinds(process.pid).socket ?? 0;
  const [a, b, c] = [await podOf(node, 'a'), await podOf(node, 'b'), await podOf(node, 'c')];
  const isWatched = (count: number, what: string) =>
    until(
      () => node.controller.status().podsWatched === count,
      `${what} is watched: ${node.controller.status().podsWatched}`,
    );
  await isWatched(3, 'each pod with routes of ours');
  a.select('');
  await a.has();
  await isWatched(2, 'no pod without them');
  t.equal(ours(a).trim(), '');
  for (const sandbox of node.cri.sandboxes) if (sandbox.id === b.containerID) sandbox.ready = false;
  b.scratch.remove();
  b.select(' blue@net1');
  await isWatched(1, 'no sandbox that has ended');
  node.api.delete(c.path);
  await isWatched(0, 'no pod that is gone');
  const sockets = () => descriptorKinds(process.pid).socket ?? 0;
  // Connections to the API server come and go.
  await node.controller.stop();
  await until(() => sockets() <= before, `${sockets()} sockets, ${before} before`);
});

onNode('the cluster’s own network is healed in a pod that has no other, once it is known', async (t) => {
  const { node } = await nodeOf(t, KEYS);
  const pod = node.pod('plain');
  const own = {
    ...{ type: 'static-route', dataDir: join(node.folder, 'data') },
    routes: [{ dst: '10.3.0.0/16', gw: '10.250.0.1' }],
  };
  const list = networkFromRecord({ cniVersion: '1.0.0', name: 'cluster', plugins: [{ type: 'bridge' }, own] });
  const { containerID, scratch } = pod;
  const prevResult = {
    cniVersion: '1.0.0',
    interfaces: [{ name: 'eth0', sandbox: scratch.path }],
    ips: [{ address: '10.250.0.7/24', interface: 0 }],
  };
  const config = { ...own, cniVersion: '1.0.0', name: 'cluster', prevResult };
  const result = success(
    await call(staticRoute, variables('ADD', scratch.path, { CNI_CONTAINERID: containerID }), config),
  );
  const input = { containerID, netns: scratch.path, ifname: 'eth0', args: [], capabilityArgs: {} };
  cacheResult(join(node.folder, 'cni'), list, input, result);
  const isBack = () => /^10\.3\.0\.0\/16 via 10\.250\.0\.1/m.test(ours(pod));
  t.equal(isBack(), true);
  node.controller.attached('default/plain');
  await until(() => node.controller.status().podsWatched === 1, 'it is not watched');
  pod.scratch.ip('route flush proto 87');
  await until(isBack, 'it does not come back');
  node.api.delete(pod.path);
  await until(() => node.controller.status().podsWatched === 0, 'it is watched on');
});
