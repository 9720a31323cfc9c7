import { execFile as execFileOf } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import t, { type Test } from 'tap';
import { type HotPlugOptions, hotPlug } from '../../agent/hot-plug.ts';
import { HERE } from '../../lib/cni/place.ts';
import { agentProcess, noRoot, parseMetrics, SINGLE_FILE_AGENT } from '../support/agent/agent.ts';
import { ApiStandIn } from '../support/kubernetes/api-stand-in.ts';
import { CriStandIn } from '../support/kubernetes/cri-stand-in.ts';
import { kubeconfig } from '../support/multus/kubeconfig.ts';
import { noMounts } from '../support/namespaces/enclosed.ts';
import { run, scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { bundleOf } from '../support/plugins/call.ts';
import { until } from '../support/until.ts';

// `waymark agent --node`: that it comes to the controller, and back. What the controller does: test/controller.

const execFile = promisify(execFileOf);
const skip = noRoot || noMounts;
/**
 * Runs a program as a container with the node's processes is run: process 1 is another one, with a mount namespace of its
 * own, in which the next argument, a folder, is /mnt. The program does not see it there.
 */
const CONTAINER = [
  ...['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c'],
  `mount --bind "$0" /mnt; unshare --mount sh -c 'umount /mnt; exec "$@"' sh "$@"; true`,
];
const POD = '/api/v1/namespaces/default/pods/web';
const NETWORKS = 'k8s.v1.cni.cncf.io/networks';

t.test('follows the pods of its node, with plugins in the mount namespace of process 1', { skip }, async (t) => {
  const folder = scratchFolder(t);
  const { api, cri } = await clusterIn(t, folder);
  const calls = join(folder, 'calls');
  mkdirSync(join(folder, 'bin'));
  const plugin = `#!/bin/sh\necho "$CNI_COMMAND $CNI_IFNAME $0" >>${calls}\necho '{"cniVersion":"1.0.0"}'\n`;
  writeFileSync(join(folder, 'bin/note'), plugin, { mode: 0o755 });
  api.put('/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/blue', {
    metadata: { name: 'blue', namespace: 'default' },
    spec: { config: '{"cniVersion":"1.0.0","type":"note"}' },
  });
  const select = runsPod(t, api, cri);
  select('blue,missing');

  const args = ['--kubeconfig', join(folder, 'kubeconfig'), '--cri-socket', join(folder, 'cri.sock')];
  const more = ['--cni-bin-dir', '/mnt', '--state-dir', join(folder, 'state')];
  const agent = await agentProcess(t, {
    command: SINGLE_FILE_AGENT,
    under: [...CONTAINER, join(folder, 'bin')],
    args: [...args, ...more],
    env: { NODE_NAME: 'node-1' },
  });
  const called = () => {
    try {
      // The shell makes the file before it writes the first line.
      return readFileSync(calls, 'utf8').split('\n').slice(0, -1);
    } catch {
      return [];
    }
  };
  await until(() => called().length > 0, 'the plugin is not called').catch((error: Error) =>
    t.fail(error.message + agent.stderr()),
  );
  t.strictSame(called(), ['ADD net1 /mnt/note']);
  // The agent answers those only whose process it sees.
  const first = readFileSync(`/proc/${agent.pid}/task/${agent.pid}/children`, 'utf8').trim();
  const inside = (...command: string[]) => ['--target', first, '--pid', '--mount', ...command];
  // The stand-ins, which are of this process, have to answer meanwhile.
  const waymark = async (...words: string[]) => {
    const command = [process.execPath, bundleOf('waymark'), ...words, '--socket', agent.socket];
    const shell = ['sh', '-c', '"$@" 2>&1; echo "exit $?"', 'sh', ...command];
    return (await execFile('nsenter', inside(...shell))).stdout;
  };
  // What it says once it is about this; on a busy machine, the runtime may not answer in time.
  const said = async (what: RegExp, ...words: string[]) => {
    let text = '';
    const isSaid = async () => {
      text = await waymark(...words);
      return what.test(text);
    };
    await until(isSaid).catch(() => t.match(text, what));
    return text;
  };
  await said(
    /hot-plug on node-1: 1 pods, \d busy, \d watched, 0 plugins running, 1 pending\n {2}default\/web: attach net2 to default\/missing/,
    'status',
  );
  await said(
    /^pod default\/web\nsandbox c1, .*\nhas net1 on default\/blue, made by the agent\ncannot attach net2 to default\/missing: .*not found.*\n {2}failed \d+ times: .*; next try in \d+ s\nexit 1\s*$/,
    ...['explain', '--pod', 'default/web'],
  );
  await said(/nothing is done to it: node node-1 has no such pod\nexit 0/, 'explain', '--pod', 'other');
  const document = (await said(/^\{[\s\S]*exit 1\s*$/, 'explain', '--pod', 'web', '--json')).replace(/exit 1\s*$/, '');
  t.match(JSON.parse(document), { pod: 'default/web', attached: [{ interface: 'net1' }], steps: [{ kind: 'attach' }] });

  const curl = (path: string) =>
    run('nsenter', inside('curl', '--silent', '--unix-socket', agent.socket, `http://agent/${path}`));
  const silent = curl('explain/default/web');
  t.equal(silent, 'the container runtime does not answer within 1.5 s\n', 'while this process waits, nobody answers');
  const body = curl('metrics');
  const page = readFileSync(join(import.meta.dirname, '../../docs/hot-plug.md'), 'utf8');
  const documented = [...page.matchAll(/^\| `(waymark_\w+)` \|/gm)].map(([, name]) => name);
  const registered = [...body.matchAll(/^# TYPE (waymark_\w+)/gm)].map(([, name]) => name ?? '');
  const isOurs = (name: string) => /hotplug|_api_|_watch_|_events_|_healed_|_pods_watched/.test(name);
  t.strictSame(documented.sort(), registered.filter(isOurs).sort(), 'docs/hot-plug.md lists the metrics');
  const verbs = ['get', 'list', 'watch', 'create', 'patch'];
  for (const verb of verbs)
    t.equal(
      parseMetrics(body).get(`waymark_api_requests_total{verb="${verb}",code="0"}`),
      0,
      `${verb}, before its first use`,
    );

  select('');
  await until(() => called().length === 2);
  t.match(called()[1], /^DEL net1/);

  t.notMatch(await waymark('status'), 'not answered since');
  const port = Number(new URL(api.url).port);
  await api.stop();
  await said(/hot-plug on node-1: 1 pods, .*\n {2}the API server has not answered since 20\S+Z\n/, 'status');
  await api.start(port);
  await until(async () => !(await waymark('status')).includes('not answered since'), 'it does not notice the answer');
});

t.test('without an account it serves shims as before, and says so', { skip: noRoot }, async (t) => {
  const agent = await agentProcess(t, { args: ['--node', 'node-1'] });
  await until(() => agent.stderr().includes('pods are not followed'), 'it does not say so');
});

/** Stand-ins for an API server, to which a kubeconfig in the folder leads, and for a container runtime. */
async function clusterIn(t: Test, folder: string) {
  const [api, cri] = [new ApiStandIn(), new CriStandIn()];
  await api.start();
  await cri.start(join(folder, 'cri.sock'));
  t.teardown(() => Promise.all([api.stop(), cri.stop()]));
  writeFileSync(join(folder, 'kubeconfig'), kubeconfig(api.url));
  return { api, cri };
}

/** Has a pod run on the node, which is there once it has selected networks. */
function runsPod(t: Test, api: ApiStandIn, cri: CriStandIn): (networks: string) => void {
  const of = { name: 'web', namespace: 'default', uid: 'uid-1' };
  cri.sandboxes.push({ ...of, id: 'c1', attempt: 0, ready: true, netns: scratchPod(t).path });
  return (networks) =>
    api.put(POD, {
      metadata: { ...of, annotations: { [NETWORKS]: networks } },
      spec: { nodeName: 'node-1' },
      status: { phase: 'Running' },
    });
}

/** The part for a node, with an API server that nobody is at. */
async function partOf(t: Test, more: Partial<HotPlugOptions> = {}) {
  const folder = scratchFolder(t);
  writeFileSync(join(folder, 'kubeconfig'), kubeconfig('http://127.0.0.1:1'));
  const note = () => {};
  const part = await hotPlug({
    ...{ node: 'node-1', namespace: undefined, kubeconfig: join(folder, 'kubeconfig') },
    ...{ criSocket: join(folder, 'cri.sock'), binDirs: [join(folder, 'bin')], stateDir: join(folder, 'state') },
    ...{
      globalNamespaces: undefined,
      allowedTypes: undefined,
      interfaceNames: 'net',
      env: {},
      reached: { place: HERE },
    },
    limits: { dumpBytes: 1 << 20, annotationSeconds: 30, protectedPrefixes: [] },
    log: { info: note, warn: note, error: note } as unknown as Logger,
    ...more,
  } as HotPlugOptions);
  if (part !== undefined) t.teardown(() => part.stop());
  return part;
}

t.test('the part of the agent', { skip: noRoot }, async (t) => {
  t.test('is not there without an account, and fails without a runtime', async (t) => {
    t.equal(await partOf(t, { kubeconfig: undefined }), undefined);
    await t.rejects(partOf(t, { criSocket: undefined }), {
      message:
        'no container runtime listens at /run/containerd/containerd.sock or /run/crio/crio.sock or ' +
        '/run/k3s/containerd/containerd.sock; see --cri-socket',
    });
  });

  t.test('has all its metrics before anything happens', async (t) => {
    const part = await partOf(t);
    const registry = new Registry();
    part?.register(registry);
    const values = parseMetrics(await registry.metrics());
    const zeros = [
      ...['get', 'list', 'watch', 'create', 'patch'].map((verb) => `api_requests_total{verb="${verb}",code="0"}`),
      ...['done', 'waiting', 'contested'].map((outcome) => `healed_total{outcome="${outcome}"}`),
      ...['events_lost_total', 'hotplug_pending', 'hotplug_pods_busy', 'pods_watched', 'hotplug_plugins_waiting'],
    ];
    for (const name of zeros) t.equal(values.get(`waymark_${name}`), 0, name);
    const steps = registry.getSingleMetric('waymark_hotplug_step_duration_seconds');
    t.match(steps, { upperBounds: [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120] });
  });

  t.test('counts what is pending', { skip: noMounts }, async (t) => {
    const folder = scratchFolder(t);
    const { api, cri } = await clusterIn(t, folder);
    runsPod(t, api, cri)('missing');
    const [account, runtime] = [join(folder, 'kubeconfig'), join(folder, 'cri.sock')];
    const part = await partOf(t, { kubeconfig: account, criSocket: runtime });
    const registry = new Registry();
    part?.register(registry);
    part?.start();
    await until(async () => parseMetrics(await registry.metrics()).get('waymark_hotplug_pending') === 1);
    t.pass('the network that is missing');
  });

  t.test('knows since when the API server says nothing', async (t) => {
    const part = await partOf(t, { namespace: 'kube-system' });
    const status = () => part?.status() as { silentSince?: string };
    t.match(status(), { node: 'node-1', pods: 0, isSynced: false, fileProblems: [], silentSince: undefined });
    const before = Date.now();
    part?.start();
    await until(() => status().silentSince !== undefined);
    const since = Date.parse(status().silentSince ?? '');
    t.ok(before <= since && since <= Date.now());
    const registry = new Registry();
    part?.register(registry);
    const restarts = async () => [...parseMetrics(await registry.metrics()).keys()].join('\n');
    await until(async () => /watch_restarts_total\{resource="pods"/.test(await restarts()), 'no watch began again');
    await until(async () => /watch_restarts_total\{resource="configmaps"/.test(await restarts()), 'nor that of files');
    t.equal(Date.parse(status().silentSince ?? ''), since, 'the first of the requests counts');
  });
});
