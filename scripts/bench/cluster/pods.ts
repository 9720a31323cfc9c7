import type { Cluster } from '../../cluster/cluster.ts';
import { SHELL_IMAGE } from '../../cluster/images.ts';

/** How pods are made: on which node, and with what else in their metadata and spec. */
export type PodOptions = {
  readonly node: string;
  readonly annotations?: { readonly [key: string]: string };
  readonly spec?: object;
};

/** Pods that sleep, until they are ready. Throws if they do not get so in five minutes. */
export async function startPods(
  cluster: Cluster,
  names: readonly string[],
  { node, annotations = {}, spec = {} }: PodOptions,
): Promise<void> {
  const items = names.map((name) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, annotations },
    spec: {
      nodeName: node,
      automountServiceAccountToken: false,
      containers: [{ name: 'shell', image: SHELL_IMAGE, command: ['sleep', 'infinity'] }],
      ...spec,
    },
  }));
  cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  const wait = ['wait', '--for=condition=Ready', '--timeout=300s', ...names.map((name) => `pod/${name}`)];
  const { status, stderr } = await cluster.tryKubectl(wait, { timeoutSeconds: 320 });
  if (status !== 0) throw new Error(stderr);
}
