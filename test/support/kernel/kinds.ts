import { noNamespaces, run, type Scratch } from '../namespaces/namespace.ts';

// Every kind of link that a pod's interface can be, as ip(8) makes it.

/** Is only a part asked for, of a minute or so in qemu: what differs most from the links of other machines? */
export const BRIEF = Boolean(process.env.WAYMARK_KERNEL_BRIEF);

/** How a pod gets an interface `eth0` of a kind. */
export type LinkKind = {
  readonly title: string;
  /** Commands of ip(8) in the node's namespace, which has `uplink0`. An `eth0` that they make there goes to the pod. */
  readonly node?: readonly string[];
  /** Commands in the pod's. */
  readonly pod?: readonly string[];
  readonly inBrief?: true;
};

const UPLINK = [
  'link add uplink0 type veth peer name outside',
  'link set outside up',
  'link set uplink0 up',
  'address add 10.0.32.2/24 dev uplink0',
];
const VETH = ['link add eth0 type veth peer name far', 'link set far up'];

const onUplink = (type: string, more: Partial<LinkKind> = {}): LinkKind => ({
  title: type,
  node: [`link add link uplink0 name eth0 type ${type}`],
  ...more,
});
const inPod = (type: string): LinkKind => ({ title: type, pod: [`link add eth0 type ${type}`] });
const inBrief = true as const;

const ALL_KINDS: readonly LinkKind[] = [
  { title: 'veth', pod: VETH },
  inPod('dummy'),
  inPod('bridge'),
  inPod('vxlan id 7 remote 10.244.1.9 dstport 4789'),
  onUplink('vlan id 42', { inBrief }),
  onUplink('vlan protocol 802.1ad id 42'),
  onUplink('ipvlan mode l2'),
  onUplink('ipvlan mode l2 private'),
  onUplink('ipvlan mode l2 vepa'),
  onUplink('ipvlan mode l3'),
  onUplink('ipvlan mode l3s', { inBrief }),
  onUplink('macvlan mode bridge'),
  onUplink('macvlan mode private'),
  onUplink('macvlan mode vepa'),
  onUplink('macvlan mode passthru'),
  onUplink('macvlan mode source'),
  {
    title: 'bond mode active-backup',
    pod: [
      'link add eth0 type bond mode active-backup',
      'link add port type veth peer name far',
      'link set far up',
      'link set port master eth0',
      'link set port up',
    ],
  },
  {
    title: 'veth in a VRF',
    pod: [...VETH, 'link add red type vrf table 1001', 'link set red up', 'link set eth0 master red'],
    inBrief,
  },
  tuntap('tun'),
  tuntap('tap'),
];

// With nobody at its other end it has no carrier, which the kernel notices when it goes down.
function tuntap(mode: string): LinkKind {
  return { title: mode, pod: [`tuntap add eth0 mode ${mode}`, 'link set eth0 up', 'link set eth0 down'] };
}

export const LINK_KINDS: readonly LinkKind[] = ALL_KINDS.filter((kind) => !BRIEF || kind.inBrief);

/** The VRF's table; the main one of the others. */
export const tableOf = ({ title }: LinkKind): number | 'main' => (title.includes('VRF') ? 1001 : 'main');

/**
 * Makes the interface in a node and a pod, both empty, with 10.244.1.5/24 and fd00:244:1::5/64, up. Returns why the kernel
 * has no such links, or false.
 */
export function makeLink(kind: LinkKind, node: Scratch, pod: Scratch): string | false {
  batch(node, UPLINK);
  try {
    if (kind.node !== undefined) batch(node, [...kind.node, `link set eth0 netns ${pod.name}`]);
    batch(pod, kind.pod ?? []);
  } catch (error) {
    if (isLack(error)) return `this kernel has no ${kind.title}`;
    throw error;
  }
  batch(pod, ['link set eth0 up', 'address add 10.244.1.5/24 dev eth0', 'address add fd00:244:1::5/64 dev eth0 nodad']);
  return false;
}

/** Why this kernel has no links of a type, as `ip link add type` takes it, or false. */
export function lacks(type: string): string | false {
  if (noNamespaces !== false) return noNamespaces;
  const name = `wm-${process.pid}-kind`;
  run('ip', ['netns', 'add', name]);
  try {
    batch({ name }, ['link add under type veth peer name far', `link add link under name made type ${type}`]);
    return false;
  } catch (error) {
    if (isLack(error)) return `this kernel has no ${type.split(' ')[0]}`;
    throw error;
  } finally {
    run('ip', ['netns', 'del', name]);
  }
}

function isLack(error: unknown): boolean {
  const { stderr = '' } = error as { stderr?: string };
  // The last is of tun, without /dev/net/tun.
  return /Unknown device type|Operation not supported|^open: No such file/.test(stderr);
}

/** Commands of ip(8), in one process. */
export function batch(
  { name }: { name: string },
  commands: readonly string[],
  options: readonly string[] = [],
): string {
  return run('ip', ['-n', name, ...options, '-batch', '-'], commands.join('\n'));
}
