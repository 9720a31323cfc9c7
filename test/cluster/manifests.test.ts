import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { installNetworkDefinition, multusFolder, rollout, untilServed } from '../../scripts/cluster/addons.ts';
import type { Cluster } from '../../scripts/cluster/cluster.ts';
import { waymarkArchive } from '../../scripts/cluster/images.ts';
import { until, WAIT_SECONDS } from '../../scripts/cluster/process.ts';
import { clusterTier } from '../support/cluster/cluster-tier.ts';
import { apply, get, type Manifest } from '../support/cluster/objects.ts';

// What is in manifests/, as a real API server and kubelet take it.

const MANIFESTS = join(import.meta.dirname, '../../manifests');
const multus = multusFolder();
const noMultus = 'missing' in multus && multus.missing;

const tier = await clusterTier(t, { nodes: 1 }, async (cluster) => {
  const archive = waymarkArchive();
  for (const node of cluster.nodes) {
    node.importImage(archive);
    // The folder of OpenShift's plugins, which its nodes have.
    node.run(['mkdir', '-p', '/var/lib/cni/bin']);
  }
  apply(cluster, operatorKind('servicemonitor', 'ServiceMonitor'));
  apply(cluster, operatorKind('prometheusrule', 'PrometheusRule'));
  for (const kind of ['servicemonitors', 'prometheusrules']) await untilServed(cluster, kind);
  if (!noMultus) await installNetworkDefinition(cluster);
});

// As much of the Prometheus operator as the API server must know to take a monitor of services, and rules.
function operatorKind(singular: string, kind: string): Manifest {
  const schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${singular}s.monitoring.coreos.com` },
    spec: {
      group: 'monitoring.coreos.com',
      scope: 'Namespaced',
      names: { plural: `${singular}s`, singular, kind },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  };
}

const OVERLAYS = ['base', ...readdirSync(join(MANIFESTS, 'overlays')).map((name) => `overlays/${name}`)];

await tier('the API server takes every overlay', async (t, cluster) => {
  const done = inNamespace(cluster);
  for (const overlay of OVERLAYS) {
    const { status, stderr } = await dryRun(cluster, '-k', join(MANIFESTS, overlay));
    t.equal(status, 0, `${overlay}${status === 0 ? '' : stderr}`);
    t.notMatch(stderr, /unknown field|would violate PodSecurity/, overlay);
  }
  done();
});

await tier(
  'the API server takes every network and every example',
  async (t, cluster) => {
    const folders = readdirSync(join(MANIFESTS, 'examples')).map((name) => join('examples', name));
    const done = inNamespace(cluster);
    for (const folder of ['networks', ...folders]) {
      const { status, stdout, stderr } = await dryRun(cluster, '-f', join(MANIFESTS, folder));
      t.equal(status, 0, `${folder}${status === 0 ? '' : stderr}`);
      t.notMatch(stderr, /unknown field/, folder);
      t.ok(stdout.trim().split('\n').length >= 2, folder);
    }
    done();
  },
  { skip: noMultus },
);

// The API server takes nothing for a namespace that is not there. The returned function removes it.
function inNamespace(cluster: Cluster): () => void {
  cluster.kubectl(['create', 'namespace', 'waymark']);
  return () => void cluster.kubectl(['delete', 'namespace', 'waymark', `--timeout=${WAIT_SECONDS}s`]);
}

function dryRun(cluster: Cluster, flag: '-k' | '-f', path: string) {
  return cluster.tryKubectl(['apply', '--dry-run=server', '--validate=strict', flag, path]);
}

const isForOpenShift = (overlay: string) => overlay.startsWith('overlays/openshift');
// Those of multi-network change what the cluster's entry is: multi-network.test.ts.
const isForAll = (overlay: string) => !isForOpenShift(overlay) && !/\/uninstall$|multi-network$/.test(overlay);

/** Overlays that follow each other on a cluster, the folder of its nodes, and what takes everything away again. */
const UPGRADES: readonly { overlays: readonly string[]; folder: string; uninstall: readonly string[] }[] = [
  { overlays: OVERLAYS.filter(isForAll), folder: '/opt/cni/bin', uninstall: ['uninstall'] },
  { overlays: OVERLAYS.filter(isForOpenShift), folder: '/var/lib/cni/bin', uninstall: ['openshift', 'uninstall'] },
];

for (const { overlays, folder, uninstall } of UPGRADES) {
  await tier(
    `${overlays.join(', ')}: each becomes ready, and the last is removed without a trace`,
    async (t, cluster) => {
      const node = cluster.node('node-1');
      const everything = () => node.run(['find', folder, '!', '-type', 'd']).trim().split('\n').sort();
      const before = everything();
      for (const overlay of overlays) {
        cluster.kubectl(['apply', '-k', join(MANIFESTS, overlay)]);
        await rollout(cluster, 'waymark', 'waymark');
        serves(t, cluster, folder, overlay);
      }
      applyUninstall(cluster, uninstall);
      await rollout(cluster, 'waymark', 'waymark');
      t.strictSame(everything(), before, `nothing of ours is left in ${folder}`);
      cluster.kubectl(['delete', 'namespace', 'waymark', `--timeout=${WAIT_SECONDS}s`]);
      await until('the pods are gone', () => !node.run(['ps', 'ax', '-o', 'args']).includes('/opt/waymark/bin'));
      // The count of fallbacks lasts until the node boots.
      const left = node.run(['sh', '-c', 'ls /run/waymark 2>/dev/null || true']).trim().split('\n');
      t.strictSame(
        left.filter((name) => !['', 'fallbacks'].includes(name)),
        [],
        'no socket is left',
      );
    },
  );
}

// The executables answer, by an agent if the overlay has one, and no container had to be started again.
function serves(t: Test, cluster: Cluster, folder: string, overlay: string): void {
  const node = cluster.node('node-1');
  type Spec = { template: { spec: { containers: { name: string }[] } } };
  const names = get(cluster, '-n=waymark', 'daemonsets').flatMap(({ spec }) =>
    (spec as Spec).template.spec.containers.map(({ name }) => name),
  );
  const hasAgent = names.includes('agent');
  const containers = get(cluster, '-n=waymark', 'pods').flatMap(({ metadata, status }) =>
    metadata.deletionTimestamp === undefined
      ? (status as { containerStatuses: { name: string; restartCount: number }[] }).containerStatuses
      : [],
  );
  t.strictSame(
    containers.map(({ name, restartCount }) => [name, restartCount]).sort(),
    names.map((name) => [name, 0]).sort(),
    `${overlay}: its containers run`,
  );
  for (const plugin of ['static-route', 'seamless-gateway', 'consistent-ifname']) {
    const answer = node.run([join(folder, plugin)], { env: { CNI_COMMAND: 'VERSION' } });
    t.ok(JSON.parse(answer).supportedVersions.includes('1.1.0'), `${overlay}: ${plugin} answers in ${folder}`);
  }
  const { status } = node.end([join(folder, 'waymark'), 'status', '--json']);
  t.equal(status === 0, hasAgent, `${overlay}: ${hasAgent ? 'an' : 'no'} agent serves`);
}

// By an overlay that a reader of manifests/README.md would write of these components.
function applyUninstall(cluster: Cluster, components: readonly string[]): void {
  const copy = mkdtempSync(join(tmpdir(), 'waymark-manifests-'));
  try {
    cpSync(MANIFESTS, copy, { recursive: true });
    const folder = join(copy, 'overlays/mine');
    mkdirSync(folder);
    const kustomization = {
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      resources: ['../../base'],
      components: components.map((name) => `../../components/${name}`),
    };
    writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
    cluster.kubectl(['apply', '-k', folder]);
  } finally {
    rmSync(copy, { recursive: true });
  }
}
