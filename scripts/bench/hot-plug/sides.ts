import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { dynamicNetworksFolder, installMultus, multusFolder, overlayFolder, rollout } from '../../cluster/addons.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import { makeArchive, makeBusyboxRoot, makeImage } from '../../cluster/image-archive.ts';
import { waymarkArchive } from '../../cluster/images.ts';
import type { ClusterNode } from '../../cluster/node.ts';
import { run } from '../../cluster/process.ts';

// A cluster of two nodes with Multus on both: the peer's controller follows the pods of the first, Waymark those of the
// second.

/** Who follows the pods of a node, and the processes that it needs for that. */
export type Side = { readonly name: string; readonly node: ClusterNode; readonly processes: readonly string[] };

const PEER_IMAGE = 'ghcr.io/k8snetworkplumbingwg/multus-dynamic-networks-controller:latest-amd64';

/** Why the two cannot be compared here, or false. */
export function missingForSides(): string | false {
  const folders = [multusFolder(), dynamicNetworksFolder()];
  return folders.flatMap((folder) => ('missing' in folder ? [folder.missing] : []))[0] ?? false;
}

/** Installs both, each by its own manifest, on its node. */
export async function installSides(cluster: Cluster): Promise<{ ours: Side; peer: Side }> {
  const [first, second] = cluster.nodes;
  if (first === undefined || second === undefined) throw new Error('two nodes are needed');
  await installMultus(cluster, 'thick', '50Mi');
  await installPeer(cluster, first);
  second.importImage(waymarkArchive());
  cluster.kubectl(['apply', '-k', overlayFolder('dynamic')]);
  const selector = JSON.stringify({ spec: { template: { spec: { nodeSelector: onNode(second) } } } });
  cluster.kubectl(['-n', 'waymark', 'patch', 'daemonset', 'waymark', '-p', selector]);
  await rollout(cluster, 'waymark', 'waymark');
  return {
    peer: {
      name: 'multus-dynamic-networks-controller',
      node: first,
      processes: ['dynamic-networks-controller', 'multus-daemon'],
    },
    ours: { name: 'Waymark', node: second, processes: ['waymark agent'] },
  };
}

const onNode = (node: ClusterNode) => ({ 'kubernetes.io/hostname': node.name });

// Its own manifest, on one node, and without the probes: they need curl, which the image of one program here has not.
async function installPeer(cluster: Cluster, node: ClusterNode): Promise<void> {
  const peer = dynamicNetworksFolder();
  if ('missing' in peer) throw new Error(peer.missing);
  const archive = join(cluster.folder.path, 'dynamic-networks.tar');
  makeArchive(archive, [PEER_IMAGE], (layout, work) => {
    const root = join(work, 'root');
    makeBusyboxRoot(root);
    run(['cp', join(peer.folder, 'dynamic-networks-controller'), root]);
    makeImage(layout, root, ['/dynamic-networks-controller']);
  });
  node.importImage(archive);
  const text = readFileSync(join(peer.folder, 'manifests/dynamic-networks-controller.yaml'), 'utf8');
  const documents = parseAllDocuments(text).map((document) => document.toJS());
  const daemonSet = documents.find((document) => document?.kind === 'DaemonSet');
  const { spec } = daemonSet.spec.template;
  spec.nodeSelector = onNode(node);
  spec.containers[0].imagePullPolicy = 'Never';
  for (const probe of ['livenessProbe', 'readinessProbe']) delete spec.containers[0][probe];
  cluster.apply(documents.filter((document) => document !== null));
  await rollout(cluster, 'kube-system', 'dynamic-networks-controller-ds');
}

/** What processes use. Memory in MiB: resident, and what is their own (anonymous); CPU in seconds since they began. */
export type Usage = { readonly resident: number; readonly own: number; readonly cpu: number };

/** What the processes of a side use, all together. */
export function usageOf({ node, processes }: Side): Usage {
  const script = `for pid in $(pgrep -f "$0"); do
    read -r comm <"/proc/$pid/comm" || continue
    case $comm in sh|pgrep|nsenter) continue;; esac
    grep -hE '^(VmRSS|RssAnon)' "/proc/$pid/status"; cut -d' ' -f14-17 "/proc/$pid/stat"
  done`;
  const lines = processes.flatMap((name) => node.run(['bash', '-c', script, name]).trim().split('\n'));
  const sum = (pattern: RegExp) => lines.reduce((total, line) => total + Number(pattern.exec(line)?.[1] ?? 0), 0);
  const ticks = lines.filter((line) => /^[\d ]+$/.test(line)).flatMap((line) => line.split(' ').map(Number));
  return {
    resident: sum(/^VmRSS:\s+(\d+)/) / 1024,
    own: sum(/^RssAnon:\s+(\d+)/) / 1024,
    cpu: ticks.reduce((total, each) => total + each, 0) / 100,
  };
}
