import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { VERSION } from '../../lib/version.ts';
import { PLUGIN_NAMES } from '../../plugins/index.ts';
import { agentStatus } from '../support/agent/node-agent.ts';
import { mustRunScript } from '../support/build/scripts.ts';
import type { ContainerdNode } from '../support/containerd/containerd.ts';
import { runToEnd } from '../support/containerd/containers.ts';
import { CONFIGURED, greenList, look, traces } from '../support/containerd/pod-network.ts';
import { podTier } from '../support/containerd/pod-tier.ts';
import { agentServed, comeAndGo, many, podNames } from '../support/containerd/pods.ts';
import { startDaemonPod } from '../support/kubernetes/daemon-set.ts';
import { noKustomize, render } from '../support/kubernetes/kustomize.ts';
import { run, scratchFolder } from '../support/namespaces/namespace.ts';

// How executables get onto a node in a cluster: the image runs as a container, and the pods that start afterwards use the
// files that it installed, or the agent that installed shims.

const ROOT = join(import.meta.dirname, '../..');
const BINARIES = join(ROOT, 'dist/bin');
const SHIMS = join(ROOT, 'dist/shim');
const IMAGE = `docker.io/library/waymark:${VERSION}`;
const NAMES = ['waymark', ...PLUGIN_NAMES];

const tier = await podTier(t, async (node) => {
  const layout = join(scratchFolder(t), 'image');
  mustRunScript('build-image.sh', [layout]);
  node.importImage(layout, IMAGE);
});

await tier('the installer image, executables on the node, pods', async (t, node) => {
  const others = readdirSync(node.binDir);
  const before = md5sums(node.binDir, others);
  const { exitCode, log } = await runToEnd(node, {
    image: IMAGE,
    args: ['install', '--once', '--bin-dir', '/host/opt/cni/bin'],
    mounts: [{ hostPath: '/opt/cni/bin', containerPath: '/host/opt/cni/bin' }],
  });
  t.equal(exitCode, 0, 'the installer exits with 0', { log });
  t.equal(md5sums(node.binDir, NAMES), md5sums(BINARIES, NAMES), 'it installed what was built');
  t.equal(md5sums(node.binDir, others), before, 'other files are unchanged');
  await comeAndGo(t, node, 20, 'the executables that the image installed');
});

await tier(
  'the DaemonSet with the agent',
  async (t, node) => {
    const [daemonSet] = render(join(ROOT, 'manifests/overlays/agent')).filter(({ kind }) => kind === 'DaemonSet');
    if (daemonSet === undefined) throw new Error('no DaemonSet');
    const pod = await startDaemonPod(node, daemonSet, IMAGE);
    t.teardown(() => pod.delete());
    await node
      .until(async () => isReady(node, 9476), 'the agent is not ready')
      .catch((error: Error) => {
        throw new Error(`${error.message}\n${pod.log('agent')}`);
      });
    t.equal(md5sums(node.binDir, PLUGIN_NAMES), md5sums(SHIMS, PLUGIN_NAMES), 'the plugins are shims');
    t.equal(md5sums(node.binDir, ['waymark']), md5sums(BINARIES, ['waymark']), 'with their fallback');
    const { pid } = agentStatus(node);
    const agent = node.machine.run('sh', ['-c', `cat /proc/${pid}/status; readlink /proc/${pid}/ns/mnt`]);
    t.match(agent, /^CapEff:\t0+281000$/m, 'the agent has NET_ADMIN, SYS_PTRACE, SYS_ADMIN and nothing else');
    t.match(agent, /^Seccomp:\t2$/m, 'the seccomp profile');
    t.match(memoryLimit(node, pid), /^268435456$/m, 'the memory limit');
    t.notMatch(agent, node.machine.run('readlink', ['/proc/1/ns/mnt']), 'and files of its own');

    await comeAndGo(t, node, 20, 'the agent in its container');
    agentServed(t, node, 20);
    // The container has another folder of this name. The caller's counts, which is the node's.
    await comeAndGo(t, node, 5, 'the agent, with journals elsewhere', { dataDir: '/var/lib/waymark' });
    agentServed(t, node, 25);

    t.comment(`the agent has ${Math.round(agentStatus(node).memoryBytes / 1e6)} MB`);

    await node.writeLists(greenList());
    const before = await traces(node);
    const pods = await many(podNames(6), 6, (name) => node.runPod(name));
    t.strictSame(pods.done.map(look), Array(6).fill(CONFIGURED), 'the pods run');
    agentServed(t, node, 31, 6);
    const { state, exitCode } = await pod.stop('agent', pod.graceSeconds);
    t.strictSame({ state, exitCode }, { state: 'CONTAINER_EXITED', exitCode: 0 }, 'it stops on SIGTERM', {
      log: pod.log('agent'),
    });
    t.throws(() => agentStatus(node), { message: /no agent answers/ });
    t.strictSame(pods.done.map(look), Array(6).fill(CONFIGURED), 'they are unchanged');
    const gone = await many(pods.done, 6, ({ id }) => node.deletePod(id));
    t.strictSame(gone.failed, [], 'and can be deleted without it');
    t.strictSame(await traces(node), before, 'nothing is left');
  },
  { skip: noKustomize },
);

function isReady({ machine }: ContainerdNode, port: number): boolean {
  try {
    machine.run('busybox', ['wget', '-q', '-O', '-', `http://127.0.0.1:${port}/readyz`]);
    return true;
  } catch {
    return false;
  }
}

// In either version of control groups.
function memoryLimit({ machine }: ContainerdNode, pid: number): string {
  const first = `"/sys/fs/cgroup/memory$(sed -n 's/.*:memory://p' /proc/${pid}/cgroup)/memory.limit_in_bytes"`;
  const second = `"/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/${pid}/cgroup)/memory.max"`;
  return machine.run('sh', ['-c', `cat ${first} ${second} 2>/dev/null || true`]);
}

function md5sums(folder: string, names: readonly string[]): string {
  return run('sh', ['-c', 'cd "$0" && md5sum "$@"', folder, ...names]);
}
