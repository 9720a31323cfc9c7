import { join } from 'node:path';
import t from 'tap';
import {
  type AgentProcess,
  agentProcess,
  memoryOf,
  page,
  pause,
  SINGLE_FILE_AGENT,
  until,
} from '../support/agent/agent.ts';
import { ask, type ShimCall } from '../support/agent/agent-client.ts';
import { connectionsTo, descriptorKinds } from '../support/agent/process-figures.ts';
import { makePods } from '../support/containerd/many-pods.ts';
import { noNamespaces, scratchFolder, scratchNamespace } from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';

// How an agent is after many calls: CONTRIBUTING.md says how to make more of them.

const CALLS = Number(process.env.WAYMARK_LEAK_CALLS ?? 20_000);
/** From here on, memory is what a long-lived agent has. */
const SETTLED_CALLS = 10_000;
const GROWTH = 1.1;
const PODS = 20;

type Step = { readonly plugin: string; readonly command: string; readonly config: unknown; readonly code: number };

const ROUTES = { routes: [{ dst: '10.10.0.0/16' }, { dst: 'fd00:10::/48' }] };
const HOST = { hostAddresses: ['10.0.32.2', 'fd00:32::2'] };
const REFUSED = { routes: [...ROUTES.routes, { dst: '10.20.0.0/16', gw: '192.0.2.1' }] };

/** What each pod goes through again and again, with the code of the error that it must come to, or 0. */
const STEPS: readonly Step[] = [
  { plugin: 'consistent-ifname', command: 'ADD', config: {}, code: 0 },
  { plugin: 'consistent-ifname', command: 'CHECK', config: {}, code: 0 },
  { plugin: 'consistent-ifname', command: 'DEL', config: {}, code: 0 },
  { plugin: 'seamless-gateway', command: 'ADD', config: HOST, code: 0 },
  { plugin: 'seamless-gateway', command: 'CHECK', config: HOST, code: 0 },
  { plugin: 'static-route', command: 'ADD', config: ROUTES, code: 0 },
  { plugin: 'static-route', command: 'CHECK', config: ROUTES, code: 0 },
  { plugin: 'static-route', command: 'DEL', config: ROUTES, code: 0 },
  { plugin: 'static-route', command: 'CHECK', config: ROUTES, code: 106 },
  { plugin: 'static-route', command: 'ADD', config: REFUSED, code: 104 },
  { plugin: 'static-route', command: 'ADD', config: { ...ROUTES, interface: 'eth7' }, code: 100 },
  { plugin: 'static-route', command: 'ADD', config: { routs: [] }, code: 7 },
  { plugin: 'static-route', command: 'ADD', config: '{', code: 6 },
  { plugin: 'static-route', command: 'NOTHING', config: {}, code: 4 },
  { plugin: 'seamless-gateway', command: 'STATUS', config: {}, code: 0 },
  { plugin: 'seamless-gateway', command: 'DEL', config: HOST, code: 0 },
];

t.test('after many calls an agent holds nothing, and needs no more memory', { skip: noNamespaces }, async (t) => {
  const folder = scratchFolder(t);
  const node = scratchNamespace(t);
  const pods = await makePods(t, PODS, node);
  const clean = pods.paths.map((path) => pods.state(path));
  const agent = await agentProcess(t, { socket: join(folder, 'run/agent.sock'), command: SINGLE_FILE_AGENT });
  const figures: string[] = [];
  const figure = (calls: number) => {
    const bytes = memoryOf(agent.pid);
    figures.push(`${calls} calls: ${Math.round(bytes / 1e6)} MB`);
    return bytes;
  };
  figure(0);
  const rounds = pods.paths.map((path, i) => roundOf(agent.socket, path, `pod-${i}`, join(folder, 'data')));

  const first = await makeCalls(rounds, 1000);
  figure(first);
  const descriptors = await descriptorsAtRest(agent);
  const isAtRest = () => JSON.stringify(descriptorKinds(agent.pid)) === JSON.stringify(descriptors);
  const settling = first + (await makeCalls(rounds, SETTLED_CALLS - first));
  const settled = figure(settling);
  const began = performance.now();
  const made = settling + (await makeCalls(rounds, CALLS - settling));
  const perSecond = Math.round((made - settling) / ((performance.now() - began) / 1000));
  figure(made);
  t.comment(`${figures.join(', ')}; ${perSecond} calls per second`);

  await until(isAtRest).catch(() => t.strictSame(descriptorKinds(agent.pid), descriptors, 'descriptors of each kind'));
  t.equal(connectionsTo(agent.socket), 0, 'connections');
  // What is only garbage yet goes while nothing is to do.
  await until(() => memoryOf(agent.pid) < settled * GROWTH).catch(() =>
    t.fail('memory grows by more than a tenth', { figures }),
  );
  t.strictSame(
    pods.paths.map((path) => pods.state(path)),
    clean,
    'the pods are as before',
  );
  const { requests } = JSON.parse((await page({ socketPath: agent.socket }, '/status')).body);
  t.equal(requests, made, 'calls counted');

  pods.remove();
  // The other end of a link goes when the namespace with the first one is really gone, not when its name is.
  const links = () => node.ipJson('link show').map(({ ifname }) => ifname);
  await until(
    () => links().every((name) => name === 'lo'),
    () => `namespaces live on: ${links()}`,
  );
});

// Plays a pod's steps one after another, from the first on; resolves with how many calls were made.
function roundOf(socket: string, netns: string, containerID: string, dataDir: string): () => Promise<number> {
  const common = { cniVersion: '1.1.0', name: 'green', interface: 'eth0', dataDir };
  const calls = STEPS.map(({ plugin, command, config, code }): { call: ShimCall; code: number } => {
    const stdin = typeof config === 'string' ? config : JSON.stringify({ ...common, ...(config as object) });
    return { call: { plugin, env: variables(command, netns, { CNI_CONTAINERID: containerID }), stdin }, code };
  });
  return async () => {
    for (const { call, code } of calls) {
      const { code: exit, stdout } = await ask(socket, call);
      const found = exit === 1 ? JSON.parse(stdout).code : exit;
      if (found !== code)
        throw new Error(`${call.plugin} ${call.env.CNI_COMMAND}: ${found} instead of ${code}: ${stdout}`);
    }
    return calls.length;
  };
}

// At least so many, all pods at once.
async function makeCalls(rounds: readonly (() => Promise<number>)[], count: number): Promise<number> {
  let made = 0;
  await Promise.all(
    rounds.map(async (play) => {
      while (made < count) {
        const more = await play();
        made += more;
      }
    }),
  );
  return made;
}

// The last connections are closed a moment after their answers.
async function descriptorsAtRest({ pid, socket }: AgentProcess): Promise<{ [kind: string]: number }> {
  await until(() => connectionsTo(socket) === 0);
  for (let last = ''; ; ) {
    const found = descriptorKinds(pid);
    if (JSON.stringify(found) === last) return found;
    last = JSON.stringify(found);
    await pause(200);
  }
}
