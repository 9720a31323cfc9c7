import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster } from '../../cluster/cluster.ts';

/**
 * What comes of some work on a cluster, which is gone then. Without `cpuLimits` its containers may use as much of the processor
 * as there is.
 */
export async function withCluster<T>(
  nodes: number,
  work: (cluster: Cluster) => Promise<T>,
  { cpuLimits = false } = {},
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'waymark-cluster-'));
  const cluster = await Cluster.start(folder, { nodes, owned: true, cpuLimits });
  try {
    return await work(cluster);
  } finally {
    await cluster.down();
    rmSync(folder, { recursive: true, force: true });
  }
}
