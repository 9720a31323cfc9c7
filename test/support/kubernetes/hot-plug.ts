import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { Controller, type ControllerOptions } from '../../../controller/controller.ts';
import { HERE } from '../../../lib/cni/place.ts';
import type { ApiClient } from '../../../lib/kubernetes/client.ts';
import { type Scratch, scratchFolder, scratchNamespace } from '../namespaces/namespace.ts';
import { REFERENCE_FOLDER } from '../plugins/chain.ts';
import { until } from '../until.ts';
import { ApiStandIn } from './api-stand-in.ts';
import { CriStandIn } from './cri-stand-in.ts';

// A node with a controller: stand-ins for the API server and the container runtime, but real namespaces, the reference
// plugins, and the kernel.

export const NODE = 'node-1';

export type FakePod = {
  readonly name: string;
  readonly path: string;
  readonly scratch: Scratch;
  readonly containerID: string;
  /** What `ip -j` prints of its links, by name, without lo. */
  links(): { [name: string]: { mac: string; ips: string[] } };
  /** Sets the annotation with the networks. */
  select(networks: unknown): void;
  /** The entries of the status annotation. */
  status(): { name: string; interface?: string; ips?: string[]; mac?: string; default?: boolean }[];
  /** Waits until its links, but eth0, are these; and the status says so. */
  has(...names: string[]): Promise<void>;
};

export type MoreOfPod = {
  readonly status?: unknown;
  readonly uid?: string;
  /** The runtime names the pod's namespace by a process. Such a path is not kept, so every look at the pod asks the runtime. */
  readonly isAskedFor?: boolean;
};

export type HotPlugNode = {
  readonly api: ApiStandIn;
  readonly cri: CriStandIn;
  readonly folder: string;
  readonly node: Scratch;
  controller: Controller;
  /** Starts another controller, as an agent that starts again does. */
  restart(more?: Partial<ControllerOptions>): Promise<void>;
  /** Defines a network; by default a bridge with addresses of a subnet of its own. */
  define(name: string, config?: object, namespace?: string): void;
  /** Starts a pod with an eth0. */
  pod(name: string, networks?: unknown, more?: MoreOfPod): FakePod;
  /** Leases of host-local, records, cached results and journals. */
  leftovers(): string[];
  /** The texts of events of a reason. */
  events(reason: string): string[];
  readonly logs: string[];
};

let subnets = 0;

export async function hotPlugNode(t: Test, more: Partial<ControllerOptions> = {}): Promise<HotPlugNode> {
  const folder = scratchFolder(t);
  const node = scratchNamespace(t);
  const [api, cri] = [new ApiStandIn(), new CriStandIn()];
  await api.start();
  await cri.start(join(folder, 'cri.sock'));
  const logs: string[] = [];
  const clients: ApiClient[] = [];
  const start = (options: Partial<ControllerOptions>) => {
    const client = api.client();
    clients.push(client);
    const controller = new Controller({
      client,
      node: NODE,
      criSocket: join(folder, 'cri.sock'),
      binDirs: [REFERENCE_FOLDER, join(folder, 'bin')],
      stateDir: join(folder, 'state'),
      pathOf: HERE.pathOf,
      through: ['/usr/bin/env', 'ip', 'netns', 'exec', node.name],
      cacheFolders: [join(folder, 'multus'), join(folder, 'cni/results')],
      podResourcesSocket: join(folder, 'kubelet.sock'),
      dataDir: join(folder, 'data'),
      observer: { log: (level, message, fields) => logs.push(`${level} ${message} ${JSON.stringify(fields)}`) },
      ...more,
      ...options,
    });
    controller.start();
    return controller;
  };
  let controller = start({});
  t.teardown(async () => {
    if (!t.passing()) for (const line of logs) t.comment(line);
    await controller.stop();
    for (const client of clients) client.close();
    cri.stop();
    await api.stop();
  });
  const define = (name: string, config?: object, namespace = 'default') => {
    const subnet = `10.${20 + (subnets >> 8)}.${subnets++ & 255}.0/24`;
    const ipam = { type: 'host-local', dataDir: join(folder, 'leases'), ranges: [[{ subnet }]] };
    const spec = {
      config: JSON.stringify(config ?? { cniVersion: '1.0.0', type: 'bridge', bridge: `br-${name}`, ipam }),
    };
    api.put(`/apis/k8s.cni.cncf.io/v1/namespaces/${namespace}/network-attachment-definitions/${name}`, {
      metadata: { name, namespace },
      spec,
    });
  };
  return {
    api,
    cri,
    folder,
    node,
    logs,
    get controller() {
      return controller;
    },
    restart: async (options = {}) => {
      await controller.stop();
      controller = start(options);
    },
    define,
    pod: (name, networks, options = {}) => fakePod(t, { api, cri }, name, networks, options),
    leftovers: () =>
      ['leases', 'state/results', 'state/attachments', 'data/default-route'].flatMap((below) =>
        filesIn(join(folder, below)).map((file) => `${below}/${file}`),
      ),
    events: (reason) => {
      const paths = api.asked.filter(
        ({ method, path, body }) => method === 'POST' && /\/events$/.test(path) && body?.reason === reason,
      );
      return paths.map(({ body }) => String(body?.message));
    },
  };
}

function fakePod(
  t: Test,
  { api, cri }: { api: ApiStandIn; cri: CriStandIn },
  name: string,
  networks: unknown,
  { status, uid = `uid-of-${name}`, isAskedFor = false }: MoreOfPod,
): FakePod {
  const scratch = scratchNamespace(t);
  scratch.ip('link add eth0 type veth peer name eth0-peer');
  scratch.ip('link set eth0-peer up');
  scratch.ip('link set eth0 up');
  scratch.ip('address add 10.250.0.7/24 dev eth0');
  const path = `/api/v1/namespaces/default/pods/${name}`;
  const containerID = `c${uid.replace(/\W/g, '')}`;
  cri.sandboxes.push({
    id: containerID,
    uid,
    name,
    namespace: 'default',
    attempt: 0,
    ready: true,
    netns: isAskedFor ? `/proc/self/root${scratch.path}` : scratch.path,
  });
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  const defaults = [{ name: 'cluster', interface: 'eth0', ips: ['10.250.0.7'], default: true, dns: {} }];
  const annotate = (changes: { [key: string]: string }) => {
    const before = api.get(path)?.metadata.annotations ?? {};
    api.put(path, {
      metadata: { name, namespace: 'default', uid, annotations: { ...before, ...changes } },
      spec: { nodeName: NODE },
      status: { phase: 'Running' },
    });
  };
  annotate({
    [STATUS]: text(status ?? defaults),
    ...(networks !== undefined && { [NETWORKS]: text(networks) }),
  });
  const links = () => {
    const shown = scratch.ipJson('address show').filter(({ ifname }) => !['lo', 'eth0-peer'].includes(String(ifname)));
    return Object.fromEntries(
      shown.map(({ ifname, address, addr_info }) => {
        const ips = (addr_info as { local: string; scope: string }[]).filter(({ scope }) => scope === 'global');
        return [String(ifname), { mac: String(address), ips: ips.map(({ local }) => local) }];
      }),
    );
  };
  const statusNow = () => {
    try {
      return JSON.parse(api.get(path)?.metadata.annotations?.[STATUS] ?? '[]');
    } catch {
      return [];
    }
  };
  const has = async (...names: string[]) => {
    const wanted = ['eth0', ...names].sort().join();
    const inKernel = () => Object.keys(links()).sort().join();
    const inStatus = () =>
      statusNow()
        .map((entry: { interface: string }) => entry.interface)
        .sort()
        .join();
    await until(() => inKernel() === wanted && inStatus() === wanted, `${name} never has ${wanted}`).catch(
      (error: Error) => {
        throw new Error(`${error.message}: ${inKernel()} in the kernel, ${inStatus()} in the status`);
      },
    );
  };
  return {
    name,
    path,
    scratch,
    containerID,
    links,
    select: (value) => annotate({ [NETWORKS]: text(value) }),
    status: statusNow,
    has,
  };
}

const NETWORKS = 'k8s.v1.cni.cncf.io/networks';
const STATUS = 'k8s.v1.cni.cncf.io/network-status';

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/^(lock|last_reserved_ip\.\d+|.*\.lock)$/.test(entry.name))
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}
