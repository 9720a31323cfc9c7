import type { ContainerdNode, Pod } from './containerd.ts';
import { PLUGIN_NAMES } from './plugin-set.ts';

// Many pods with two networks each, as Multus gives them: the first, which containerd takes the pod's address from, and
// `green` with our three plugins behind `bridge`.

const FIRST = {
  cniVersion: '1.0.0',
  name: 'first',
  plugins: [bridge('wm-first', [[{ subnet: '10.130.0.0/23' }]])],
};

/** The name that kactus' scheme makes of `green`. */
export const GREEN_NAME = 'net9f27410725ab';

/** The lists; `keys` are for those of our plugins that `which` names. */
export function lists(keys: { [key: string]: unknown } = {}, which: readonly string[] = PLUGIN_NAMES) {
  const keysOf = (type: string) => ({ type, ...(which.includes(type) && keys) });
  const green = {
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
  return [FIRST, green] as const;
}

/** `green` as the pods' first and only network, with keys of consistent-ifname. */
export function greenAsFirst(keys: { [key: string]: unknown }) {
  const [, green] = lists(keys, ['consistent-ifname']);
  return green;
}

function bridge(name: string, ranges: { subnet: string }[][]) {
  return { type: 'bridge', bridge: name, isGateway: true, ipam: { type: 'host-local', ranges } };
}

/** What `ip -j` shows in a pod of the names and of our routes. */
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

/** What `look` must show. */
export const CONFIGURED = {
  names: [
    ['eth0', []],
    ['lo', []],
    [GREEN_NAME, ['eth1']],
  ],
  routes: [
    ['blackhole', '10.40.0.0/16', null],
    [GREEN_NAME, '10.0.32.2', '10.131.0.1'],
    [GREEN_NAME, '10.10.0.0/16', '10.131.0.1'],
    [GREEN_NAME, '2001:db8:10::/48', 'fd00:131::1'],
  ],
};

/** All that pods leave on a node while they run: to compare before and after. */
export async function traces({ machine, cri }: ContainerdNode): Promise<object> {
  const files = (folder: string) =>
    machine
      .run('find', [folder, '-type', 'f'])
      .split('\n')
      .filter((path) => path !== '' && !/\/(lock|last_reserved_ip\.\d+)$/.test(path));
  machine.run('mkdir', ['-p', '/var/lib/cni', '/run/waymark', '/var/lib/waymark']);
  return {
    pods: (await cri.pods()).map(({ metadata }) => metadata.name),
    links: machine.ipJson('link show type veth').map(({ ifname }) => ifname),
    namespaces: machine.run('ls', ['/run/netns']).split('\n').filter(Boolean),
    leasesAndResults: files('/var/lib/cni'),
    journals: [...files('/run/waymark'), ...files('/var/lib/waymark')],
  };
}
