import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { LARGE_CONFIG_BYTES } from '../../agent/limits.ts';
import type { Call, Plugin } from '../../lib/cni/runner.ts';
import { agentHere, noRoot, page, parseMetrics, pause, shimEnv, shimOf, until } from '../support/agent/agent.ts';
import { ask, connection, parseAnswers, received, requestBytes } from '../support/agent/agent-client.ts';
import { enclosed, noMounts, ran } from '../support/namespaces/enclosed.ts';
import {
  noNamespaces,
  type Scratch,
  scratchFolder,
  scratchNamespace,
  scratchPod,
} from '../support/namespaces/namespace.ts';
import { type Env, execute, variables } from '../support/plugins/call.ts';
import { PLUGINS, type PluginUnderTest } from '../support/plugins/plugins.ts';
import { previousResult } from '../support/plugins/previous-result.ts';
import { TOPOLOGY_PODS, TOPOLOGY_YAML } from '../support/plugins/topology.ts';

/** A plugin whose ADD, CHECK and DEL are whatever a test wants. */
function plugin(name: string, handler: (call: Call) => Promise<object | undefined>): Plugin {
  const nothing = async () => undefined;
  return { name, version: '0', handlers: { ADD: handler, CHECK: handler, DEL: handler, GC: nothing, STATUS: nothing } };
}

const CONFIG = JSON.stringify({ cniVersion: '1.1.0', name: 'net', type: 'test' });

/** The variables of a DEL without a namespace: for plugins that do not look at one. */
const quick = (containerID: string) => variables('DEL', '', { CNI_CONTAINERID: containerID });

// The oracle: what the same plugins answer as processes of their own, on another pod like this one.
for (const entry of PLUGINS) {
  t.test(`${entry.name} answers to the byte what its executable does`, { skip: noNamespaces }, async (t) => {
    const { socket } = await agentHere(t, { limits: { configBytes: 16 << 20, allConfigsBytes: 32 << 20 } });
    const [here, there] = [scratchPod(t), scratchPod(t)].map((pod) => ({
      pod,
      dataDir: join(scratchFolder(t), 'data'),
    }));
    if (here === undefined || there === undefined) throw new Error('no pods');
    for (const [title, env, stdin] of callsOf(entry)) {
      const said = await ask(socket, { plugin: entry.name, env: env(here), stdin: stdin(here) });
      const expected = execute(entry.name, env(there), stdin(there));
      const known = (text: string, { pod, dataDir }: Place) =>
        text
          .replaceAll(pod.path, 'POD')
          .replaceAll(dataDir, 'DATA')
          .replace(/"time":"[^"]*"/g, '"time":""');
      t.equal(said.code, expected.code, `${title}: exit code`);
      t.equal(known(said.stdout, here), known(expected.stdout, there), `${title}: stdout`);
      t.equal(known(said.stderr, here), known(expected.stderr, there), `${title}: stderr`);
      t.equal(ruleset(here.pod), ruleset(there.pod), `${title}: the pod`);
    }
    t.strictSame(readdirSync(join(here.dataDir, entry.name)), readdirSync(join(there.dataDir, entry.name)));
  });
}

type Place = { pod: Scratch; dataDir: string };

/** Every verb, right and wrong, in an order in which each finds what the one before has left. */
function callsOf({ name, config, adds }: PluginUnderTest): [string, (place: Place) => Env, (place: Place) => string][] {
  const verb =
    (command: string, more: Env = {}) =>
    ({ pod }: Place) =>
      variables(command, pod.path, more);
  const keys =
    (more: object = {}) =>
    ({ pod, dataDir }: Place) =>
      JSON.stringify({
        cniVersion: '1.0.0',
        name: 'net',
        type: name,
        dataDir,
        prevResult: previousResult('1.0.0', pod.path),
        ...config,
        ...adds?.config,
        ...more,
      });
  const text = (stdin: string) => () => stdin;
  const current = keys({ cniVersion: '1.1.0', prevResult: undefined });
  return [
    ['VERSION', verb('VERSION'), keys()],
    ['no verb', verb(''), keys()],
    ['an unknown verb', verb('WALK'), keys()],
    ['no variables', () => ({ CNI_COMMAND: 'ADD' }), keys()],
    ['no JSON', verb('ADD'), text('{')],
    ['no config', verb('ADD'), text('')],
    ['9 MiB', verb('ADD'), text(`{"a":"${'x'.repeat(9 << 20)}`.slice(0, (8 << 20) + 1))],
    ['a wrong config', verb('ADD'), keys({ skipchek: true, dataDir: 'relative' })],
    ['an unknown version', verb('ADD'), keys({ cniVersion: '9.0.0' })],
    ['an unknown key', verb('CHECK'), keys({ deviceID: '0000:00' })],
    ['STATUS', verb('STATUS'), current],
    ['STATUS of a version that has none', verb('STATUS'), keys()],
    ['a namespace that does not exist', verb('ADD', { CNI_NETNS: '/run/netns/nonexistent' }), keys()],
    ['the same for DEL', verb('DEL', { CNI_NETNS: '/run/netns/nonexistent' }), keys()],
    ['what is no namespace', verb('ADD', { CNI_NETNS: '/etc/passwd' }), keys()],
    ['the node’s own namespace', verb('ADD', { CNI_NETNS: '/proc/self/ns/net' }), keys()],
    ['the same by another name', verb('ADD', { CNI_NETNS: '/proc/thread-self/ns/net' }), keys()],
    [
      'an interface that is not there',
      verb('ADD', { CNI_IFNAME: 'eth7' }),
      keys({ prevResult: undefined, interface: 'eth7' }),
    ],
    ['ADD', verb('ADD'), keys()],
    ['ADD again', verb('ADD'), keys({ logLevel: 'trace' })],
    ['CHECK', verb('CHECK'), keys()],
    ['ADD for another container', verb('ADD', { CNI_CONTAINERID: 'container-2' }), keys()],
    [
      'GC',
      verb('GC'),
      keys({ cniVersion: '1.1.0', 'cni.dev/valid-attachments': [{ containerID: 'container-1', ifname: 'eth0' }] }),
    ],
    ['DEL', verb('DEL'), keys()],
    ['DEL again', verb('DEL'), keys()],
    ['CHECK of what is gone', verb('CHECK'), keys()],
    ['DEL without a namespace', verb('DEL', { CNI_NETNS: '', CNI_CONTAINERID: 'container-2' }), keys()],
  ];
}

// Without what differs from pod to pod: link-layer addresses, and what the kernel makes of them.
function ruleset(pod: Scratch): string {
  const links = pod.ipJson('link show').map(({ ifname, altnames }) => ({ ifname, altnames }));
  return `${JSON.stringify(links)}\n${pod.ip('route show table main')}\n${pod.ip('-6 route show proto 87')}`;
}

t.test('an ADD that waits does not hold up the others', { skip: noNamespaces }, async (t) => {
  const { socket, folder } = await agentHere(t);
  const [waiting, pod] = [scratchNamespace(t), scratchPod(t)];
  waiting.ip('link add eth0 type veth peer name peer');
  waiting.ip('link set peer up');
  waiting.ip('link set eth0 up');
  const stdin = (more: object) =>
    JSON.stringify({
      cniVersion: '1.1.0',
      name: 'net',
      type: 'seamless-gateway',
      dataDir: join(folder, 'data'),
      hostAddresses: ['10.0.32.2'],
      ...more,
    });
  const slow = connection(socket);
  const answer = received(await slow);
  (await slow).write(
    requestBytes({
      plugin: 'seamless-gateway',
      env: variables('ADD', waiting.path),
      stdin: stdin({ waitSeconds: 600 }),
    }),
  );
  // It is not among those that run, except while it takes a look.
  const waits = async () => {
    const metrics = parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
    return metrics.get('waymark_requests_running') === 0 && metrics.get('waymark_requests_patient') === 1;
  };
  await until(waits);
  for (let i = 0; i < 20; i++) {
    for (const verb of ['ADD', 'CHECK', 'DEL']) {
      const env = variables(verb, pod.path, { CNI_CONTAINERID: 'other' });
      t.equal((await ask(socket, { plugin: 'seamless-gateway', env, stdin: stdin({}) })).code, 0);
    }
  }
  await until(waits);
  waiting.ip('address add 10.244.1.5/24 dev eth0');
  const bytes = await answer;
  t.equal(bytes.toString('latin1', 4, 5), 'A', 'it was accepted');
  t.match(waiting.ipJson('route show proto 87'), [{ dst: '10.0.32.2', gateway: '10.244.1.1' }]);
});

t.test(
  'calls of one container run one after another, and those of others at the same time',
  { skip: noRoot },
  async (t) => {
    const running = new Set<string>();
    const seen: string[] = [];
    let most = 0;
    const watched = plugin('watched', async ({ request }) => {
      if (running.has(request.containerID)) throw new Error('two at once');
      running.add(request.containerID);
      most = Math.max(most, running.size);
      seen.push(`${request.containerID} ${request.ifname}`);
      // All four at once, however busy the machine is.
      await until(() => most === 4);
      running.delete(request.containerID);
      return undefined;
    });
    const { socket } = await agentHere(t, { plugins: [watched] });
    const calls: Promise<number | undefined>[] = [];
    for (const ifname of ['eth0', 'net1', 'net2']) {
      for (const containerID of ['a', 'b', 'c', 'd']) {
        const env = { ...quick(containerID), CNI_IFNAME: ifname };
        const client = await connection(socket);
        const answer = received(client).then((bytes) => parseAnswers(bytes).code);
        // In this order, also for the agent.
        const accepted = once(client, 'data');
        client.write(requestBytes({ plugin: 'watched', env, stdin: CONFIG }));
        await accepted;
        calls.push(answer);
      }
    }
    t.strictSame(await Promise.all(calls), Array(12).fill(0));
    t.equal(most, 4);
    for (const id of ['a', 'b', 'c', 'd'])
      t.strictSame(
        seen.filter((name) => name.startsWith(id)),
        [`${id} eth0`, `${id} net1`, `${id} net2`],
      );
  },
);

t.test('a call whose caller has gone before its turn never begins', { skip: noRoot }, async (t) => {
  const begun: string[] = [];
  let goOn = () => {};
  const held = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const slow = plugin('slow', async ({ request }) => {
    begun.push(request.ifname);
    if (request.ifname === 'first') await held;
    return undefined;
  });
  const { socket } = await agentHere(t, { plugins: [slow] });
  const call = (ifname: string) => ({ plugin: 'slow', env: { ...quick('a'), CNI_IFNAME: ifname }, stdin: CONFIG });
  const first = ask(socket, call('first'));
  await until(() => begun.length === 1);
  const second = await connection(socket);
  second.write(requestBytes(call('second')));
  await new Promise((resolve) => second.once('data', resolve));
  const third = ask(socket, call('third'));
  second.destroy();
  goOn();
  t.equal((await first).code, 0);
  t.equal((await third).code, 0);
  t.strictSame(begun, ['first', 'third']);
  const metrics = parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
  t.equal(metrics.get('waymark_connections_refused_total{reason="caller gone"}'), 1);
});

t.test(
  'a process that is not there any more is no caller, though its connection is still open',
  { skip: noNamespaces },
  async (t) => {
    const begun: string[] = [];
    const { socket, log } = await agentHere(t, { plugins: [plugin('slow', async () => void begun.push('begun'))] });
    // It hands its connection, and the last byte, to a child, and ends: its number could be another's by now.
    const bytes = requestBytes({ plugin: 'slow', env: quick('a'), stdin: CONFIG }).toString('base64');
    const orphan =
      'while read -r _ _ _ p _ </proc/$$/stat && [ "$p" = "$1" ]; do sleep 0.01; done; printf "}" >&0; exec cat <&0';
    const script = `
    const orphan = ${JSON.stringify(orphan)};
    const bytes = Buffer.from('${bytes}', 'base64');
    const socket = require('node:net').connect('${socket}', () => {
      socket.write(bytes.subarray(0, -1), () => {
        const stdio = [socket, 'inherit', 'inherit'];
        require('node:child_process').spawn('sh', ['-c', orphan, 'sh', String(process.pid)], { stdio });
        process.kill(process.pid, 'SIGKILL');
      });
    });`;
    const { stdout, stderr } = await ran(spawn(process.execPath, ['-e', script]));
    t.match(`${stdout}${stderr}`, /^WMK.A[^R]*$/, 'it is accepted, and not answered');
    t.strictSame(begun, []);
    t.match(log.at(-1), { level: 40, reason: 'caller out of reach', err: Object });
    const metrics = parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
    t.equal(metrics.get('waymark_connections_refused_total{reason="caller out of reach"}'), 1);
  },
);

t.test('a plugin that throws, in any way, harms no other', { skip: noRoot }, async (t) => {
  const circular: { self?: object } = {};
  circular.self = circular;
  const ways: { [name: string]: () => Promise<object | undefined> } = {
    throws: () => {
      throw new Error('thrown');
    },
    rejects: async () => {
      await pause(1);
      throw new Error('rejected');
    },
    'throws-text': () => {
      throw 'text';
    },
    'throws-nothing': () => Promise.reject(),
    circular: async () => circular,
    recurses: async () => {
      const down = (depth: number): number => down(depth + 1) + 1;
      return { depth: down(0) };
    },
  };
  const good = plugin('good', async () => ({ cniVersion: '1.1.0' }));
  const { socket } = await agentHere(t, {
    plugins: [good, ...Object.entries(ways).map(([name, way]) => plugin(name, way))],
  });
  const calls = [...Object.keys(ways), ...Object.keys(ways)].map(async (name, i) => {
    const [bad, other] = await Promise.all([
      ask(socket, { plugin: name, env: quick(`bad-${i % 3}`), stdin: CONFIG }),
      ask(socket, { plugin: 'good', env: quick(`good-${i % 3}`), stdin: CONFIG }),
    ]);
    t.match({ ...bad, document: JSON.parse(bad.stdout) }, { code: 1, document: { code: 999, msg: String } }, name);
    t.match(other, { code: 0, stdout: '{\n    "cniVersion": "1.1.0"\n}\n' }, 'the other one');
  });
  await Promise.all(calls);
});

t.test(
  'what the queue refuses is closed without an answer, so that its shim goes elsewhere',
  { skip: noRoot },
  async (t) => {
    const held: (() => void)[] = [];
    const slow = plugin('slow', async () => {
      await new Promise<void>((resolve) => held.push(resolve));
      return undefined;
    });
    const call = { plugin: 'slow', env: quick('a'), stdin: CONFIG };
    const handedBack = { level: 40, verb: 'DEL', containerID: 'a', msg: /^handed back/ };

    await t.test('when too many wait', async (t) => {
      const { socket, log } = await agentHere(t, { plugins: [slow], limits: { running: 1, waiting: 1 } });
      const calls = [ask(socket, call), ask(socket, call), ask(socket, call)];
      t.equal((await Promise.race(calls)).code, undefined, 'while one runs and one waits');
      for (const count of [1, 2]) {
        await until(() => held.length === count);
        held.at(-1)?.();
      }
      t.strictSame((await Promise.all(calls)).map(({ code }) => code ?? 'none').sort(), [0, 0, 'none']);
      t.match(
        log.filter(({ reason }) => reason !== undefined),
        [{ ...handedBack, reason: 'queue full' }],
      );
    });

    await t.test('when one waits too long', async (t) => {
      const { socket, log } = await agentHere(t, { plugins: [slow], limits: { waitMs: 50 } });
      const before = held.length;
      const calls = [ask(socket, call), ask(socket, call)];
      t.equal((await Promise.race(calls)).code, undefined);
      await until(() => held.length > before);
      held.at(-1)?.();
      t.strictSame((await Promise.all(calls)).map(({ code }) => code ?? 'none').sort(), [0, 'none']);
      t.match(
        log.filter(({ reason }) => reason !== undefined),
        [{ ...handedBack, reason: 'waited too long' }],
      );
    });
  },
);

t.test('a caller in a root of its own has its files found as it sees them', { skip: noMounts }, async (t) => {
  const [address = '', routes = []] = TOPOLOGY_PODS[0] ?? [];
  const pod = scratchNamespace(t);
  pod.ip('link add eth0 type veth peer name peer');
  pod.ip('link set peer up');
  pod.ip('link set eth0 up');
  pod.ip(`address add ${address} dev eth0`);
  const { socket } = await agentHere(t);
  const map = join(scratchFolder(t), 'map.yaml');
  writeFileSync(map, TOPOLOGY_YAML);
  // Only in there are a namespace, a map and a folder of these names; /var/run is an absolute link.
  const place = await enclosed(
    t,
    `mkdir $root/run/netns; touch $root/run/netns/only-here; mount --bind ${pod.path} $root/run/netns/only-here; cp ${map} $root/run/map.yaml`,
  );
  const config = {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'static-route',
    dataDir: '/var/run/waymark-data',
    logFile: '/var/run/waymark.log',
    topologyFile: '/var/run/map.yaml',
  };
  const call = (verb: string, more: object = {}, env: Env = {}) =>
    place.run(
      [shimOf('static-route')],
      JSON.stringify({ ...config, ...more }),
      shimEnv(socket, variables(verb, '/var/run/netns/only-here', env)),
    );

  const added = await call('ADD');
  t.equal(added.code, 0, added.stdout);
  t.match(JSON.parse(added.stdout), { interfaces: [{ name: 'eth0', sandbox: '/var/run/netns/only-here' }] });
  t.strictSame(
    pod.ipJson('route show proto 87').map(({ dst, gateway }) => `${dst} via ${gateway}`),
    routes,
  );
  t.match(JSON.parse(place.read('/run/waymark-data/static-route/container-1-eth0.json')), {
    containerID: 'container-1',
  });
  t.match(place.read('/run/waymark.log'), '"made changes"');
  t.equal((await call('CHECK')).code, 0);
  t.equal((await call('STATUS')).code, 0);

  const cases: [title: string, more: object, env: Env, message: RegExp][] = [
    [
      'a map that is not there',
      { topologyFile: '/var/run/none.yaml' },
      {},
      /cannot be read: \/var\/run\/none\.yaml: ENOENT/,
    ],
    ['a path that is not a folder', { dataDir: '/var/run/map.yaml/x' }, {}, /: \/run\/map\.yaml\/x|\/run\/map\.yaml/],
    [
      'a namespace that is not there',
      {},
      { CNI_NETNS: '/var/run/netns/none' },
      /CNI_NETNS="\/var\/run\/netns\/none" does not exist/,
    ],
  ];
  for (const [title, more, env, message] of cases) {
    const { code, stdout } = await call('ADD', { ...more, logLevel: 'silent' }, env);
    t.equal(code, 1, title);
    const { msg, details = '' } = JSON.parse(stdout);
    t.match(`${msg} ${details}`, message, title);
    t.notMatch(stdout, '/proc/self/fd', 'paths are reported as the caller knows them');
  }

  t.equal((await call('DEL')).code, 0);
  t.strictSame(pod.ipJson('route show proto 87'), []);
  t.throws(() => place.read('/run/waymark-data/static-route/container-1-eth0.json'));
});

t.test('the node is the network namespace that the caller is in', { skip: noNamespaces }, async (t) => {
  const { socket, folder } = await agentHere(t);
  const [node, pod] = [scratchNamespace(t), scratchPod(t)];
  node.ip('link add uplink0 type veth peer name wire0');
  node.ip('link set wire0 up');
  node.ip('link set uplink0 up');
  node.ip('address add 10.77.3.2/24 dev uplink0');
  node.ip('route add default via 10.77.3.1 dev uplink0');
  const call = (netns: string) => {
    const stdin = JSON.stringify({
      cniVersion: '1.1.0',
      name: 'net',
      type: 'seamless-gateway',
      dataDir: join(folder, 'data'),
    });
    const child = spawn('nsenter', [`--net=${node.path}`, shimOf('seamless-gateway')], {
      env: { PATH: process.env.PATH, ...shimEnv(socket, variables('ADD', netns)) },
    });
    return ran(child, stdin);
  };
  const { code, stdout } = await call(pod.path);
  t.equal(code, 0, stdout);
  t.match(pod.ipJson('route show proto 87'), [{ dst: '10.77.3.2', gateway: '10.244.1.1' }]);
  for (const own of [node.path, '/proc/self/ns/net'])
    t.match(JSON.parse((await call(own)).stdout), { code: 8 }, `${own} is its own, and refused`);
});

t.test('a FIFO in the place of a file holds up nobody', { skip: noNamespaces }, async (t) => {
  const { socket, folder } = await agentHere(t);
  const pod = scratchPod(t);
  const fifo = join(folder, 'fifo');
  await ran(spawn('mkfifo', [fifo]));
  mkdirSync(join(folder, 'data'), { mode: 0o700 });
  const call = (more: object) => {
    const stdin = JSON.stringify({
      cniVersion: '1.1.0',
      name: 'net',
      type: 'static-route',
      dataDir: join(folder, 'data'),
      ...more,
    });
    return ask(socket, { plugin: 'static-route', env: variables('ADD', pod.path), stdin });
  };
  const logged = await call({ logFile: fifo, logLevel: 'trace', routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }] });
  t.equal(logged.code, 0);
  t.match(logged.stderr, '"made changes"', 'what nobody reads goes to stderr');
  t.match(JSON.parse((await call({ topologyFile: fifo })).stdout), { code: 7 });
  const named = await call({ dataDir: join(fifo, 'data'), routes: [{ dst: '10.8.0.0/16', gw: '10.244.1.1' }] });
  t.match(JSON.parse(named.stdout), { code: 5, msg: /fifo/ });
});

t.test('calls with a large config let others run between their steps, and ordinary ones do not', async (t) => {
  const stops: boolean[] = [];
  const seen = plugin('seen', async ({ pacing: { betweenSteps } }) => {
    stops.push(betweenSteps !== undefined);
    await betweenSteps?.();
    return undefined;
  });
  const { socket } = await agentHere(t, { plugins: [seen] });
  for (const size of [LARGE_CONFIG_BYTES, LARGE_CONFIG_BYTES + 1])
    await ask(socket, { plugin: 'seen', env: quick('a'), stdin: CONFIG.padEnd(size) });
  t.strictSame(stops, [false, true]);
  const held: (() => void)[] = [];
  const holds = plugin('holds', () => new Promise((resolve) => held.push(() => resolve(undefined))));
  const other = await agentHere(t, { plugins: [holds] });
  const call = (id: string) => ({ plugin: 'holds', env: quick(id), stdin: CONFIG.padEnd(LARGE_CONFIG_BYTES) });
  const calls = [ask(other.socket, call('a')), ask(other.socket, call('b'))];
  await until(() => held.length === 2);
  for (const release of held) release();
  for (const { code } of await Promise.all(calls)) t.equal(code, 0);
});
