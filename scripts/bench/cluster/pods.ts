import type { Cluster } from '../../cluster/cluster.ts';
import { SHELL_IMAGE } from '../../cluster/images.ts';
import { until } from '../../cluster/process.ts';

/** How pods are made: on which node, and with what else in their metadata and spec. */
export type PodOptions = {
  readonly node: string;
  readonly labels?: { readonly [key: string]: string };
  readonly annotations?: { readonly [key: string]: string };
  readonly spec?: object;
};

/** The annotation that selects networks of the pod's own namespace. */
export function selecting(...networks: readonly string[]): { readonly [key: string]: string } {
  return { 'k8s.v1.cni.cncf.io/networks': networks.join() };
}

/** A pod that sleeps. */
export function sleepingPod(name: string, { node, labels = {}, annotations = {}, spec = {} }: PodOptions): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels, annotations },
    spec: {
      nodeName: node,
      automountServiceAccountToken: false,
      containers: [{ name: 'shell', image: SHELL_IMAGE, command: ['sleep', 'infinity'] }],
      ...spec,
    },
  };
}

/** Pods that sleep, until they are ready. Throws if they do not get so in five minutes. */
export async function startPods(cluster: Cluster, names: readonly string[], options: PodOptions): Promise<void> {
  cluster.apply(names.map((name) => sleepingPod(name, options)));
  const wait = ['wait', '--for=condition=Ready', '--timeout=300s', ...names.map((name) => `pod/${name}`)];
  const { status, stderr } = await cluster.tryKubectl(wait, { timeoutSeconds: 320 });
  if (status !== 0) throw new Error(stderr);
}

/** Deletes pods and waits until they are gone. */
export function deletePods(cluster: Cluster, names: readonly string[]): void {
  cluster.kubectl(['delete', 'pod', '--timeout=300s', ...names], { timeoutSeconds: 320 });
}

const STATUS = '-o=jsonpath={.metadata.annotations.k8s\\.v1\\.cni\\.cncf\\.io/network-status}';

/** Waits until a pod gets a network. The runtime reads a new list some time later; until then, pods get the cluster's alone. */
export async function untilPodsGet(cluster: Cluster, ifname: string, options: PodOptions): Promise<void> {
  await until(`a pod has ${ifname}`, async () => {
    await startPods(cluster, ['first'], options);
    const status = cluster.kubectl(['get', 'pod', 'first', STATUS]);
    deletePods(cluster, ['first']);
    return status.includes(ifname);
  });
}
