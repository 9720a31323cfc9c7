import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { run } from '../namespaces/namespace.ts';

// Many pods, identical except for their names, so that one shows what another must look like.

export type ManyPods = {
  /** The namespaces, as in CNI_NETNS. */
  readonly paths: readonly string[];
  /** The output of `ip` for a pod's links, addresses and routes. */
  state(path: string): string;
  /** Runs commands of `ip` in a pod. */
  ip(path: string, commands: readonly string[]): void;
  /** Removes all of them; the end of the test does so too. */
  remove(): void;
};

let sets = 0;

/**
 * Creates pods whose `eth0` has 10.131.0.5/23 and fd00:131::5/64, and waits until their state is stable. The other end of
 * each pair is in the pod too; with `node` it is in that namespace, and disappears when the pod's namespace is really gone.
 */
export async function makePods(t: Test, count: number, node?: { name: string }): Promise<ManyPods> {
  const set = `wm-${process.pid}-many-${++sets}`;
  const names = Array.from({ length: count }, (_, i) => `${set}-${i}`);
  let present: readonly string[] = names;
  const remove = () => {
    batch(
      [],
      present.map((name) => `netns del ${name}`),
    );
    present = [];
  };
  t.teardown(remove);
  batch(
    [],
    names.map((name) => `netns add ${name}`),
  );
  for (const [i, name] of names.entries()) batch(['-n', name], podCommands(i, node?.name));
  if (node !== undefined) {
    batch(
      ['-n', node.name],
      names.map((_, i) => `link set pod${i} up`),
    );
  }

  const state = (path: string) => stateOf(nameOf(path));
  for (const name of names) {
    while (JSON.parse(run('ip', ['-n', name, '-j', 'link', 'show', 'eth0']))[0].operstate !== 'UP') await sleep(20);
    // The kernel adds it some time after the address.
    while (run('ip', ['-n', name, '-6', 'route', 'show', 'table', 'local', 'fd00:131::5']) === '') await sleep(20);
  }
  const paths = names.map((name) => `/run/netns/${name}`);
  return { paths, state, remove, ip: (path, commands) => batch(['-n', nameOf(path)], commands) };
}

function podCommands(index: number, node: string | undefined): string[] {
  const peer = node === undefined ? 'peer' : `pod${index} netns ${node}`;
  return [
    'link set lo up',
    `link add eth0 address 02:00:00:00:00:10 type veth peer address 02:00:00:00:00:11 name ${peer}`,
    'link set eth0 addrgenmode none',
    ...(node === undefined ? ['link set peer addrgenmode none', 'link set peer up'] : []),
    'link set eth0 up',
    'address add 10.131.0.5/23 dev eth0',
    'address add fd00:131::5/64 dev eth0 nodad',
  ];
}

// The kernel lists a table's IPv6 routes in no particular order.
function stateOf(name: string): string {
  const printed = batch(['-n', name, '-j', '-d'], ['link show', 'address show', 'route show table all']);
  const [links, addresses, routes] = printed.trim().split('\n');
  const sorted = JSON.parse(routes ?? '').map((route: object) => JSON.stringify(route));
  return [links, addresses, ...sorted.sort()].join('\n');
}

function batch(options: readonly string[], commands: readonly string[]): string {
  return run('ip', [...options, '-batch', '-'], commands.map((command) => `${command}\n`).join(''));
}

function nameOf(path: string): string {
  return path.slice('/run/netns/'.length);
}
