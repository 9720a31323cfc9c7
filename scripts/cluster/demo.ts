import type { Cluster } from './cluster.ts';
import { SHELL_IMAGE } from './images.ts';
import { definitionOf } from './objects.ts';
import { until, WAIT_SECONDS } from './process.ts';

// What Waymark does in a cluster, step by step: docs/cluster.md shows what it prints.

/** The networks of the demo: sites behind a gateway, a VLAN of the same name in every pod, and the node itself. */
const NETWORKS = [
  network('sites', 1, [
    { type: 'static-route', routes: [{ dst: '172.16.0.0/12' }, { dst: '10.99.0.0/16', type: 'blackhole' }] },
  ]),
  network('green', 2, [{ type: 'consistent-ifname' }]),
  network('node', 3, [{ type: 'seamless-gateway' }]),
];

function network(name: string, number: number, plugins: object[]): object {
  const ipam = { type: 'host-local', ranges: [[{ subnet: `192.168.4${number}.0/24` }]] };
  const bridge = { type: 'bridge', bridge: `wm-${name}`, isGateway: true, ipam };
  return definitionOf(name, { cniVersion: '1.0.0', name, plugins: [bridge, ...plugins] });
}

function pod(name: string, networks: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { demo: 'yes' }, annotations: { 'k8s.v1.cni.cncf.io/networks': networks } },
    spec: {
      containers: [{ name: 'shell', image: SHELL_IMAGE, command: ['sleep', 'infinity'] }],
    },
  };
}

/** Shows it on a cluster that has Multus and the agent. Throws at the first thing that is not as it must be. */
export async function demonstrate(cluster: Cluster, print: (text: string) => void): Promise<void> {
  const show = (...args: string[]) => {
    const words = args.map((arg) => (/[\s{'"]/.test(arg) ? `'${arg}'` : arg)).join(' ');
    print(`\n$ kubectl ${words}\n${cluster.kubectl(args).trimEnd()}`);
  };
  const ready = async (what: string) => {
    cluster.kubectl(['wait', '--for=condition=Ready', `--timeout=${WAIT_SECONDS}s`, 'pod', what]);
  };

  print('\nA pod without further networks:');
  cluster.apply([...NETWORKS, pod('plain', '')]);
  await ready('plain');
  show('exec', 'plain', '--', 'ip', 'route');

  print('\nA pod with three networks, each with one of the plugins:');
  cluster.apply([pod('routed', 'sites,green,node')]);
  await ready('routed');
  show('exec', 'routed', '--', 'ip', 'route');
  show('get', 'pod', 'routed', '-o', 'jsonpath={.metadata.annotations.k8s\\.v1\\.cni\\.cncf\\.io/network-status}');
  show('events', '--for', 'pod/routed');

  print('\nA rolling update of the agent, while ten pods start:');
  cluster.kubectl(['-n', 'waymark', 'rollout', 'restart', 'daemonset/waymark']);
  const names = Array.from({ length: 10 }, (_, index) => `pod-${index + 1}`);
  cluster.apply(names.map((name) => pod(name, 'sites')));
  await ready('-l=demo');
  show('-n', 'waymark', 'rollout', 'status', 'daemonset/waymark');
  const missing = names.filter(
    (name) => !cluster.kubectl(['exec', name, '--', 'ip', 'route']).includes('172.16.0.0/12 via'),
  );
  if (missing.length > 0) throw new Error(`without the route: ${missing.join(', ')}`);
  print('all ten have the route to 172.16.0.0/12');

  print('\nEverything is removed:');
  show('delete', 'pods', '-l', 'demo');
  cluster.kubectl(['delete', 'net-attach-def', 'sites', 'green', 'node']);
  await until('nothing is left', () => leftovers(cluster).length === 0);
  print('no journal and no lease is left on the node');
}

function leftovers(cluster: Cluster): string[] {
  const folders = ['/run/waymark/*/', ...['sites', 'green', 'node'].map((name) => `/var/lib/cni/networks/${name}`)];
  const find = `find ${folders.join(' ')} -type f ! -name lock ! -name 'last_reserved_ip*' 2>/dev/null || true`;
  return cluster.nodes.flatMap((node) =>
    node
      .run(['sh', '-c', find])
      .split('\n')
      .filter((line) => line !== ''),
  );
}
