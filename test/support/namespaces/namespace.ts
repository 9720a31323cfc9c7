import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
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
    'for c in all default; do echo 0 >/proc/sys/net/ipv6/conf/$c/accept_dad; done',
  ]);
  const ip = (command: string) => run('ip', ['-n', name, ...command.split(' ')]);
  ip('link set lo up');
  return {
    name,
    path: `/run/netns/${name}`,
    ip,
    ipJson: (command) => JSON.parse(run('ip', ['-n', name, '-j', ...command.split(' ')]) || '[]'),
    routes: () => {
      waitForKernel(ip);
      return ['-4', '-6']
        .map((family) => run('ip', ['-n', name, '-j', '-d', family, 'route', 'show', 'table', 'all']))
        .join('\n');
    },
    remove,
  };
}

/**
 * Waits until the kernel has given every link with a carrier its link-local address and multicast route, which takes some
 * time after the link is up. If a link gets none, this waits for half a second.
 */
function waitForKernel(ip: Scratch['ip']): void {
  for (let i = 0; i < 25; i++) {
    const links = ip('-o link show up')
      .split('\n')
      .filter((line) => /[<,]LOWER_UP/.test(line) && !line.includes('LOOPBACK'))
      .map((line) => /^\d+: ([^@:]+)/.exec(line)?.[1]);
    const multicast = ip('-6 route show table local ff00::/8');
    if (links.every((link) => multicast.includes(` dev ${link} `)) && !ip('-6 address show tentative')) {
      const local = ip('-o -6 address show scope link');
      if (links.every((link) => local.includes(` ${link} `))) return;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
}

/**
 * A pod as the plugins before ours leave it: `eth0` with 10.244.1.5/24 and fd00:244:1::5/64, and the other end of the pair
 * (`peer`, in the same namespace) up, so that `eth0` has a carrier. Addresses are usable immediately (nodad).
 */
export function scratchPod(t: Test): Scratch {
  const pod = scratchNamespace(t);
  pod.ip('link add eth0 type veth peer name peer');
  pod.ip('link set peer up');
  pod.ip('link set eth0 up');
  pod.ip('address add 10.244.1.5/24 dev eth0');
  pod.ip('address add fd00:244:1::5/64 dev eth0 nodad');
  settle(pod);
  return pod;
}

/** Waits until no address is tentative any more, so that the tables are stable. */
function settle(pod: Scratch): void {
  for (let i = 0; i < 100; i++) {
    if (!pod.ip('-6 address show').includes('tentative')) return;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
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
