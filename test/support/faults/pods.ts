import type { Cluster } from '../../../scripts/cluster/cluster.ts';
import { apply, eventOf, get, type Manifest, networkOf, podOf, remove, untilReady } from '../cluster/objects.ts';
import type { Fault } from './observe.ts';

// Faults of a network, each of which an event of the pod tells.

/** What begins every network of these faults; `keys` are the bridge's, `ipam` its IPAM plugin's. */
export function bridge(
  name: string,
  subnet: string,
  { keys = {}, ipam = {} }: { keys?: object; ipam?: object } = {},
): object {
  const range = { subnet, ...ipam };
  return {
    type: 'bridge',
    bridge: `wm-${name}`,
    isGateway: true,
    ipam: { type: 'host-local', ranges: [[range]] },
    ...keys,
  };
}

/** A network of a list. */
export function network(name: string, ...plugins: readonly object[]): Manifest {
  return networkOf(name, { cniVersion: '1.0.0', name, plugins });
}

/** A pod that does not start, until it and its network are gone again. */
export function refused(
  cluster: Cluster,
  pod: Manifest,
  words: RegExp,
  networks: readonly Manifest[],
): Pick<Fault, 'make' | 'mend'> {
  return {
    make: () => {
      apply(cluster, ...networks, pod);
      return eventOf(cluster, pod.metadata.name, words);
    },
    mend: async () => remove(cluster, pod, ...networks),
  };
}

/** Pods that start, all the same, and have no warning. */
export async function start(cluster: Cluster, networks: string, ...names: readonly string[]): Promise<undefined> {
  apply(cluster, ...names.map((name) => podOf(name, networks)));
  await untilReady(cluster, ...names);
  const warnings = get(cluster, 'events', '--field-selector=type=Warning');
  const about = warnings.filter(({ involvedObject }) => names.includes((involvedObject as { name: string }).name));
  if (about.length > 0) throw new Error(about.map(({ message }) => message).join('\n'));
}

/** Deletes such pods. */
export function end(cluster: Cluster, ...names: readonly string[]): void {
  remove(cluster, ...names.map((name) => podOf(name, '')));
}

export const wrongList = (cluster: Cluster): Fault => ({
  name: 'wrong list',
  made: 'a key of `static-route` is misspelt in the NetworkAttachmentDefinition',
  ...refused(cluster, podOf('misspelt', 'misspelt'), /onConflikt/, [
    network('misspelt', bridge('misspelt', '10.161.0.0/24'), {
      type: 'static-route',
      routes: [{ dst: '10.9.0.0/16' }],
      onConflikt: 'keep',
    }),
  ]),
  alerts: ['WaymarkErrors'],
  remedy: 'A pod hangs in ContainerCreating: a plugin failed',
});

export const missingMap = (cluster: Cluster): Fault => ({
  name: 'missing map',
  made: 'the node has no file `topologyFile`',
  ...refused(cluster, podOf('mapped', 'mapped'), /topology\.yaml/, [
    network('mapped', bridge('mapped', '10.162.0.0/24'), {
      type: 'static-route',
      topologyFile: '/etc/waymark/topology.yaml',
    }),
  ]),
  alerts: ['WaymarkErrors'],
  remedy: 'A pod hangs in ContainerCreating: a map cannot be read',
});

export const missingDefinition = (cluster: Cluster): Fault => ({
  name: 'missing NetworkAttachmentDefinition',
  made: 'a pod selects a network that nobody has defined',
  ...refused(cluster, podOf('undefined', 'nowhere'), /^cannot find a network-attachment-definition/, []),
  alerts: [],
  remedy: 'A pod hangs in ContainerCreating: its network is not defined',
});

const LEASE = '/var/lib/cni/networks/tiny/10.163.0.5';

export const exhausted = (cluster: Cluster): Fault => {
  const tiny = network(
    'tiny',
    bridge('tiny', '10.163.0.0/24', { ipam: { rangeStart: '10.163.0.5', rangeEnd: '10.163.0.5' } }),
    {
      type: 'static-route',
      routes: [{ dst: '10.9.0.0/16' }],
    },
  );
  const { make, mend } = refused(cluster, podOf('homeless', 'tiny'), /no IP addresses available/, [tiny]);
  const node = cluster.node('node-1');
  const leak = `mkdir -p "$(dirname ${LEASE})"; printf '%064d\\r\\nnet1' 0 >${LEASE}; touch -d '1 hour ago' ${LEASE}`;
  return {
    name: 'IPAM exhausted',
    made: 'the only address of the range is leased to a container that is gone',
    make: () => {
      node.run(['sh', '-c', leak]);
      return make();
    },
    mend: async () => {
      await mend();
      node.run(['rm', '-rf', '/var/lib/cni/networks/tiny']);
    },
    alerts: [],
    remedy: 'A pod hangs in ContainerCreating: no addresses left',
  };
};

export const silentGateway = (cluster: Cluster): Fault => ({
  name: 'gateway silent',
  made: 'nobody on the network has the gateway’s address',
  ...refused(cluster, podOf('unheard', 'silent'), /did not answer/, [
    network('silent', bridge('silent', '10.164.0.0/24', { keys: { isGateway: false } }), {
      type: 'seamless-gateway',
      verifyGateway: { timeoutSeconds: 1 },
    }),
  ]),
  alerts: ['WaymarkErrors'],
  remedy: 'A pod hangs in ContainerCreating: the gateway does not answer',
});
