import type { Cluster } from '../../../scripts/cluster/cluster.ts';
import { SHELL_IMAGE } from '../../../scripts/cluster/images.ts';
import { definitionOf } from '../../../scripts/cluster/objects.ts';
import { until, WAIT_SECONDS } from '../../../scripts/cluster/process.ts';

// Objects that the tests make, and how they come and go.

/** An object as kubectl takes and prints it. */
export type Manifest = {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: { [key: string]: string }; [key: string]: unknown };
  [key: string]: unknown;
};

/** A definition of a network with this network configuration list, or this single plugin. */
export const networkOf: (name: string, config: object) => Manifest = definitionOf;

/** A pod that sleeps, on these networks, as the annotation names them. */
export function podOf(
  name: string,
  networks: string | readonly object[],
  { node, labels = {}, spec = {} }: { node?: string; labels?: { [key: string]: string }; spec?: object } = {},
): Manifest {
  const annotation = typeof networks === 'string' ? networks : JSON.stringify(networks);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      labels,
      ...(annotation !== '' && { annotations: { 'k8s.v1.cni.cncf.io/networks': annotation } }),
    },
    spec: {
      automountServiceAccountToken: false,
      ...(node !== undefined && { nodeName: node }),
      containers: [{ name: 'shell', image: SHELL_IMAGE, command: ['sleep', 'infinity'] }],
      ...spec,
    },
  };
}

/** Makes objects, or changes them to what is given. */
export function apply(cluster: Cluster, ...objects: readonly Manifest[]): string {
  return cluster.apply(objects);
}

/** Takes objects away, and waits until they are gone. */
export function remove(cluster: Cluster, ...objects: readonly Manifest[]): void {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  const timeout = `--timeout=${WAIT_SECONDS}s`;
  cluster.kubectl(['delete', '--ignore-not-found', timeout, '-f', '-'], { input });
}

/** Objects of a kind, as `kubectl get` prints them. */
export function get(cluster: Cluster, ...args: readonly string[]): Manifest[] {
  return JSON.parse(cluster.kubectl(['get', ...args, '-o=json'])).items;
}

/** Waits until pods are ready. Throws with their description if they never are. */
export async function untilReady(cluster: Cluster, ...pods: readonly string[]): Promise<void> {
  await untilAre(cluster, 'Ready', pods);
}

async function untilAre(cluster: Cluster, condition: string, pods: readonly string[]): Promise<void> {
  const wait = ['wait', `--for=condition=${condition}`, `--timeout=${WAIT_SECONDS}s`];
  const ended = await cluster.tryKubectl([...wait, ...pods.map((pod) => `pod/${pod}`)]);
  if (ended.status === 0) return;
  const described = await cluster.tryKubectl(['describe', 'pods', ...pods]);
  throw new Error(`${ended.stderr}\n${described.stdout}`);
}

/** Runs a program in a pod; what it printed. */
export function inPod(cluster: Cluster, pod: string, ...command: readonly string[]): string {
  return cluster.kubectl(['exec', pod, '--', ...command]);
}

/** Waits until an address answers a pod's ping: what is sent while the kernel looks for a neighbour may be lost. */
export async function untilAnswers(cluster: Cluster, pod: string, address: string, ...more: string[]): Promise<void> {
  const ping = ['ping', '-c', '1', '-w', '10', ...more, address];
  await until(`${address} answers ${pod}`, () => inPod(cluster, pod, ...ping).includes(' 0% packet loss'));
}

/** The routes of a pod, as busybox's `ip route` prints them; those of a protocol only, if it is given. */
export function routesOf(cluster: Cluster, pod: string, ...more: readonly string[]): string[] {
  const lines = inPod(cluster, pod, 'ip', ...more, 'route')
    .trimEnd()
    .split('\n');
  return lines.map((line) => line.trim().replace(/ +/g, ' '));
}

/** Waits until an event of an object says what is asked for; its message. */
export async function eventOf(
  cluster: Cluster,
  object: string,
  pattern: RegExp,
  namespace = 'default',
): Promise<string> {
  let found = '';
  await until(`an event of ${object} with ${pattern}`, () => {
    const events = get(cluster, `-n=${namespace}`, 'events', `--field-selector=involvedObject.name=${object}`);
    const messages = events.map(({ message }) => String(message));
    found = messages.find((message) => pattern.test(message)) ?? '';
    if (found === '') throw new Error(`there are: ${messages.join('\n')}`);
    return true;
  });
  return found;
}
