import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** A network namespace of a test's own. It is deleted, with everything in it, when the test ends, however it ends. */
export type Scratch = {
  readonly name: string;
  /** The path, for CNI_NETNS. */
  readonly path: string;
  /** Runs `ip` in the namespace: `ip('link add eth0 type veth peer name eth1')`. */
  ip(command: string): string;
  /** The output of `ip -j` there. */
  ipJson(command: string): { [key: string]: unknown }[];
  /** Every route of both families and all tables, as `ip -j -d route` prints it, to compare before and after. */
  routes(): string;
  /** Deletes it now. What else holds the namespace keeps it in existence. */
  remove(): void;
};

/** Why the tests that need namespaces cannot run here, or false. For tap's `skip`. */
export const noNamespaces: string | false =
  process.getuid?.() !== 0 ? 'needs root' : !works('ip', ['-V']) ? 'needs iproute2' : false;

let count = 0;

/** An empty namespace with `lo` up. */
export function scratchNamespace(t: Test): Scratch {
  if (count === 0) removeLeftovers();
  const name = `wm-${process.pid}-${++count}`;
  run('ip', ['netns', 'add', name]);
  let isThere = true;
  const remove = () => {
    if (isThere) run('ip', ['netns', 'del', name]);
    isThere = false;
  };
  t.teardown(remove);
  // Addresses are usable immediately, instead of after a second or two of duplicate address detection.
  run('ip', [
    'netns',
    'exec',
    name,
    'sh',
    '-c',
    'for c in all default; do echo 0 >/proc/sys/net/ipv6/conf/$c/accept_dad; done; ip link set lo up',
  ]);
  seedHash(name);
  return {
    name,
    path: `/run/netns/${name}`,
    ip: (command) => run('ip', ['-n', name, ...command.split(' ')]),
    ipJson: (command) => JSON.parse(run('ip', ['-n', name, '-j', ...command.split(' ')]) || '[]'),
    routes: () => {
      settle({ name });
      return run('ip', ['-n', name, '-j', '-d', 'route', 'show', 'table', 'all']);
    },
    remove,
  };
}

// A test that is killed leaves its namespaces, which have its process ID in their names, to the next one that needs some.
function removeLeftovers(): void {
  for (const name of existsSync('/run/netns') ? readdirSync('/run/netns') : []) {
    const pid = /^wm-(\d+)-/.exec(name)?.[1];
    // Another test may remove it at the same time.
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) spawnSync('ip', ['netns', 'del', name]);
  }
}

// `npm run vary` has the kernel's hash over next hops as another boot would have it.
function seedHash(name: string): void {
  const seed = process.env.WAYMARK_TEST_HASH_SEED;
  if (seed === undefined) return;
  const file = '/proc/sys/net/ipv4/fib_multipath_hash_seed';
  run('ip', ['netns', 'exec', name, 'sh', '-c', `[ ! -e ${file} ] || echo ${Number(seed)} >${file}`]);
}

/**
 * Waits until the kernel has done what it does by itself some time after a command: the state of links, their link-local
 * addresses and multicast routes, duplicate address detection and the routes of addresses. Throws if that takes minutes.
 */
export function settle({ name }: { name: string }): void {
  for (const end = Date.now() + 120_000; Date.now() < end; ) {
    const [up = [], routes = [], addresses = []] = run('ip', ['-n', name, ...BATCH], QUESTIONS)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    if (up.every((link: Link) => isSettled(link, routes, addresses))) return;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
  throw new Error(`the links do not settle:\n${run('ip', ['-n', name, '-d', 'address'])}`);
}

// In one process, because tests ask hundreds of times. Each answer is a line.
const BATCH = ['-6', '-d', '-j', '-batch', '-'];
const QUESTIONS = ['link show up', 'route show table local', 'address show'].join('\n');

// What `ip -j` prints; of a link that is not shown, it prints an empty object.
type Link = {
  ifname: string;
  flags?: string[];
  operstate: string;
  linkinfo?: { info_kind?: string; info_slave_kind?: string };
  inet6_addr_gen_mode?: string;
};
type LocalRoute = { dst: string; dev: string };
type LinkAddresses = { ifname: string; addr_info?: { local: string; scope: string; tentative?: true }[] };

function isSettled(link: Link, routes: LocalRoute[], addresses: LinkAddresses[]): boolean {
  const { ifname, flags, operstate, linkinfo, inet6_addr_gen_mode: mode } = link;
  if (flags === undefined || flags.includes('LOOPBACK')) return true;
  if (!flags.includes('LOWER_UP')) return operstate !== 'UP';
  const own = addresses.find((entry) => entry.ifname === ifname)?.addr_info ?? [];
  // Those of a port of a VRF are in its table.
  const isInVrf = linkinfo?.info_slave_kind === 'vrf';
  const hasRoute = (to: string) => isInVrf || routes.some(({ dst, dev }) => dst === to && dev === ifname);
  // Neither a port of a bond nor a VRF gets a link-local address.
  const hasNone = mode === 'none' || flags.includes('SLAVE') || linkinfo?.info_kind === 'vrf';
  return (
    // Of links of some other kinds it stays unknown.
    (operstate === 'UP' || (operstate === 'UNKNOWN' && linkinfo?.info_kind !== 'veth')) &&
    own.every(({ local, tentative }) => !tentative && hasRoute(local)) &&
    (hasNone || (own.some(({ scope }) => scope === 'link') && hasRoute('ff00::/8')))
  );
}

/** A pod, and the index of its link `eth0`, which keeps it when it gets another name. */
export type ScratchPod = Scratch & { readonly eth0: number };

// Which of the two comes first is chance on a node; `npm run vary` has it the other way round.
const [PAIR, ETH0] =
  process.env.WAYMARK_TEST_LINKS === 'reversed'
    ? (['link add peer type veth peer name eth0', 2] as const)
    : (['link add eth0 type veth peer name peer', 3] as const);

const POD = [
  PAIR,
  'link set peer up',
  'link set eth0 up',
  'address add 10.244.1.5/24 dev eth0',
  'address add fd00:244:1::5/64 dev eth0 nodad',
];

/**
 * A pod as the plugins before ours leave it: `eth0` with 10.244.1.5/24 and fd00:244:1::5/64, and the other end of the pair
 * (`peer`, in the same namespace) up, so that `eth0` has a carrier. Addresses are usable immediately (nodad).
 */
export function scratchPod(t: Test): ScratchPod {
  const pod = scratchNamespace(t);
  run('ip', ['-n', pod.name, '-batch', '-'], POD.join('\n'));
  settle(pod);
  return { ...pod, eth0: ETH0 };
}

/** A folder that is deleted when the test ends. */
export function scratchFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'waymark-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs a program and returns its stdout. Throws with its stderr if it fails. */
export function run(program: string, args: string[], input?: string): string {
  return execFileSync(program, args, {
    encoding: 'utf8',
    input: input ?? '',
    stdio: ['pipe', 'pipe', 'pipe'],
    maxBuffer: 1 << 28,
  });
}

/** Can this program run at all? */
export function works(program: string, args: string[]): boolean {
  try {
    run(program, args);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}
