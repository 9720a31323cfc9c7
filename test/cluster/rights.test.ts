import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { installMultus, installWaymark, multusFolder, overlayFolder, rollout } from '../../scripts/cluster/addons.ts';
import type { Cluster } from '../../scripts/cluster/cluster.ts';
import { WAIT_SECONDS } from '../../scripts/cluster/process.ts';
import { clusterTier } from '../support/cluster/cluster-tier.ts';
import { stateOf, untilListIsRead, untilStateIs } from '../support/cluster/node-state.ts';
import {
  apply,
  eventOf,
  get,
  type Manifest,
  networkOf,
  podOf,
  remove,
  routesOf,
  untilReady,
} from '../support/cluster/objects.ts';
import { GREEN_NAME, greenList } from '../support/containerd/pod-network.ts';
import { observe } from '../support/faults/observe.ts';

// The DaemonSet has the rights that manifests/README.md lists, and needs each of them. Our plugin is in the network list of
// the node's own pods.

const tier = await clusterTier(t, { nodes: 1, waymark: 'agent' }, (cluster) => {
  const node = cluster.node('node-1');
  const list = {
    cniVersion: '1.0.0',
    name: 'with-routes',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni1',
        isGateway: true,
        ipam: { type: 'host-local', ranges: [[{ subnet: '10.245.1.0/24' }]], routes: [{ dst: '0.0.0.0/0' }] },
      },
      { type: 'static-route', routes: [{ dst: '10.9.0.0/16' }] },
    ],
  };
  writeFileSync(join(node.disk, 'etc/cni/net.d/05-with-routes.conflist'), JSON.stringify(list));
});

await tier('a pod in a namespace with the level `restricted` gets its routes', async (t, cluster) => {
  cluster.kubectl(['create', 'namespace', 'team']);
  cluster.kubectl(['label', 'namespace', 'team', 'pod-security.kubernetes.io/enforce=restricted']);
  cluster.kubectl(['label', 'namespace', 'default', 'pod-security.kubernetes.io/enforce=restricted']);
  const pod = restricted(podOf('modest', ''));
  apply(cluster, pod);
  await untilReady(cluster, 'modest');
  t.ok(routesOf(cluster, 'modest').includes('10.9.0.0/16 via 10.245.1.1 dev eth0'));
  remove(cluster, pod);
  cluster.kubectl(['label', 'namespace', 'default', 'pod-security.kubernetes.io/enforce-']);
});

await tier('the namespace `waymark` needs the level `privileged`', async (t, cluster) => {
  for (const level of ['baseline', 'restricted']) {
    const label = `pod-security.kubernetes.io/enforce=${level}`;
    const { stderr } = await cluster.tryKubectl([
      'label',
      '--dry-run=server',
      '--overwrite',
      'namespace',
      'waymark',
      label,
    ]);
    t.match(stderr, /existing pods in namespace "waymark" violate the new PodSecurity enforce level/, level);
    t.match(stderr, /hostPath volumes|host namespaces/, level);
  }
});

await tier('the DaemonSet’s account may do nothing, and its pods have no token', async (t, cluster) => {
  const [daemonSet] = get(cluster, '-n=waymark', 'daemonsets');
  const spec = podSpec(daemonSet);
  t.equal(spec.automountServiceAccountToken, false);
  const account = `--as=system:serviceaccount:waymark:${spec.serviceAccountName ?? 'default'}`;
  for (const action of ['list pods', 'get secrets', 'patch nodes', 'create events']) {
    const { stdout } = await cluster.tryKubectl(['auth', 'can-i', account, '-n', 'waymark', ...action.split(' ')]);
    t.equal(stdout.trim(), 'no', action);
  }
});

const CAPABILITIES = ['NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE'];

await tier('the agent needs each of its capabilities', async (t, cluster) => {
  const node = cluster.node('node-1');
  const before = stateOf(node);
  const names = { NET_ADMIN: 'no-net-admin', SYS_ADMIN: 'no-sys-admin', SYS_PTRACE: 'no-sys-ptrace' };
  const startWithout = async (missing: keyof typeof names) => {
    setCapabilities(
      cluster,
      CAPABILITIES.filter((name) => name !== missing),
    );
    await rollout(cluster, 'waymark', 'waymark');
    apply(cluster, podOf(names[missing], ''));
  };

  const failsWithout = async (missing: 'NET_ADMIN' | 'SYS_ADMIN') => {
    await startWithout(missing);
    const message = await eventOf(cluster, names[missing], /static-route/);
    t.match(message, /plugin type="static-route" failed \(add\): .*EPERM/, missing);
    return message;
  };
  await observe(t, cluster, {
    name: 'capability dropped',
    made: 'the agent’s container is not given NET_ADMIN; `waymark doctor` runs in it',
    make: () => failsWithout('NET_ADMIN'),
    doctor: (args) =>
      cluster.endKubectl(['-n', 'waymark', 'exec', 'daemonset/waymark', '-c', 'agent', '--', 'waymark', ...args]),
    mend: async () => undefined,
    alerts: ['WaymarkErrors'],
    remedy: 'The agent lacks a capability',
  });
  await failsWithout('SYS_ADMIN');
  // The shim does without an agent that cannot look at it.
  await startWithout('SYS_PTRACE');
  await untilReady(cluster, names.SYS_PTRACE);
  const metrics = node.run(['busybox', 'wget', '-q', '-O-', 'http://127.0.0.1:9476/metrics']);
  t.match(metrics, /waymark_connections_refused_total\{reason="caller out of reach"\} [1-9]/, 'SYS_PTRACE');

  setCapabilities(cluster, CAPABILITIES);
  await rollout(cluster, 'waymark', 'waymark');
  const pods = Object.values(names);
  await untilReady(cluster, ...pods);
  for (const pod of pods) t.ok(routesOf(cluster, pod).includes('10.9.0.0/16 via 10.245.1.1 dev eth0'), pod);
  remove(cluster, ...pods.map((name) => podOf(name, '')));
  await untilStateIs(node, before);
});

function setCapabilities(cluster: Cluster, add: readonly string[]): void {
  const [daemonSet] = get(cluster, '-n=waymark', 'daemonsets');
  const index = podSpec(daemonSet).containers.findIndex(({ name }) => name === 'agent');
  const path = `/spec/template/spec/containers/${index}/securityContext/capabilities/add`;
  const patch = JSON.stringify([{ op: 'replace', path, value: add }]);
  cluster.kubectl(['-n', 'waymark', 'patch', 'daemonset', 'waymark', '--type=json', '-p', patch]);
}

const multus = multusFolder();

await tier(
  'with Multus thin and executables of one file a pod gets its second network’s routes',
  async (t, cluster) => {
    const node = cluster.node('node-1');
    cluster.kubectl(['delete', '-k', overlayFolder('agent'), `--timeout=${WAIT_SECONDS}s`]);
    node.run(['rm', '/etc/cni/net.d/05-with-routes.conflist']);
    await installWaymark(cluster, 'base');
    await installMultus(cluster, 'thin');
    await untilListIsRead(node);
    const before = stateOf(node);
    const network = networkOf('green', greenList());
    const pod = podOf('thin', 'green');
    apply(cluster, network, pod);
    await untilReady(cluster, 'thin');
    t.ok(routesOf(cluster, 'thin').includes(`10.0.32.2 via 10.131.0.1 dev ${GREEN_NAME}`));
    t.ok(routesOf(cluster, 'thin').includes(`10.10.0.0/16 via 10.131.0.1 dev ${GREEN_NAME}`));
    remove(cluster, pod, network);
    await untilStateIs(node, before);
  },
  { skip: 'missing' in multus && multus.missing },
);

type PodSpec = {
  automountServiceAccountToken?: boolean;
  serviceAccountName?: string;
  containers: { name: string }[];
};

function podSpec(daemonSet: Manifest | undefined): PodSpec {
  return (daemonSet as unknown as { spec: { template: { spec: PodSpec } } }).spec.template.spec;
}

// What the level `restricted` asks of a pod.
function restricted(pod: Manifest): Manifest {
  const spec = pod.spec as { containers: object[] };
  const container = {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    runAsNonRoot: true,
    runAsUser: 1000,
  };
  return {
    ...pod,
    spec: {
      ...spec,
      securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
      containers: spec.containers.map((each) => ({ ...each, securityContext: container })),
    },
  };
}
