import { readFileSync } from 'node:fs';
import type { Test } from 'tap';
import type { Cluster } from '../../../scripts/cluster/cluster.ts';
import { until } from '../../../scripts/cluster/process.ts';
import { apply, type Manifest, networkOf, podOf, remove, untilReady } from './objects.ts';

// Networks of running pods, as kubectl edits them, the kernel has them and the status says them.

/** A network on a bridge of the node's, with addresses of a subnet of its own. */
export function bridge(name: string, index: number): Manifest {
  const ipam = { type: 'host-local', ranges: [[{ subnet: `10.77.${index}.0/24` }]] };
  return networkOf(name, { cniVersion: '1.0.0', type: 'bridge', bridge: `br-${name}`, ipam });
}

/** Links by name. */
export type Links = { [name: string]: { mac: string; ips: string[] } };

// As `ip -j` prints them in the pod's namespace, which its primary address tells from the others of the node.
export function linksOf(cluster: Cluster, pod: string): Links {
  const fields = 'jsonpath={.spec.nodeName} {.status.podIP}';
  const [node = '', address = ''] = cluster.kubectl(['get', 'pod', pod, '-o', fields]).split(' ');
  const script = 'for name in $(ls /run/netns); do ip -j -n "$name" address; done';
  const namespaces = cluster.node(node).run(['sh', '-c', script]).trim().split('\n');
  type Shown = { ifname: string; address: string; addr_info: { local: string; scope: string }[] };
  const all = namespaces.map((line) => JSON.parse(line) as Shown[]);
  const shown =
    all.find((links) => links.some(({ addr_info }) => addr_info.some(({ local }) => local === address))) ?? [];
  return Object.fromEntries(
    shown.map(({ ifname, address: mac, addr_info }) => {
      const ips = addr_info.filter(({ scope }) => scope === 'global').map(({ local }) => local);
      return [ifname, { mac, ips }];
    }),
  );
}

type Entry = { name: string; interface: string; ips?: string[]; mac?: string; default?: boolean };

/** The entries of the status annotation of a pod as kubectl prints it. */
export function entriesOf({ metadata }: Manifest): Entry[] {
  const { annotations = {} } = metadata as { annotations?: { [name: string]: string } };
  return JSON.parse(annotations['k8s.v1.cni.cncf.io/network-status'] ?? '[]');
}

/** The same of a pod's name. */
export function statusOf(cluster: Cluster, pod: string): Entry[] {
  return entriesOf(JSON.parse(cluster.kubectl(['get', 'pod', pod, '-o=json'])));
}

/** Edits the annotation with the networks. */
export function select(cluster: Cluster, pod: string, networks: unknown): void {
  const value = typeof networks === 'string' ? networks : JSON.stringify(networks);
  cluster.kubectl(['annotate', '--overwrite', 'pod', pod, `k8s.v1.cni.cncf.io/networks=${value}`]);
}

/** What `look` returns, once it does not throw any more. */
export async function seen<T>(what: string, look: () => T): Promise<T> {
  const found: T[] = [];
  await until(what, () => {
    found.push(look());
    return true;
  });
  return found[0] as T;
}

/** Waits until the pod has these attachments and no other, as kernel and status say, both the same. */
export async function has(cluster: Cluster, pod: string, ...wanted: readonly string[]): Promise<Links> {
  return seen(`${pod} has ${wanted.join(', ') || 'nothing more'}`, () => {
    const links = linksOf(cluster, pod);
    const [primary, ...entries] = statusOf(cluster, pod);
    const said = entries.map(({ name, interface: ifname }) => `${name.replace('default/', '')}@${ifname}`);
    const kernel = Object.keys(links).filter((name) => !['lo', 'eth0'].includes(name));
    if (primary?.default !== true || primary.interface !== 'eth0') throw new Error('the default entry is not first');
    if (said.join() !== wanted.join()) throw new Error(`the status says ${said.join()}`);
    const names = wanted.map((item) => item.split('@')[1]);
    if (kernel.sort().join() !== names.sort().join()) throw new Error(`the kernel has ${kernel.join()}`);
    for (const { interface: ifname, mac, ips } of entries) {
      const link = links[ifname];
      if (link?.mac !== mac || link?.ips.join() !== ips?.join())
        throw new Error(`${ifname}: ${mac} ${ips}, has ${JSON.stringify(link)}`);
    }
    return links;
  });
}

/** Files of leases, records and cached results that name a container of the node. */
export function leftovers(cluster: Cluster, node = 'node-1'): string[] {
  const script =
    'grep -rlE "[0-9a-f]{64}" /var/lib/cni/networks/blue /var/lib/cni/networks/green /var/lib/cni/networks/red /var/lib/cni/waymark 2>/dev/null || true';
  return cluster.node(node).run(['sh', '-c', script]).trim().split('\n').filter(Boolean);
}

/** The texts of a pod's events of a reason. */
export function events(cluster: Cluster, pod: string, reason: string): string[] {
  const selector = `involvedObject.name=${pod},reason=${reason}`;
  const path = 'jsonpath={range .items[*]}{.message}{"\\n"}{end}';
  return cluster
    .kubectl(['get', 'events', '--field-selector', selector, '-o', path])
    .trim()
    .split('\n')
    .filter(Boolean);
}

/** Starts a pod on a node. */
export async function running(cluster: Cluster, name: string, networks: string, node = 'node-1'): Promise<void> {
  apply(cluster, podOf(name, networks, { node }));
  await untilReady(cluster, name);
}

/** Deletes pods and waits until nothing of them is left on node-1. */
export async function gone(t: Test, cluster: Cluster, ...names: string[]): Promise<void> {
  remove(cluster, ...names.map((name) => podOf(name, '')));
  await seen('nothing is left on the node', () => {
    const left = leftovers(cluster);
    if (left.length > 0) throw new Error(left.join('\n'));
  });
  t.pass('no lease, no record and no result is left');
}

/** The requests of a node's agent that the API server has answered, but for watches: `patch pods/status web 200`. */
export function requestsOf(cluster: Cluster, address: string): string[] {
  // What follows the last end of a line is still being written.
  const lines = readFileSync(cluster.folder.auditLog, 'utf8').split('\n').slice(0, -1);
  return lines
    .map((line) => JSON.parse(line) as Audited)
    .filter(({ verb, sourceIPs }) => verb !== 'watch' && sourceIPs.includes(address))
    .map(({ verb, objectRef = {}, responseStatus: { code } }) => {
      const { resource, subresource, name = '' } = objectRef;
      return `${verb} ${[resource, subresource].filter(Boolean).join('/')} ${resource === 'events' ? '' : name} ${code}`;
    });
}

type Audited = {
  verb: string;
  sourceIPs: string[];
  objectRef?: { resource?: string; subresource?: string; name?: string };
  responseStatus: { code: number };
};
