import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { startInParallel } from '../build/single.ts';
import { type Scratch, scratchFolder, scratchNamespace } from '../namespaces/namespace.ts';
import { type Document, variables } from '../plugins/call.ts';
import { REFERENCE_FOLDER } from '../plugins/chain.ts';
import { type Asked, CLUSTER, DEFINITIONS } from './annotations.ts';
import { type ApiForBoth, apiForBoth } from './api-for-both.ts';
import { multusDaemon } from './daemon.ts';
import { kubeconfig } from './kubeconfig.ts';

// The entry of a cluster on a node of its own: a stand-in for the API server, but real namespaces, plugins and kernel.

/** What a pod has after ADD, in a form in which two entries can be compared. */
export type Outcome = {
  readonly links: readonly object[];
  readonly routes: readonly string[];
  /** The status without hardware addresses and sizes, which only some results have. */
  readonly status: readonly object[] | undefined;
  readonly result: object;
  /** What is not compared: the version of the result, and the status as it is written. */
  readonly version: string;
  readonly written: readonly { readonly [key: string]: unknown }[];
  /** By interface, as the kernel has them. */
  readonly kernel: { readonly [ifname: string]: { readonly mac: string; readonly mtu: number } };
};

/** What an entry makes of what is asked. */
export type Made = Outcome | { readonly refused: string };

export type Entry = {
  /** ADD and DEL of a pod; `left`: the interfaces, leases and records that DEL leaves, or how it fails. */
  make(asked: Asked, index: number): Promise<{ made: Made; left: string }>;
};

/** The executable of an entry, its type, keys of its own in the config, and Multus' daemon, if the executable is its shim. */
export type By = {
  readonly program: string;
  readonly type: string;
  readonly keys?: object;
  readonly daemon?: string;
};

/** `deletedBy`: another entry of the same node, which is the cluster's when the pods end. */
export async function entry(t: Test, addedBy: By, deletedBy: By = addedBy): Promise<Entry> {
  const folder = scratchFolder(t);
  const node = scratchNamespace(t);
  node.ip('link add eth1 type veth peer name wire1');
  for (const name of ['eth1', 'wire1']) node.ip(`link set ${name} up`);
  const api = await apiForBoth(t, folder);
  await api.openIn(node);
  mkdirSync(join(folder, 'conf'));
  writeFileSync(join(folder, 'kubeconfig'), kubeconfig('http://127.0.0.1:6443'));
  const local = (config: unknown) => JSON.stringify(config).replaceAll('LEASES', join(folder, 'leases'));
  for (const [network, config] of Object.entries(DEFINITIONS)) define(api, network, config, local);
  const [daemon] = [addedBy, deletedBy].flatMap((by) => by.daemon ?? []);
  const daemonSocketDir = daemon && (await multusDaemon(t, { program: daemon, node, folder, api }));
  const configOf = ({ type, keys, daemon }: By, asked: Asked) =>
    local({
      cniVersion: '1.0.0',
      name: 'entry',
      type,
      kubeconfig: join(folder, 'kubeconfig'),
      binDir: REFERENCE_FOLDER,
      cniDir: join(folder, 'cni'),
      confDir: join(folder, 'conf'),
      delegates: [CLUSTER],
      ...(type === 'multi-network' && { dataDir: join(folder, 'data') }),
      ...(daemon !== undefined && { daemonSocketDir }),
      ...keys,
      ...asked.config,
    });
  return {
    make: async (asked, index) => {
      const pod = scratchNamespace(t);
      const { path, env } = register(api, pod, asked, index);
      const run = (verb: string, by: By) => {
        const variables = { PATH: process.env.PATH, ...env, CNI_COMMAND: verb };
        return startInParallel('ip', variables, configOf(by, asked), ['netns', 'exec', node.name, by.program]);
      };
      const added = await run('ADD', addedBy);
      const result: Document = JSON.parse(added.stdout || '{}');
      const made =
        added.code === 0 ? outcomeOf(pod, result, api.statusOf(path) ?? []) : { refused: result.msg ?? added.stdout };
      const deleted = await run('DEL', deletedBy);
      const links = pod.ipJson('link show').filter(({ ifname }) => ifname !== 'lo');
      const things = [...links.map(({ ifname }) => String(ifname)), ...filesIn(folder, 'cni', 'leases', 'data')];
      const left = deleted.code === 0 ? things.join(' ') : deleted.stdout;
      pod.remove();
      // An ADD that fails late has taken addresses, and the next ones would be others.
      rmSync(join(folder, 'leases'), { recursive: true, force: true });
      return { made, left };
    },
  };
}

function define(api: ApiForBoth, network: string, config: unknown, local: (config: unknown) => string): void {
  const [namespace, name] = network.split('/');
  api.put(`/apis/k8s.cni.cncf.io/v1/namespaces/${namespace}/network-attachment-definitions/${name}`, {
    apiVersion: 'k8s.cni.cncf.io/v1',
    kind: 'NetworkAttachmentDefinition',
    metadata: { name, namespace, uid: network, resourceVersion: '1' },
    spec: { config: typeof config === 'string' ? config : local(config) },
  });
}

function register(api: ApiForBoth, pod: Scratch, { namespace = 'default', annotations = {} }: Asked, index: number) {
  const name = `pod-${index}`;
  const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
  api.put(path, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, uid: name, resourceVersion: '1', annotations },
    spec: { containers: [] },
    status: { phase: 'Pending' },
  });
  const env = variables('ADD', pod.path, {
    CNI_CONTAINERID: `c${index}`,
    CNI_ARGS: `IgnoreUnknown=true;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name};K8S_POD_INFRA_CONTAINER_ID=c${index};K8S_POD_UID=${name}`,
    CNI_PATH: REFERENCE_FOLDER,
  });
  return { path, env };
}

// But locks, and the place where host-local goes on.
function filesIn(folder: string, ...below: readonly string[]): string[] {
  return below
    .map((name) => join(folder, name))
    .filter((path) => existsSync(path))
    .flatMap((path) => readdirSync(path, { recursive: true, withFileTypes: true }))
    .filter((file) => file.isFile() && !/^(lock|last_reserved_ip.*|.*\.lock)$/.test(file.name))
    .map(({ name }) => name);
}

type Address = { readonly local: string; readonly prefixlen: number; readonly scope: string };

function outcomeOf(pod: Scratch, result: Document, written: Outcome['written']): Outcome {
  const links = pod.ipJson('address show').filter(({ ifname }) => ifname !== 'lo');
  return {
    links: links.map(({ ifname, mtu, addr_info, address }) => ({
      ifname,
      mtu,
      // Others are of chance.
      mac: String(address).startsWith('02:00:00:00:00') ? address : 'any',
      addresses: (addr_info as Address[])
        .filter(({ scope }) => scope === 'global')
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    })),
    routes: ['-4', '-6'].flatMap((family) =>
      pod
        .ip(`${family} route show`)
        .trim()
        .split('\n')
        .filter((line) => !line.startsWith('fe80')),
    ),
    status: written.map(({ mac: _, mtu: __, ...more }) => more),
    result: {
      ips: result.ips?.map(({ address, gateway }) => [address, gateway]),
      routes: result.routes?.map(({ dst, gw }) => [dst, gw]),
      interfaces: result.interfaces?.map(({ name, sandbox }) => [name.replace(/^veth.*/, 'veth'), Boolean(sandbox)]),
    },
    version: result.cniVersion,
    written,
    kernel: Object.fromEntries(
      links.map(({ ifname, address, mtu }) => [String(ifname), { mac: String(address), mtu: Number(mtu) }]),
    ),
  };
}
