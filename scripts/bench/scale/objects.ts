import type { Cluster } from '../../cluster/cluster.ts';
import { SHELL_IMAGE } from '../../cluster/images.ts';
import { definitionOf } from '../../cluster/objects.ts';
import type { Api } from '../cluster/api.ts';
import { startPods } from '../cluster/pods.ts';

// The objects of a large cluster.

const NODES = 100;
const NAMESPACES = 50;
/** The network that pods here are attached to. */
export const NETWORK = 'network-0';

/** Nodes that nobody runs, pods that are said to be on them, and definitions of networks. */
export async function fill(api: Api, pods: number, definitions: number): Promise<void> {
  await api.each(NAMESPACES, (index) => ['POST', '/api/v1/namespaces', { metadata: { name: `tenant-${index}` } }]);
  await api.each(NODES, (index) => ['POST', '/api/v1/nodes', { metadata: { name: `other-${index}` } }]);
  // Without a service account, which comes a moment after its namespace, a pod is refused.
  await api.each(NAMESPACES, (index) => {
    return ['POST', `/api/v1/namespaces/tenant-${index}/serviceaccounts`, { metadata: { name: 'pods' } }];
  });
  await api.each(pods, (index) => {
    const annotations = { 'k8s.v1.cni.cncf.io/networks': `network-${index % definitions}` };
    const spec = {
      nodeName: `other-${index % NODES}`,
      serviceAccountName: 'pods',
      automountServiceAccountToken: false,
      // Nobody evicts them because their node does not report.
      tolerations: [{ operator: 'Exists' }],
      containers: [{ name: 'shell', image: SHELL_IMAGE }],
    };
    return ['POST', podsOf(index), { metadata: { name: `pod-${index}`, annotations }, spec }];
  });
  await api.each(definitions, (index) => {
    const namespace = index === 0 ? 'default' : `tenant-${index % NAMESPACES}`;
    const ipam = { type: 'host-local', ranges: [[{ subnet: '10.77.0.0/16' }]] };
    const config = { cniVersion: '1.0.0', type: 'bridge', bridge: 'br-scale', ipam };
    const path = `/apis/k8s.cni.cncf.io/v1/namespaces/${namespace}/network-attachment-definitions`;
    return ['POST', path, definitionOf(`network-${index}`, config)];
  });
}

const podsOf = (index: number) => `/api/v1/namespaces/tenant-${index % NAMESPACES}/pods`;

/** A change of a pod of another node. */
export function otherPod(index: number, metadata: object): Parameters<Api['send']> {
  return ['PATCH', `${podsOf(index)}/pod-${index}`, { metadata }];
}

/** Pods of the node that there is, until they are ready; their names. */
export async function startHere(cluster: Cluster, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => `here-${index}`);
  await startPods(cluster, names, { node: 'node-1' });
  return names;
}
