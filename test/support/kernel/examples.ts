import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type Manifest, readManifests } from '../kubernetes/kustomize.ts';
import { type Scratch, scratchFolder } from '../namespaces/namespace.ts';
import { type List, REFERENCE_FOLDER } from '../plugins/chain.ts';
import { batch, lacks } from './kinds.ts';

// The networks and pods of manifests/examples as they stand there, for the real plugins.

const EXAMPLES = join(import.meta.dirname, '../../../manifests/examples');

/** Why these reference plugins cannot make links of these kinds here, or false. */
export function without(kind: string, ...plugins: string[]): string | false {
  const missing = plugins.filter((name) => !existsSync(join(REFERENCE_FOLDER, name)));
  return missing.length > 0 ? `needs the reference plugin ${missing.join(', ')}` : lacks(kind);
}

/** The list of a network. */
export function listOf(folder: string, name: string): List {
  const { spec } = exampleOf(folder, 'NetworkAttachmentDefinition', name);
  return JSON.parse((spec as { config: string }).config);
}

/** The annotations of a pod, or of a Deployment's pods. */
export function annotationsOf(folder: string, kind: 'Pod' | 'Deployment', name: string): { [key: string]: string } {
  const { metadata, spec } = exampleOf(folder, kind, name);
  const own = kind === 'Pod' ? metadata : (spec as { template: Pick<Manifest, 'metadata'> }).template.metadata;
  return own.annotations ?? {};
}

function exampleOf(folder: string, kind: string, name: string): Manifest {
  const manifests = readManifests(join(EXAMPLES, folder));
  const found = manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
  return found;
}

/** Links to the outside, up. */
export function makeUplinks(node: Scratch, ...names: string[]): void {
  const commands = (name: string) => [
    `link add ${name} type veth peer name far-${name}`,
    `link set far-${name} up`,
    `link set ${name} up`,
  ];
  batch(node, names.flatMap(commands));
}

/**
 * The list of flannel-ipvlan for this flannel, which knows the specification up to 0.4.0, on the node whose pod subnet is
 * 10.244.0.0/24. Its files, which are in /run and /var/lib on a node, are in a folder of the test's own.
 */
export function flannelList(t: Test): List {
  const files = scratchFolder(t);
  const subnetFile = join(files, 'subnet.env');
  writeFileSync(
    subnetFile,
    'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.0.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n',
  );
  const list = listOf('flannel-ipvlan', 'flannel');
  const plugins = list.plugins.map((plugin) =>
    plugin.type === 'flannel' ? { ...plugin, subnetFile, dataDir: join(files, 'state') } : plugin,
  );
  return { ...list, cniVersion: '0.4.0', plugins };
}

/** The routes of a pod as its example tells them. */
export const FLANNEL_ROUTES: readonly string[] = [
  'default 10.244.0.1 eth0',
  '10.5.2.0/24 net1',
  '10.244.0.0/24 eth0',
  '10.244.0.0/16 10.244.0.1 eth0',
];

/** The IPv4 routes of the main table: destination, gateway if there is one, link. */
export function routesIn(pod: Scratch): string[] {
  return pod
    .ipJson('-4 route show')
    .map(({ dst, gateway, dev }) => [dst, gateway, dev].filter((word) => word !== undefined).join(' '));
}
