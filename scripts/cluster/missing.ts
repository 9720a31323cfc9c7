import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PROGRAMS, ROOT } from './folder.ts';
import { end } from './process.ts';

// Why no cluster can be started on this machine.

const TOOLS: readonly (readonly [tool: string, ...args: string[]])[] = [
  ['unshare', '--version'],
  ['nsenter', '--version'],
  ['ip', '-V'],
  ['openssl', 'version'],
  ['containerd', '--version'],
  ['runc', '--version'],
  ['umoci', '--version'],
  ['busybox', 'true'],
];

/** What a cluster lacks here, in words, or false. */
export function missingForCluster(): string | false {
  if (process.getuid?.() !== 0) return 'a cluster needs root';
  if (!existsSync('/sys/fs/cgroup/memory/cgroup.procs')) return 'a cluster needs the control groups of version 1';
  const tools = TOOLS.filter((command) => !works(command)).map(([tool]) => tool);
  if (tools.length > 0) return `a cluster needs ${tools.join(', ')}`;
  if (!existsSync(join(PROGRAMS, 'kube-apiserver'))) {
    return works(['go', 'version']) ? 'Kubernetes could not be built: see scripts/setup.sh' : 'a cluster needs Go';
  }
  if (!existsSync(join(ROOT, '.tools/etcd/etcd'))) return 'a cluster needs etcd: see scripts/setup.sh';
  if (!works(['unshare', '--mount', '--net', '--pid', '--cgroup', '--fork', 'true']))
    return 'a cluster needs namespaces';
  return false;
}

function works(command: readonly string[]): boolean {
  try {
    return end(command, { timeoutSeconds: 20 }).status === 0;
  } catch {
    return false;
  }
}
