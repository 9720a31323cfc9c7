import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';
import { ROOT } from './folder.ts';
import { multusArchive, waymarkArchive } from './images.ts';
import { end, until, WAIT_SECONDS } from './process.ts';

// What is installed into a cluster that runs: Multus by its own manifest, and us by ours.

/** Multus as a daemon and a shim (thick), or as a plugin alone (thin). */
export type MultusKind = 'thick' | 'thin';

const MANIFESTS: { readonly [kind in MultusKind]: string } = {
  thick: 'deployments/multus-daemonset-thick.yml',
  thin: 'deployments/multus-daemonset.yml',
};

/** Where Multus (thick, or thin) writes its network list, which comes before all others. */
const MULTUS_LIST = '/etc/cni/net.d/00-multus.conf*';

/** The folder with a peer's programs and manifests, built if need be; or why there is none. */
export type PeerFolder = { folder: string } | { missing: string };

/** Multus. */
export function multusFolder(): PeerFolder {
  return peerFolder('multus', 'Multus');
}

/** multus-dynamic-networks-controller. */
export function dynamicNetworksFolder(): PeerFolder {
  return peerFolder('dynamic-networks', 'multus-dynamic-networks-controller');
}

function peerFolder(peer: string, name: string): PeerFolder {
  const build = ['bash', join(ROOT, 'scripts/cluster/build-peer.sh'), peer];
  const { status, stdout, stderr } = end(build, { timeoutSeconds: 1200 });
  return status === 0 ? { folder: stdout.trim() } : { missing: `${name} cannot be built: ${lastLine(stderr)}` };
}

/**
 * Multus' own manifest, with so much memory. Its 50 MiB are too little for a few pods at once, and what suffices depends on the
 * machine: what it calls counts too, among it our executables while the agent is away. When something is killed, what it was to
 * delete stays.
 */
export function multusManifest(folder: string, kind: MultusKind, memory = '16Gi'): string {
  const manifest = readFileSync(join(folder, MANIFESTS[kind]), 'utf8');
  return manifest.replaceAll(/(limits:\s+cpu: "100m"\s+memory: )"50Mi"/g, `$1"${memory}"`);
}

/** Installs Multus, with so much memory, and waits until it is ready on every node. */
export async function installMultus(cluster: Cluster, kind: MultusKind, memory?: string): Promise<void> {
  const multus = multusFolder();
  if ('missing' in multus) throw new Error(multus.missing);
  const archive = multusArchive(kind, multus.folder);
  for (const node of cluster.nodes) node.importImage(archive);
  cluster.kubectl(['apply', '-f', '-'], { input: multusManifest(multus.folder, kind, memory) });
  await rollout(cluster, 'kube-system', 'kube-multus-ds');
  // Its container runs before it has written the list of which it is the plugin.
  for (const node of cluster.nodes)
    await until(`Multus’ list on ${node.name}`, () => node.end(['sh', '-c', `cat ${MULTUS_LIST}`]).stdout !== '');
}

/** Defines the kind of networks that pods are attached to, without Multus: by what its manifest has of it. */
export async function installNetworkDefinition(cluster: Cluster): Promise<void> {
  const multus = multusFolder();
  if ('missing' in multus) throw new Error(multus.missing);
  const documents = multusManifest(multus.folder, 'thick').split(/^---$/m);
  const input = documents.find((document) => document.includes('kind: CustomResourceDefinition')) ?? '';
  cluster.kubectl(['apply', '-f', '-'], { input });
  await untilServed(cluster, 'network-attachment-definitions');
}

/** Waits until the API server serves a kind of objects that has just been defined. */
export async function untilServed(cluster: Cluster, kind: string): Promise<void> {
  await until(`the API server serves ${kind}`, async () => (await cluster.tryKubectl(['get', kind])).status === 0);
}

/** `base`, or the folder of an overlay below `manifests/overlays`. Throws if there is none. */
export function overlayFolder(name: string): string {
  const folder = join(ROOT, 'manifests', name === 'base' ? 'base' : `overlays/${name}`);
  if (!existsSync(folder)) throw new Error(`there is no overlay ${name}`);
  return folder;
}

/** Installs Waymark by one of its overlays, and waits until it is ready on every node. */
export async function installWaymark(cluster: Cluster, overlay: string): Promise<void> {
  const folder = overlayFolder(overlay);
  const archive = waymarkArchive();
  for (const node of cluster.nodes) node.importImage(archive);
  cluster.kubectl(['apply', '-k', folder]);
  await rollout(cluster, 'waymark', 'waymark');
}

/** Waits until a DaemonSet is ready on every node. Throws with the state of its pods if it does not come to that. */
export async function rollout(cluster: Cluster, namespace: string, name: string): Promise<void> {
  const status = ['rollout', 'status', `daemonset/${name}`, `--timeout=${WAIT_SECONDS}s`];
  const ended = await cluster.tryKubectl(['-n', namespace, ...status]);
  if (ended.status === 0) return;
  const pods = cluster.kubectl(['-n', namespace, 'describe', 'pods']);
  throw new Error(`${name} is not ready: ${ended.stderr}\n${pods}`);
}

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}
