import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { PathOf } from '../../lib/cni/place.ts';
import type { Multus } from './facts.ts';
import { namesIn, processesOf, textOf } from './readable.ts';

const DAEMON = 'multus-daemon';
const SHIM = 'multus-shim';
const PLUGIN = 'multus';

/** The kubelet's folder with the logs of containers, `<namespace>_<pod>_<uid>/<container>/<restarts>.log`. */
const LOGS = '/var/log/pods';

/** The node's, and where its files are as seen from here. */
type NodeFolders = { readonly binDir: string; readonly netDir: string; readonly pathOf: PathOf };

/** What a node has of Multus, with the processes that are its daemon. */
export function multusOn(
  { binDir, netDir, pathOf }: NodeFolders,
  [daemon] = processesOf((program) => program === DAEMON),
): Multus {
  const lists = namesIn(pathOf(netDir)).map((name) => textOf(join(pathOf(netDir), name)));
  const types = lists.flatMap((text) => [...text.matchAll(/"type"\s*:\s*"([^"]+)"/g)].map(([, type]) => type));
  const isThick = daemon !== undefined || types.includes(SHIM);
  return {
    kind: isThick ? 'thick' : types.includes(PLUGIN) ? 'thin' : undefined,
    isInList: [SHIM, PLUGIN, 'multi-network'].some((type) => types.includes(type)),
    isInstalled: [SHIM, PLUGIN].some((name) => existsSync(join(pathOf(binDir), name))),
    hasDaemon: daemon !== undefined,
    memoryLimit: daemon === undefined ? undefined : memoryLimitOf(daemon, pathOf),
    ...restarts(pathOf),
  };
}

function memoryLimitOf(pid: number, pathOf: PathOf): number | undefined {
  const groups = textOf(`/proc/${pid}/cgroup`);
  const [, unified] = /^0::(.*)$/m.exec(groups) ?? [];
  const [, first] = /^\d+:memory:(.*)$/m.exec(groups) ?? [];
  const text =
    textOf(pathOf(`/sys/fs/cgroup${unified ?? ''}/memory.max`)) ||
    textOf(pathOf(`/sys/fs/cgroup/memory${first ?? ''}/memory.limit_in_bytes`));
  const bytes = Number.parseInt(text, 10);
  return Number.isNaN(bytes) ? undefined : bytes;
}

// Why it ended is not in its log if the kernel killed it. The log of the container before was last written then.
function restarts(pathOf: PathOf): { restarts: number; lastEnd?: number } {
  const containers = namesIn(pathOf(LOGS))
    .filter((pod) => /^[^_]+_[^_]*multus/.test(pod))
    .flatMap((pod) => namesIn(pathOf(join(LOGS, pod))).map((container) => join(LOGS, pod, container)));
  const logs = containers.map((folder) => {
    const numbers = namesIn(pathOf(folder)).flatMap((name) => /^(\d+)\.log$/.exec(name)?.[1] ?? []);
    const last = Math.max(0, ...numbers.map(Number));
    const lastEnd = statSync(pathOf(join(folder, `${last - 1}.log`)), { throwIfNoEntry: false })?.mtimeMs;
    return { restarts: last, ...(lastEnd !== undefined && { lastEnd }) };
  });
  return logs.toSorted((a, b) => b.restarts - a.restarts)[0] ?? { restarts: 0 };
}
