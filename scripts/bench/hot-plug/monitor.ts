import { createInterface } from 'node:readline';
import type { Cluster } from '../../cluster/cluster.ts';
import type { ClusterNode } from '../../cluster/node.ts';
import { start } from '../../cluster/process.ts';

// When links and addresses came and went in a pod, by `ip monitor` in its namespace.

type Shown = { ifname: string; address: string; addr_info: { local: string; scope: string }[] };

/** The links of a pod other than `lo` and `eth0`, each with its addresses, as `ip -j` prints them. */
export function linksIn(node: ClusterNode, namespace: string): Map<string, { mac: string; ips: string[] }> {
  const shown = JSON.parse(node.run(['ip', '-j', '-n', namespace, 'address'])) as Shown[];
  return new Map(
    shown
      .filter(({ ifname }) => ifname !== 'lo' && ifname !== 'eth0')
      .map(({ ifname, address, addr_info }) => [
        ifname,
        { mac: address, ips: addr_info.filter(({ scope }) => scope === 'global').map(({ local }) => local) },
      ]),
  );
}

/** The name of a pod's namespace on its node, which its primary address tells from the others. */
export function namespaceOf(cluster: Cluster, node: ClusterNode, pod: string): string {
  const address = cluster.kubectl(['get', 'pod', pod, '-o', 'jsonpath={.status.podIP}']);
  const script =
    'for name in $(ls /run/netns); do ip -n "$name" -o -4 address | grep -q " $0/" && echo "$name"; done; true';
  const [name = ''] = node.run(['sh', '-c', script, address]).trim().split('\n');
  if (name === '') throw new Error(`no namespace has ${address}`);
  return name;
}

/** Follows a namespace until it is closed. */
export class Monitor {
  readonly #child;
  readonly #waiting = new Set<(line: string, time: number) => void>();

  constructor(node: ClusterNode, namespace: string) {
    const enter = ['nsenter', '--target', node.pid, '--mount', '--net', '--'];
    const stdbuf = ['stdbuf', '-oL'];
    this.#child = start([...enter, ...stdbuf, 'ip', '-n', namespace, '-tshort', '-o', 'monitor', 'link', 'address'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TZ: 'UTC' },
    });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('no output of ip monitor');
    createInterface({ input: stdout }).on('line', (line) => {
      const [, stamp = '', what = ''] = /^\[([^\]]+)\] ?(.*)$/.exec(line) ?? [];
      const time = Date.parse(`${stamp.slice(0, 23)}Z`) + Number(`0.${stamp.slice(23) || 0}`);
      for (const look of this.#waiting) look(what, time);
    });
  }

  /** The time, in milliseconds since the epoch, of the next line that matches. Throws after that many seconds. */
  next(pattern: RegExp, seconds: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const done = (settle: () => void) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        settle();
      };
      const look = (line: string, time: number) => pattern.test(line) && done(() => resolve(time));
      const timer = setTimeout(() => done(() => reject(new Error(`nothing like ${pattern}`))), seconds * 1000);
      this.#waiting.add(look);
    });
  }

  close(): void {
    this.#child.kill();
  }
}
