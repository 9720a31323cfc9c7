import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rollout } from '../../../scripts/cluster/addons.ts';
import type { Cluster } from '../../../scripts/cluster/cluster.ts';
import type { ClusterNode } from '../../../scripts/cluster/node.ts';
import { until } from '../../../scripts/cluster/process.ts';
import { killAgent, podRoutes, untilListIsRead } from '../cluster/node-state.ts';
import { apply, eventOf, get, podOf, remove } from '../cluster/objects.ts';
import { sh, untilMetric } from './agent.ts';
import type { Fault } from './observe.ts';
import { bridge, end, network, refused, start } from './pods.ts';

// Faults of the node's files, of what is left of pods, and of Multus.

/** What is mounted over a file, the agent sees no more than it sees other mounts of the node: else it would put the file back. */
function mountOver(cluster: Cluster, name: string): void {
  sh(cluster.node('node-1'), `mount --bind /opt/cni/bin/.instead /opt/cni/bin/${name}`);
}

function unmount(cluster: Cluster, name: string): void {
  sh(cluster.node('node-1'), `umount /opt/cni/bin/${name} && rm /opt/cni/bin/.instead`);
}

export const olderExecutable = (cluster: Cluster, older: string): Fault => {
  const node = cluster.node('node-1');
  return {
    name: 'executable replaced by an older one',
    made: 'the shim of an earlier version is mounted over `static-route`; if it is put there, the agent has put the right one back within a second, with a line in its log',
    make: async () => {
      cpSync(older, join(node.disk, 'opt/cni/bin/.instead'));
      mountOver(cluster, 'static-route');
      return start(cluster, 'green', 'older');
    },
    mend: async () => {
      unmount(cluster, 'static-route');
      end(cluster, 'older');
    },
    alerts: [],
    remedy: 'The executables are not what was installed',
  };
};

export const readOnlyFolder = (cluster: Cluster): Fault => {
  const node = cluster.node('node-1');
  return {
    name: 'CNI folder read-only',
    made: '`/opt/cni/bin` of the node is mounted read-only',
    make: () => {
      sh(node, 'mount --bind /opt/cni/bin /opt/cni/bin && mount -o remount,bind,ro /opt/cni/bin');
      return start(cluster, 'green', 'unchanged');
    },
    mend: async () => {
      node.run(['umount', '/opt/cni/bin']);
      end(cluster, 'unchanged');
    },
    alerts: [],
    remedy: 'The executables are not what was installed',
  };
};

const ROOT = join(import.meta.dirname, '../../..');
// The tree is the node's too, read-only.
const ON_OLD_KERNEL = `${process.execPath} --import=${ROOT}/test/support/namespaces/kernel-5.4.ts`;
const WRAPPER = `#!/bin/sh\nexec ${ON_OLD_KERNEL} ${ROOT}/plugins/consistent-ifname/process.ts\n`;

export const oldKernel = (cluster: Cluster): Fault => {
  const node = cluster.node('node-1');
  let isMade = false;
  const { make, mend } = refused(cluster, podOf('unnamed', 'named'), /altname/, [
    network('named', bridge('named', '10.165.0.0/24'), { type: 'consistent-ifname', mode: 'altname' }),
  ]);
  return {
    name: 'kernel without altnames',
    made: 'stand-in, since a kernel cannot be swapped: plugin and doctor run in a process whose requests for altnames are refused as Linux 5.4 does, and whose `uname` says so; with the agent, the alert would be WaymarkErrors',
    make: async () => {
      writeFileSync(join(node.disk, 'opt/cni/bin/.instead'), WRAPPER, { mode: 0o755 });
      mountOver(cluster, 'consistent-ifname');
      isMade = true;
      return make();
    },
    doctor: (args) => {
      const command = isMade ? [...ON_OLD_KERNEL.split(' '), `${ROOT}/cli/process.ts`] : ['/opt/cni/bin/waymark'];
      return node.end([...command, ...args]);
    },
    // It sees the stand-in too.
    shows: /kernel/,
    mend: async () => {
      await mend();
      unmount(cluster, 'consistent-ifname');
    },
    alerts: [],
    remedy: 'The kernel is too old',
  };
};

/** It stays full, also when somebody removes something. */
const FILL = `mount -o "remount,size=$(df -k /run | awk 'NR == 2 { print $3 + 64 }')k" /run
  setsid sh -c 'echo $$ >/run/filler.pid; while :; do head -c 1M /dev/zero >>/run/filler; sleep 0.05; done' >/dev/null 2>&1 &
  until [ "$(df -k /run | awk 'NR == 2 { print $4 }')" = 0 ]; do sleep 0.1; done`;
const EMPTY = 'kill "$(cat /run/filler.pid)"; rm /run/filler; mount -o remount,size=50% /run';

export const fullRun = (cluster: Cluster): Fault => {
  const node = cluster.node('node-1');
  const pod = podOf('crowded', 'green');
  return {
    name: 'full `/run`',
    made: 'its file system has no block left',
    make: () => {
      sh(node, FILL);
      apply(cluster, pod);
      return eventOf(cluster, 'crowded', /ENOSPC|no space left/);
    },
    mend: async () => {
      sh(node, EMPTY);
      remove(cluster, pod);
    },
    alerts: ['WaymarkErrors'],
    remedy: 'Every pod of a node fails, or hangs in Terminating',
  };
};

/** A pod on `green` that runs all the time; nobody else on the node has routes of ours when these faults are made. */
export const VICTIM = 'victim';
const ROUTE = '10.10.0.0/16';

function victimsNamespace(cluster: Cluster): string {
  const [name] = Object.entries(podRoutes(cluster.node('node-1'))).find(([, routes]) => routes.length > 0) ?? [];
  if (name === undefined) throw new Error('no pod has routes of ours');
  return name;
}

export const drift = (cluster: Cluster): Fault => {
  const node = cluster.node('node-1');
  const ip = (what: string) => sh(node, `ip -n ${victimsNamespace(cluster)} route ${what}`);
  let route = '';
  return {
    name: 'drift',
    made: `somebody deletes the route to ${ROUTE} in a pod that runs; with \`--node\` the agent would put it back, without it looks every five minutes, and when it starts`,
    make: async () => {
      route = ip(`show ${ROUTE}`).trim();
      ip(`del ${ROUTE}`);
      await restartAgent(node);
      await untilMetric(node, /^waymark_attachments\{.*drift/, '1');
      return undefined;
    },
    mend: async () => {
      ip(`add ${route}`);
      await restartAgent(node);
      await untilMetric(node, /^waymark_attachments\{.*drift/, '0');
    },
    alerts: ['WaymarkDrift'],
    remedy: 'A pod runs, but a route is missing',
  };
};

// It looks at the files that it installs before it is ready.
async function restartAgent(node: ClusterNode): Promise<void> {
  await killAgent(node);
  await untilMetric(node, /^waymark_installed/, '1');
}

const JOURNAL = '/run/waymark/static-route/*.json';

export const clockJump = (cluster: Cluster): Fault => {
  const node = cluster.node('node-1');
  return {
    name: 'clock jump',
    made: 'stand-in, since a kernel has one clock for all: the journal of a pod that runs was written a century later',
    make: async () => {
      sh(node, `sed -i 's/"time":"20/"time":"21/' ${JOURNAL}`);
      return undefined;
    },
    mend: async () => sh(node, `sed -i 's/"time":"21/"time":"20/' ${JOURNAL}`),
    alerts: [],
    remedy: 'The node’s clock is wrong',
  };
};

export const damagedJournal = (cluster: Cluster): Fault => {
  const node = cluster.node('node-1');
  return {
    name: 'journal damaged',
    made: 'the end of the journal of a pod that runs is missing; the pod can be deleted nevertheless',
    make: async () => {
      sh(node, `truncate -s -20 ${JOURNAL}`);
      return undefined;
    },
    mend: async () => end(cluster, VICTIM),
    alerts: [],
    remedy: 'A damaged journal',
  };
};

const DAEMON = ['-n=kube-system', 'daemonset', 'kube-multus-ds'];
const isMultusThere = (cluster: Cluster) => get(cluster, '-n=kube-system', 'pods', '-l=app=multus').length > 0;

export const multusDown = (cluster: Cluster): Fault => {
  const node = cluster.node('node-1');
  const select = (nodes: object | null) => {
    const patch = JSON.stringify({ spec: { template: { spec: { nodeSelector: nodes } } } });
    cluster.kubectl(['patch', ...DAEMON, '--type=merge', '-p', patch]);
  };
  return {
    name: 'Multus down',
    made: 'its DaemonSet has no pod on the node; a pod that selects `green` starts, without it',
    make: async () => {
      select({ 'no-such': 'node' });
      await until('Multus is gone', () => !isMultusThere(cluster));
      await untilListIsRead(node);
      return start(cluster, 'green', 'alone');
    },
    mend: async () => {
      // By the list with which it came, or containerd's cached result stays.
      end(cluster, 'alone');
      select(null);
      await rollout(cluster, 'kube-system', 'kube-multus-ds');
      await until('Multus’ list is there', () => sh(node, 'ls /etc/cni/net.d').includes('multus'));
      await untilListIsRead(node);
    },
    alerts: [],
    remedy: 'A pod runs, but without its networks',
  };
};
