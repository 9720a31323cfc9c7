import type { ContainerdNode, Pod } from './containerd.ts';

// Many pods with the network `green`: our plugins that change a pod's interface, after `bridge`.

/** The name that kactus' scheme gives to `green`. */
export const GREEN_NAME = 'net9f27410725ab';

/** Our plugins in the list. */
export const GREEN_PLUGINS: readonly string[] = ['consistent-ifname', 'seamless-gateway', 'static-route'];

/** The list; `keys` are for those of our plugins that `which` names. */
export function greenList(keys: { [key: string]: unknown } = {}, which = GREEN_PLUGINS) {
  const keysOf = (type: string) => ({ type, ...(which.includes(type) && keys) });
  return {
    cniVersion: '1.0.0',
    name: 'green',
    plugins: [
      bridge('wm-green', [[{ subnet: '10.131.0.0/23' }], [{ subnet: 'fd00:131::/64' }]]),
      keysOf('consistent-ifname'),
      keysOf('seamless-gateway'),
      {
        ...keysOf('static-route'),
        routes: [{ dst: '10.10.0.0/16' }, { dst: '2001:db8:10::/48' }, { dst: '10.40.0.0/16', type: 'blackhole' }],
      },
    ],
  };
}

function bridge(name: string, ranges: { subnet: string }[][]) {
  return { type: 'bridge', bridge: name, isGateway: true, ipam: { type: 'host-local', ranges } };
}

/** The names and our routes in a pod, according to `ip -j`. */
export function look(pod: Pod): { names: unknown[]; routes: unknown[] } {
  const routes = [...pod.ipJson('-4 route show proto 87'), ...pod.ipJson('-6 route show proto 87')];
  return {
    names: pod
      .ipJson('link show')
      .map(({ ifname, altnames = [] }) => [ifname, altnames])
      .sort(),
    routes: routes.map(({ type, dst, gateway, dev }) => [type ?? dev, dst, gateway ?? null]).sort(),
  };
}

/** What `look` must return. */
export const CONFIGURED = {
  names: [
    ['lo', []],
    [GREEN_NAME, ['eth0']],
  ],
  routes: [
    ['blackhole', '10.40.0.0/16', null],
    [GREEN_NAME, '10.0.32.2', '10.131.0.1'],
    [GREEN_NAME, '10.10.0.0/16', '10.131.0.1'],
    [GREEN_NAME, '2001:db8:10::/48', 'fd00:131::1'],
  ],
};

export type Traces = {
  readonly [kind in 'pods' | 'links' | 'namespaces' | 'leasesAndResults' | 'journals']: readonly string[];
};

/** Not of a pod: how often shims have run the executable on this node. */
const FALLBACKS = '/run/waymark/fallbacks';

/** Everything that running pods keep on a node, to compare before and after. */
export async function traces({ machine, cri }: ContainerdNode): Promise<Traces> {
  const files = (folder: string) =>
    machine
      .run('find', [folder, '-type', 'f'])
      .split('\n')
      .filter((path) => path !== '' && !/\/(lock|last_reserved_ip\.\d+)$/.test(path));
  machine.run('mkdir', ['-p', '/var/lib/cni', '/run/waymark', '/var/lib/waymark']);
  return {
    pods: (await cri.pods()).map(({ metadata }) => metadata.name),
    links: machine.ipJson('link show type veth').map(({ ifname }) => String(ifname)),
    namespaces: machine.run('ls', ['/run/netns']).split('\n').filter(Boolean),
    leasesAndResults: files('/var/lib/cni'),
    journals: [...files('/run/waymark'), ...files('/var/lib/waymark')].filter((path) => path !== FALLBACKS),
  };
}
