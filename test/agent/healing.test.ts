import { spawn } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { agentProcess, freeAddress, page, parseMetrics, SINGLE_FILE_AGENT } from '../support/agent/agent.ts';
import { descriptorKinds } from '../support/agent/process-figures.ts';
import { installed } from '../support/build/single.ts';
import { type FakePod, hotPlugNode, NODE } from '../support/kubernetes/hot-plug.ts';
import { noReferencePlugins, REFERENCE_FOLDER } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// The agent as shipped puts back what pods lose, and takes nothing while nothing happens: how fast, and how little, with as
// many pods and rounds as the variables say (CONTRIBUTING.md).

const PODS = Number(process.env.WAYMARK_HEAL_PODS ?? 2);
const ROUNDS = Number(process.env.WAYMARK_HEAL_ROUNDS ?? 1);
const IDLE_SECONDS = Number(process.env.WAYMARK_HEAL_IDLE_SECONDS ?? 0);

const skip = noReferencePlugins || (existsSync(SINGLE_FILE_AGENT[0] ?? '') ? false : 'needs `npm run build`');

t.test(
  `what ${PODS} pods lose is back ${ROUNDS} times, and when they are gone nothing is left`,
  { skip },
  async (t) => {
    const { agent, address, pods, api } = await nodeWithAgent(t);
    const [pid = 0] = readFileSync(`/proc/${agent.pid}/task/${agent.pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .map(Number);
    const sockets = () => descriptorKinds(pid).socket ?? 0;
    const metric = async (name: string) => parseMetrics((await page(address, '/metrics')).body).get(name) ?? 0;
    await until(async () => (await metric('waymark_pods_watched')) === PODS, 'not all pods are watched');
    const watched = sockets();

    if (IDLE_SECONDS > 0) {
      // What came of the attachments has been written by then, and memory been given back.
      await pause(90_000);
      const before = processorTimeOf(pid);
      await pause(IDLE_SECONDS * 1000);
      const share = (processorTimeOf(pid) - before) / IDLE_SECONDS;
      t.comment(`idle with ${PODS} pods for ${IDLE_SECONDS} s: ${(100 * share).toFixed(2)} % of a core`);
    }

    for (const [what, commands] of Object.entries(LOSSES)) {
      const took: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const pod = pods[round % pods.length] as FakePod;
        took.push(await lose(t, pod, commands(pod)));
      }
      const median = took.toSorted((a, b) => a - b)[took.length >> 1] ?? 0;
      t.comment(`${what}: back after ${median.toFixed(0)} ms at the median, ${Math.max(...took).toFixed(0)} at most`);
    }
    t.ok((await metric('waymark_healed_total{outcome="done"}')) >= ROUNDS * Object.keys(LOSSES).length);
    t.equal(await metric('waymark_healed_total{outcome="contested"}'), 0);

    for (const { path } of pods) api.delete(path);
    await until(async () => (await metric('waymark_pods_watched')) === 0, 'pods that are gone are watched');
    await until(() => sockets() <= watched - PODS, `${sockets()} sockets are open, of ${watched} with ${PODS} pods`);
  },
);

/** Who else is process 1 here need not let itself be looked at. */
const AS_PROCESS_1 = [
  'unshare',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount',
  '--propagation',
  'slave',
  '--mount-proc',
];

/** The commands of `ip` by which a pod loses the route, and the last of which lets it come back. */
const LOSSES: { readonly [what: string]: (pod: FakePod) => string[] } = {
  'link down and up': () => ['link set net1 down', 'link set net1 up'],
  'route flush': () => ['route flush proto 87'],
  'address replaced': (pod) => {
    const address = `${pod.links().net1?.ips[0]}/16`;
    return [`address del ${address} dev net1`, `address add ${address} dev net1`];
  },
};

/** How long the route was away after the last of these commands began, by what `ip monitor` says, in milliseconds. */
async function lose(t: Test, { scratch }: FakePod, commands: readonly string[]): Promise<number> {
  const monitor = spawn('ip', ['-n', scratch.name, 'monitor', 'all']);
  t.teardown(() => monitor.kill('SIGKILL'));
  let said = '';
  let backAt = 0;
  monitor.stdout.on('data', (text) => {
    said += text;
    if (backAt === 0 && IS_BACK.test(said)) backAt = performance.now();
  });
  // It listens once it has told of something.
  await until(() => {
    if (said === '') for (const what of ['add', 'del']) scratch.ip(`rule ${what} table 99 pref 99`);
    return said !== '';
  });
  for (const command of commands.slice(0, -1)) scratch.ip(command);
  const begun = performance.now();
  scratch.ip(commands.at(-1) ?? '');
  await until(() => backAt !== 0, 'the route does not come back');
  monitor.kill('SIGKILL');
  return backAt - begun;
}

const IS_BACK = /^\S*10\.1\.0\.0\/16 via 10\.79\.0\.1 dev net1 proto 87/m;

async function nodeWithAgent(t: Test) {
  const node = await hotPlugNode(t);
  const { folder, api } = node;
  // The agent takes its place.
  await node.controller.stop();
  installed(t, join(folder, 'bin'));
  for (const plugin of ['bridge', 'host-local']) {
    const wrapper = join(folder, 'bin', plugin);
    writeFileSync(wrapper, `#!/bin/sh\nexec nsenter --net=${node.node.path} ${REFERENCE_FOLDER}/${plugin}\n`);
    chmodSync(wrapper, 0o755);
  }
  const kubeconfig = {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: api.url } }],
    users: [{ name: 'u', user: { token: 'secret' } }],
  };
  writeFileSync(join(folder, 'kubeconfig'), JSON.stringify(kubeconfig));
  const ipam = {
    type: 'host-local',
    dataDir: join(folder, 'leases'),
    ranges: [[{ subnet: '10.79.0.0/16', gateway: '10.79.0.1' }]],
  };
  const routes = [{ dst: '10.1.0.0/16', gw: '10.79.0.1' }];
  node.define('blue', {
    cniVersion: '1.0.0',
    plugins: [
      { type: 'bridge', bridge: 'br-blue', ipam },
      { type: 'static-route', dataDir: join(folder, 'data'), routes },
    ],
  });
  // At its socket, it would have to see who asks.
  const address = await freeAddress();
  const agent = await agentProcess(t, {
    command: SINGLE_FILE_AGENT,
    args: [
      ...['--kubeconfig', join(folder, 'kubeconfig'), '--cri-socket', join(folder, 'cri.sock')],
      ...['--cni-bin-dir', join(folder, 'bin')],
      ...['--state-dir', join(folder, 'state'), '--listen', `${address.host}:${address.port}`],
    ],
    under: AS_PROCESS_1,
    env: { NODE_NAME: NODE },
  });
  const pods = Array.from({ length: PODS }, (_, i) => node.pod(`web-${i}`, 'blue@net1'));
  for (const pod of pods) await pod.has('net1').catch((error) => t.fail(error.message + agent.stderr()));
  return { agent, address, pods, api };
}

function processorTimeOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  // utime and stime (proc_pid_stat(5)), in hundredths of a second.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
