import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Plugin } from '../../../lib/cni/runner.ts';
import { DirectCluster } from '../../../plugins/multi-network/cluster.ts';
import { multiNetworkWith } from '../../../plugins/multi-network/main.ts';
import type { Services } from '../../../plugins/multi-network/services.ts';
import { type Scratch, scratchFolder, scratchNamespace } from '../namespaces/namespace.ts';
import { type Answer, call, type Document, type Env, success, variables } from '../plugins/call.ts';
import { REFERENCE_FOLDER } from '../plugins/chain.ts';
import { ApiStandIn } from './api-stand-in.ts';

// A node whose pods get their networks from multi-network: a stand-in for the API server, but real namespaces, the
// reference plugins, and the kernel.

export type StartedPod = {
  readonly name: string;
  readonly namespace: string;
  readonly scratch: Scratch;
  readonly containerID: string;
  /** The variables of a call, with kubelet's arguments. */
  env(verb: string, more?: Env): Env;
  run(verb: string, more?: { args?: string; config?: object; netns?: string }): Promise<Answer>;
  /** ADD that must succeed; its result. */
  add(more?: { args?: string; config?: object }): Promise<Document>;
  /** Interfaces by name, without lo, with their lasting addresses. */
  links(): { [name: string]: string[] };
  mac(name: string): string;
  status(): { [key: string]: unknown }[];
};

export type MultiNetworkNode = {
  readonly api: ApiStandIn;
  readonly folder: string;
  readonly node: Scratch;
  readonly plugin: Plugin;
  /** The plugin's config with these keys. */
  config(more?: object): object;
  /** The config of a bridge with a subnet of its own. */
  bridge(name: string, more?: object): { [key: string]: unknown };
  define(name: string, config?: object | string, namespace?: string): void;
  pod(name: string, annotations?: { [key: string]: unknown }, namespace?: string): StartedPod;
  /** Leases, records and results. */
  leftovers(): string[];
  events(reason: string): string[];
};

let subnets = 0;

/** `services`: what the plugin has around it; by default a client of the stand-in. */
export async function multiNetworkNode(
  t: Test,
  services?: (api: ApiStandIn) => Partial<Services> & Pick<Services, 'cluster'>,
): Promise<MultiNetworkNode> {
  const folder = scratchFolder(t);
  const node = scratchNamespace(t);
  const api = new ApiStandIn();
  await api.start();
  t.teardown(() => api.stop());
  const plugin = multiNetworkWith({
    ...(services?.(api) ?? { cluster: async () => clusterOf(api) }),
    through: ['/usr/bin/env', 'ip', 'netns', 'exec', node.name],
  });
  mkdirSync(join(folder, 'conf'));
  const bridge = (name: string, more: object = {}) => {
    const subnet = `10.${40 + (subnets >> 8)}.${subnets++ & 255}.0/24`;
    const ipam = { type: 'host-local', dataDir: join(folder, 'leases'), ranges: [[{ subnet }]] };
    return { cniVersion: '1.0.0', name, type: 'bridge', bridge: `br-${name}`, ipam, ...more };
  };
  const base = {
    cniVersion: '1.0.0',
    name: 'waymark',
    type: 'multi-network',
    binDir: REFERENCE_FOLDER,
    cniDir: join(folder, 'cni'),
    confDir: join(folder, 'conf'),
    dataDir: join(folder, 'data'),
    delegates: [bridge('cluster', { isGateway: true, isDefaultGateway: true })],
  };
  const config = (more: object = {}) => ({ ...base, ...more });
  return {
    api,
    folder,
    node,
    plugin,
    config,
    bridge,
    define: (name, own, namespace = 'default') => {
      const text = typeof own === 'string' ? own : JSON.stringify(own ?? bridge(name));
      api.put(`/apis/k8s.cni.cncf.io/v1/namespaces/${namespace}/network-attachment-definitions/${name}`, {
        metadata: { name, namespace },
        spec: { config: text },
      });
    },
    pod: (name, annotations = {}, namespace = 'default') =>
      startedPod(t, { api, plugin, config }, { name, namespace, annotations }),
    leftovers: () => ['leases', 'cni', 'data'].flatMap((below) => filesIn(join(folder, below))),
    events: (reason) =>
      api.asked
        .filter(({ method, path, body }) => method === 'POST' && /\/events$/.test(path) && body?.reason === reason)
        .map(({ body }) => String(body?.message)),
  };
}

/** A client of the stand-in that waits for its events, however busy the machine is. */
export function clusterOf(api: ApiStandIn): DirectCluster {
  return new DirectCluster(api.client(), { lost: () => undefined, eventsMs: 60_000 });
}

function startedPod(
  t: Test,
  { api, plugin, config }: Pick<MultiNetworkNode, 'api' | 'plugin' | 'config'>,
  { name, namespace, annotations }: { name: string; namespace: string; annotations: { [key: string]: unknown } },
): StartedPod {
  const scratch = scratchNamespace(t);
  const containerID = `c-${name}`;
  const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  const texts = Object.fromEntries(Object.entries(annotations).map(([key, value]) => [key, text(value)]));
  const uid = `uid-${name}`;
  api.put(path, { metadata: { name, namespace, uid, annotations: texts }, spec: {}, status: { phase: 'Pending' } });
  const kubernetes = `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name};K8S_POD_INFRA_CONTAINER_ID=${containerID};K8S_POD_UID=${uid}`;
  const env: StartedPod['env'] = (verb, more = {}) =>
    variables(verb, scratch.path, {
      CNI_CONTAINERID: containerID,
      CNI_ARGS: kubernetes,
      CNI_PATH: REFERENCE_FOLDER,
      ...more,
    });
  const run: StartedPod['run'] = (verb, { args = '', config: more = {}, netns = scratch.path } = {}) =>
    call(plugin, env(verb, { CNI_ARGS: `${kubernetes}${args}`, CNI_NETNS: netns }), config(more));
  const shown = () => scratch.ipJson('address show').filter(({ ifname }) => ifname !== 'lo');
  return {
    name,
    namespace,
    scratch,
    containerID,
    env,
    run,
    add: async (more) => success(await run('ADD', more)),
    links: () =>
      Object.fromEntries(
        shown().map(({ ifname, addr_info }) => {
          const addresses = (addr_info as { local: string; scope: string }[]).filter(({ scope }) => scope === 'global');
          return [String(ifname), addresses.map(({ local }) => local)];
        }),
      ),
    mac: (link) => String(scratch.ipJson(`link show ${link}`)[0]?.address),
    status: () => JSON.parse(api.get(path)?.metadata.annotations?.['k8s.v1.cni.cncf.io/network-status'] ?? '[]'),
  };
}

function filesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'lock' && !entry.name.startsWith('last_reserved_ip'))
    .filter((entry) => !entry.name.endsWith('.lock') || readFileSync(join(entry.parentPath, entry.name)).length > 0)
    .map((entry) => entry.name);
}
