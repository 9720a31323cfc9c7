import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { run, type Scratch, scratchFolder, scratchNamespace, settle } from '../namespaces/namespace.ts';
import { type Answer, type Env, executeIn, variables } from './call.ts';

// A node with uplinks and a pod on a veth pair, whose other end the node has. The plugin runs in the node's namespace.

/** The addresses of one family: the node's uplink, the pod, its gateway and the node again, as a host. */
export const FOUR = { uplink: '10.0.32.2/24', pod: '10.131.0.5/23', via: '10.131.0.1', host: '10.0.32.2' };
export const SIX = { uplink: 'fd00:32::2/64', pod: 'fd00:131::5/64', via: 'fd00:131::1', host: 'fd00:32::2' };
/** The route that the plugin adds for it, as `ip route show proto 87` prints it. */
export const ROUTE_4 = '10.0.32.2 via 10.131.0.1 dev eth0 ';
export const ROUTE_6 = 'fd00:32::2 via fd00:131::1 dev eth0 metric 1024 pref medium';
/** The node's default route. */
export const DEFAULT_4 = 'route add default via 10.0.32.1 dev uplink0';
export const DEFAULT_6 = '-6 route add default via fd00:32::1 dev uplink0';

/** A node, a pod, and calls of seamless-gateway for it. */
export type World = {
  node: Scratch;
  pod: Scratch;
  /** Calls the plugin; `keys` are those of its config. */
  ask(verb: string, keys?: object, env?: Env): Promise<Answer>;
  /** Our routes in the pod, as `ip route` prints them. */
  ours(): string[];
  /** The files of the journal. */
  journals(): string[];
};

/** `commands` are `ip`'s in the node, after its two uplinks are there. */
export function world(t: Test, commands: string[], podAddresses = [FOUR.pod]): World {
  const node = scratchNamespace(t);
  const pod = scratchNamespace(t);
  const dataDir = join(scratchFolder(t), 'data');
  for (const name of ['uplink0', 'uplink1']) {
    node.ip(`link add ${name} type veth peer name wire${name.at(-1)}`);
    node.ip(`link set wire${name.at(-1)} up`);
    node.ip(`link set ${name} up`);
  }
  node.ip(`link add pod0 type veth peer name eth0 netns ${pod.name}`);
  node.ip('link set pod0 up');
  pod.ip('link set eth0 up');
  for (const command of commands) node.ip(command);
  for (const address of podAddresses) pod.ip(`address add ${address} dev eth0`);
  for (const place of [node, pod]) settle(place);

  const print = (family: string) => pod.ip(`${family} route show proto 87`).split('\n').filter(Boolean);
  return {
    node,
    pod,
    ask: (verb, keys = {}, env = {}) => {
      const config = { cniVersion: '1.1.0', name: 'net', type: 'seamless-gateway', dataDir, ...keys };
      return executeIn(node, 'seamless-gateway', variables(verb, pod.path, env), config);
    },
    ours: () => [...print('-4'), ...print('-6')],
    journals: () => {
      const folder = join(dataDir, 'seamless-gateway');
      return existsSync(folder) ? readdirSync(folder) : [];
    },
  };
}

/** The command that gives the first uplink an address. */
export const address = (text: string, more = '') => `address add ${text} dev uplink0${more}`;
/** One address and a default route. */
export const USUAL = [address(FOUR.uplink), DEFAULT_4];
export const USUAL_6 = [address(SIX.uplink), DEFAULT_6];

/** Waits until the plugin has a socket in the pod and sleeps: then it has looked, and waits for what it has not found. */
export async function untilItWaits({ name }: Scratch): Promise<number> {
  for (;;) {
    const table = run('ip', ['netns', 'exec', name, 'cat', '/proc/net/netlink']);
    // The columns are sk, Eth (0 is rtnetlink), Pid, which is the process id for its first socket, and others.
    const pids = table.split('\n').flatMap((line) => /^\S+ +0 +([1-9]\d*) /.exec(line)?.[1] ?? []);
    const asleep = pids.find((pid) => stateOf(pid) === 'S');
    if (asleep !== undefined) return Number(asleep);
    await pause(20);
  }
}

function stateOf(pid: string): string | undefined {
  try {
    return /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Addresses of both families for the pod. */
export const BOTH = [FOUR.pod, SIX.pod];
/** The route to a host address, as `ip` prints it. */
export const via = (host: string) => `${host} via 10.131.0.1 dev eth0 `;
