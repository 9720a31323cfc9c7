// What is asked of Multus and of multi-network on the same kind of node: annotations, and configs of the entry.

export const NETWORKS = 'k8s.v1.cni.cncf.io/networks';
export const OVERRIDE = 'v1.multus-cni.io/default-network';

type Config = { readonly [key: string]: unknown };

/** One row: the pod's annotations, and what is laid over the entry's config. */
export type Asked = {
  readonly title: string;
  readonly annotations?: { readonly [name: string]: string };
  readonly config?: Config;
  readonly namespace?: string;
  /** Both refuse the pod, and we say this. */
  readonly fails?: RegExp;
  /** The default routes that ours has then. */
  readonly defaults?: readonly string[];
  /** They do not do the same: why, and what each does. */
  readonly differs?: Difference;
};

export type Difference = { readonly why: string; readonly multus: Fate; readonly waymark: Fate };
export type Fate = 'starts' | 'is refused';

const bridge = (name: string, subnet: string, more: Config = {}): Config => ({
  cniVersion: '0.4.0',
  name,
  type: 'bridge',
  bridge: `br-${name}`,
  ...more,
  ipam: { type: 'host-local', dataDir: 'LEASES', ranges: [[{ subnet }]], ...(more.ipam as Config | undefined) },
});

export const CLUSTER = bridge('cluster', '10.70.0.0/24', { isDefaultGateway: true });
const SECOND = bridge('second', '10.70.9.0/24');

const { cniVersion: _, name: __, ...GREEN } = bridge('green', '10.70.2.0/24');
const macvlan = { cniVersion: '0.4.0', type: 'macvlan', master: 'eth1', capabilities: { ips: true } };

// What it remembers for DEL must not end up in /run of the machine.
const TUNING = { type: 'tuning', mtu: 1400, dataDir: 'LEASES-of-tuning' };

/** Definitions by `namespace/name`. LEASES is a folder of the test's own. */
export const DEFINITIONS: { readonly [network: string]: Config | string } = {
  'default/blue': bridge('blue', '10.70.1.0/24', { cniVersion: '0.3.1' }),
  'default/both': { ...bridge('both', '10.70.8.0/24'), bridge: 'br-blue' },
  'default/green': { cniVersion: '1.0.0', name: 'green', plugins: [GREEN, TUNING] },
  'default/gateway': bridge('gateway', '10.70.11.0/24', { isDefaultGateway: true }),
  'default/dual': bridge('dual', '', {
    ipam: { ranges: [[{ subnet: '10.70.10.0/24' }], [{ subnet: 'fd00:70:10::/64' }]] },
  }),
  'default/red': { ...macvlan, name: 'red', ipam: { type: 'static' } },
  'default/caps': bridge('caps', '10.70.4.0/24', { capabilities: { ips: true, mac: true } }),
  'default/routes': bridge('routes', '10.70.5.0/24', { ipam: { routes: [{ dst: '10.99.0.0/16' }] }, isGateway: true }),
  'default/newest': bridge('newest', '10.70.6.0/24', { cniVersion: '1.1.0' }),
  'default/nameless': { ...bridge('nameless', '10.70.7.0/24'), name: undefined },
  'default/typeless': { cniVersion: '0.4.0', name: 'typeless' },
  'default/broken': '{"cniVersion": "0.4.0"',
  'default/empty': '',
  'other/blue': bridge('far', '10.71.1.0/24'),
  'shop/blue': bridge('shop', '10.72.1.0/24'),
  'kube-system/special': bridge('special', '10.73.1.0/24'),
  'kube-system/every': bridge('every', '10.73.2.0/24'),
};

const networks = (value: unknown) => ({ [NETWORKS]: typeof value === 'string' ? value : JSON.stringify(value) });
const isolated = { namespaceIsolation: true };
const differs = (why: string, multus: Fate, waymark: Fate) => ({ differs: { why, multus, waymark } });
const DEFAULT_ROUTE = differs('Multus since 4.2.2 leaves the default route to eth0', 'starts', 'starts');
const CAPABILITY = differs('no plugin has the capability; Multus drops it silently', 'starts', 'is refused');

export const ASKED: readonly Asked[] = [
  { title: 'no annotation' },
  { title: 'an empty annotation', annotations: networks('') },
  { title: 'an empty list', annotations: networks([]) },
  { title: 'short form', annotations: networks('blue') },
  { title: 'short form with blanks', annotations: networks('  blue , green ') },
  { title: 'short form with interface', annotations: networks('blue@lan0') },
  { title: 'short form with namespace', annotations: networks('other/blue') },
  { title: 'short form with both', annotations: networks('other/blue@far0,blue') },
  { title: 'JSON', annotations: networks([{ name: 'blue' }]) },
  { title: 'JSON with namespace', annotations: networks([{ name: 'blue', namespace: 'other' }]) },
  { title: 'JSON with interface', annotations: networks([{ name: 'blue', interface: 'lan0' }]) },
  { title: 'three networks', annotations: networks('blue,green,routes') },
  { title: 'two networks on one bridge', annotations: networks('blue,both') },
  { title: 'one network twice', annotations: networks('blue,blue') },
  { title: 'one network twice, with names', annotations: networks('blue@a0,blue@b0') },
  {
    title: 'one interface name twice',
    annotations: networks('blue@a0,green@a0'),
    fails: /interface a0 is selected more than once/,
  },
  {
    title: 'the interface eth0',
    annotations: networks('blue@eth0'),
    fails: /the pod has an interface eth0 of somebody else/,
  },
  {
    title: 'an interface name that is too long',
    annotations: networks([{ name: 'blue', interface: 'x'.repeat(16) }]),
    fails: /"interface" is longer than 15 bytes/,
  },
  {
    title: 'an interface name with a slash',
    annotations: networks([{ name: 'blue', interface: 'a/b' }]),
    fails: /"interface" contains "\/"/,
  },
  {
    title: 'a name that is another one’s by its place',
    annotations: networks([{ name: 'blue', interface: 'net2' }, { name: 'green' }]),
    ...differs('the other one has the lowest free number; Multus gives both one name', 'is refused', 'starts'),
  },
  { title: 'an address', annotations: networks([{ name: 'caps', ips: ['10.70.4.77'] }]) },
  { title: 'an address with prefix', annotations: networks([{ name: 'red', ips: ['10.74.0.5/24'] }]) },
  {
    title: 'addresses of both families',
    annotations: networks([{ name: 'red', ips: ['10.74.0.6/24', 'fd00:74::6/64'] }]),
  },
  { title: 'a hardware address', annotations: networks([{ name: 'caps', mac: '02:00:00:00:00:77' }]) },
  {
    title: 'a hardware address without the capability',
    annotations: networks([{ name: 'blue', mac: '02:00:00:00:00:78' }]),
  },
  { title: 'cni-args', annotations: networks([{ name: 'green', 'cni-args': { mac: '02:00:00:00:00:79' } }]) },
  {
    title: 'a malformed hardware address',
    annotations: networks([{ name: 'caps', mac: '02:00' }]),
    fails: /"mac" is not a hardware address/,
  },
  {
    title: 'a malformed address',
    annotations: networks([{ name: 'caps', ips: ['10.70.4'] }]),
    fails: /"ips" has "10.70.4", which is not an address/,
  },
  {
    title: 'addresses as a text',
    annotations: networks([{ name: 'caps', ips: '10.70.4.78' }]),
    fails: /"ips" is not a list/,
  },
  {
    title: 'port mappings',
    annotations: networks([{ name: 'blue', portMappings: [{ hostPort: 80, containerPort: 80 }] }]),
    ...CAPABILITY,
  },
  {
    title: 'bandwidth',
    annotations: networks([{ name: 'blue', bandwidth: { ingressRate: 1000 } }]),
    ...CAPABILITY,
  },
  { title: 'a device', annotations: networks([{ name: 'blue', deviceID: '0000:00:01.0' }]), ...CAPABILITY },
  {
    title: 'a GUID',
    annotations: networks([{ name: 'blue', 'infiniband-guid': '00:11:22:33:44:55:66:77' }]),
    ...CAPABILITY,
  },
  {
    title: 'a default route',
    annotations: networks([{ name: 'blue', 'default-route': ['10.70.1.1'] }]),
    ...DEFAULT_ROUTE,
    defaults: ['via 10.70.1.1 dev net1'],
  },
  {
    title: 'default routes of both families',
    annotations: networks([{ name: 'dual', 'default-route': ['10.70.10.1', 'fd00:70:10::1'] }]),
    ...DEFAULT_ROUTE,
    defaults: ['via 10.70.10.1 dev net1', 'via fd00:70:10::1 dev net1'],
  },
  {
    title: 'a default route of IPv6 only',
    annotations: networks([{ name: 'dual', 'default-route': ['fd00:70:10::1'] }]),
    ...differs('Multus does not write its gateway into the status', 'starts', 'starts'),
    defaults: ['via 10.70.0.1 dev eth0', 'via fd00:70:10::1 dev net1'],
  },
  {
    title: 'a default route of each family from two networks',
    annotations: networks([
      { name: 'blue', 'default-route': ['10.70.1.1'] },
      { name: 'dual', 'default-route': ['fd00:70:10::1'] },
    ]),
    ...DEFAULT_ROUTE,
    defaults: ['via 10.70.1.1 dev net1', 'via fd00:70:10::1 dev net2'],
  },
  {
    title: 'a default route, and a network that brings its own',
    annotations: networks([{ name: 'blue', 'default-route': ['10.70.1.1'] }, { name: 'gateway' }]),
    ...DEFAULT_ROUTE,
    defaults: ['via 10.70.1.1 dev net1'],
  },
  {
    title: 'several default routes of one family',
    annotations: networks([
      { name: 'blue', 'default-route': ['10.70.1.1'] },
      { name: 'green', 'default-route': ['10.70.2.1'] },
    ]),
    fails: /several selections have a "default-route" of one family/,
  },
  {
    title: 'a default route through a gateway that cannot be',
    annotations: networks([{ name: 'blue', 'default-route': ['10.1.2.3'] }]),
    fails: /default-route: .*10\.1\.2\.3/,
  },
  {
    title: 'a definition that is missing',
    annotations: networks('absent'),
    fails: /cannot find a network-attachment-definition \(absent\) in namespace \(default\)/,
  },
  {
    title: 'a definition that is no JSON',
    annotations: networks('broken'),
    fails: /"config" of definition default\/broken is not JSON/,
  },
  { title: 'a definition without a config', annotations: networks('empty'), fails: /no network "empty" in / },
  { title: 'a definition without a type', annotations: networks('typeless'), fails: /the plugin has no "type"/ },
  {
    title: 'a definition without a name',
    annotations: networks('nameless'),
  },
  { title: 'a list that is no JSON', annotations: networks('[{'), fails: /it is not JSON/ },
  { title: 'an object', annotations: networks({ name: 'blue' }), fails: /it is not a list/ },
  {
    title: 'too many slashes',
    annotations: networks('a/b/c'),
    fails: /"a\/b\/c" is not \[namespace\/\]name\[@interface\]/,
  },
  { title: 'a name in capitals', annotations: networks('Blue'), fails: /"name" is not a DNS name/ },
  {
    title: 'a name in capitals, as JSON',
    annotations: networks([{ name: 'Blue' }]),
    fails: /"name" is not a DNS name/,
  },
  { title: 'the newest version', annotations: networks('newest') },
  { title: 'another default network', annotations: { [OVERRIDE]: 'special' } },
  { title: 'another default network of another namespace', annotations: { [OVERRIDE]: 'other/blue' } },
  { title: 'another default network and others', annotations: { [OVERRIDE]: 'special', ...networks('blue') } },
  {
    title: 'two default networks',
    annotations: { [OVERRIDE]: 'special,every' },
    fails: /it names 2 networks, and must name one/,
  },
  { title: 'isolation: own namespace', namespace: 'shop', annotations: networks('blue'), config: isolated },
  { title: 'isolation: default', namespace: 'shop', annotations: networks('default/green'), config: isolated },
  {
    title: 'isolation: another namespace',
    namespace: 'shop',
    annotations: networks('other/blue'),
    config: isolated,
    fails: /a pod in shop may not use definitions in other/,
  },
  {
    title: 'isolation: a global namespace',
    namespace: 'shop',
    annotations: networks('other/blue'),
    config: { ...isolated, globalNamespaces: 'other, default' },
  },
  { title: 'two delegates', config: { delegates: [CLUSTER, SECOND] } },
  { title: 'two delegates and an annotation', annotations: networks('blue'), config: { delegates: [CLUSTER, SECOND] } },
  { title: 'a list as delegate', config: { delegates: [{ cniVersion: '1.0.0', name: 'green', plugins: [GREEN] }] } },
  { title: 'clusterNetwork: a definition', config: { delegates: undefined, clusterNetwork: 'special' } },
  {
    title: 'clusterNetwork and defaultNetworks',
    annotations: networks('blue'),
    config: { delegates: undefined, clusterNetwork: 'special', defaultNetworks: ['every'] },
  },
  {
    title: 'a pod of the system',
    namespace: 'kube-system',
    config: { delegates: undefined, clusterNetwork: 'special', defaultNetworks: ['every'] },
  },
  ...['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'].map((cniVersion) => ({
    title: `an entry of ${cniVersion}`,
    annotations: networks('blue,green'),
    config: { cniVersion },
  })),
];
