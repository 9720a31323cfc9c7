import type { Cluster } from '../../../scripts/cluster/cluster.ts';
import type { ClusterNode } from '../../../scripts/cluster/node.ts';
import { until } from '../../../scripts/cluster/process.ts';
import { eventOf, get } from '../cluster/objects.ts';
import { type Fault, scrape } from './observe.ts';
import { end, start } from './pods.ts';

// Faults of the node's agent. Pods start meanwhile, slowly.

const SLOW = 'Pods start slowly on a node';
const AGENT = '^/opt/waymark/bin/waymark agent';

export const sh = (node: ClusterNode, script: string) => node.run(['sh', '-c', script]);

/** Waits until a series of the agent has a value; undefined for an agent that does not answer. */
export async function untilMetric(node: ClusterNode, series: RegExp, value: string): Promise<void> {
  await until(`${series} is ${value}`, () => {
    const found = Object.entries(scrape(node) ?? {}).filter(([name]) => series.test(name));
    if (found.length === 0) throw new Error('no such series');
    return found.every((entry) => entry[1] === value);
  });
}

async function untilFound(node: ClusterNode): Promise<void> {
  await untilMetric(node, /^waymark_socket_answers/, '1');
  const ready = ['busybox', 'wget', '-q', '-O-', 'http://127.0.0.1:9476/readyz'];
  await until('the agent is ready', () => node.end(ready).status === 0);
}

function agentPod(cluster: Cluster): string {
  return get(cluster, '-n=waymark', 'pods')[0]?.metadata.name ?? '';
}

export const socketRemoved = (cluster: Cluster): Fault => {
  const node = cluster.node('node-1');
  const loop = 'echo $$ >/run/remover.pid; while :; do rm -f /run/waymark/agent.sock; sleep 0.05; done';
  return {
    name: 'socket removed',
    made: 'something removes it again and again; once, and the agent has it back within five seconds',
    make: () => {
      sh(node, `setsid sh -c '${loop}' >/dev/null 2>&1 &`);
      return start(cluster, 'green', 'slow-1', 'slow-2', 'slow-3');
    },
    shows: /no agent answers/,
    mend: async () => {
      sh(node, 'kill "$(cat /run/remover.pid)"');
      await untilFound(node);
      end(cluster, 'slow-1', 'slow-2', 'slow-3');
    },
    alerts: ['WaymarkFallbacks'],
    // For a moment, when it looks.
    perhaps: ['WaymarkAgentDeaf'],
    remedy: SLOW,
  };
};

export const secondAgent = (cluster: Cluster): Fault => {
  const node = cluster.node('node-1');
  return {
    name: 'second agent',
    made: 'somebody starts `waymark agent` by hand, beside the DaemonSet’s',
    make: async () => {
      sh(node, 'setsid /opt/cni/bin/waymark agent >/run/second.log 2>&1 & echo $! >/run/second.pid');
      await untilMetric(node, /^waymark_socket_answers/, '0');
      return eventOf(cluster, agentPod(cluster), /^Readiness probe failed: .*503/, 'waymark');
    },
    of: 'the agent’s pod',
    mend: async () => {
      sh(node, 'kill "$(cat /run/second.pid)"');
      await untilFound(node);
    },
    alerts: ['WaymarkAgentDeaf'],
    remedy: 'The agent is not ready',
  };
};

export const agentHung = (cluster: Cluster): Fault => {
  const node = cluster.node('node-1');
  return {
    name: 'agent hung',
    made: 'its process is stopped (SIGSTOP); after three failures of its liveness probe, within a minute, the kubelet restarts it',
    make: async () => {
      node.run(['pkill', '-STOP', '-f', AGENT]);
      return eventOf(
        cluster,
        agentPod(cluster),
        /^Readiness probe failed: Get "[^"]+:9476\/.*(deadline|Client\.Timeout) exceeded/,
        'waymark',
      );
    },
    of: 'the agent’s pod',
    mend: async () => {
      node.run(['pkill', '-CONT', '-f', AGENT]);
      await untilFound(node);
    },
    alerts: ['WaymarkAgentDown'],
    remedy: SLOW,
  };
};

/** The lowest number that the agent has no descriptor of becomes its limit: it can open nothing any more. */
const EXHAUST = `pid=$(pgrep -f '${AGENT}'); n=0
  while [ -e "/proc/$pid/fd/$n" ]; do n=$((n + 1)); done
  prlimit --pid "$pid" --nofile="$n:"`;
const ALL_IN_USE = "echo '1000000 0 1000000' >/run/file-nr && mount --bind /run/file-nr /proc/sys/fs/file-nr";

export const outOfDescriptors = (cluster: Cluster): Fault => {
  const node = cluster.node('node-1');
  return {
    name: 'node out of file descriptors',
    made: 'stand-in, since the limit is the whole machine’s: the agent’s own limit is what it has open, and `/proc/sys/fs/file-nr` says that all are in use',
    make: async () => {
      // Again, as long as it closes what it had open then.
      await until('the agent can open nothing', () => {
        sh(node, EXHAUST);
        return scrape(node) === undefined;
      });
      sh(node, ALL_IN_USE);
      return start(cluster, 'green', 'slow-4');
    },
    shows: /open files|no agent answers/,
    mend: async () => {
      sh(node, `umount /proc/sys/fs/file-nr; prlimit --pid "$(pgrep -f '${AGENT}')" --nofile=1024:`);
      await untilFound(node);
      end(cluster, 'slow-4');
    },
    alerts: ['WaymarkAgentDown'],
    remedy: 'Too many open files',
  };
};
