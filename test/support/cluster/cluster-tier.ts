import { cpSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { installMultus, installWaymark, type MultusKind, multusFolder } from '../../../scripts/cluster/addons.ts';
import { Cluster } from '../../../scripts/cluster/cluster.ts';
import { ROOT } from '../../../scripts/cluster/folder.ts';
import { missingForCluster } from '../../../scripts/cluster/missing.ts';
import { untilListIsRead } from './node-state.ts';

/** Tests of a file, on a cluster that they share. */
export type ClusterTier = (
  title: string,
  body: (t: Test, cluster: Cluster) => Promise<void>,
  options?: { skip?: string | false },
) => Promise<unknown>;

/**
 * What a file's cluster has. Without `cpuLimits`, installer, agent and Multus do not wait for the tenth of a processor that
 * their manifests give them.
 */
export type ClusterParts = { nodes: number; multus?: MultusKind; waymark?: string; cpuLimits?: boolean };

/** A file takes two or three minutes on two quiet cores. Each of its waits has a deadline of its own. */
const FILE_MINUTES = 40;

/**
 * A cluster for the tests of a file, which goes with the test's process. Where this machine cannot have one, the tests are
 * skipped with the reason; whatever fails after that is a failure. A test that fails shows what the services said last.
 */
export async function clusterTier(
  t: Test,
  { nodes, multus, waymark, cpuLimits = false }: ClusterParts,
  prepare: (cluster: Cluster) => void | Promise<void> = () => undefined,
): Promise<ClusterTier> {
  const missing = missingForCluster() || (multus !== undefined && missingMultus());
  if (missing) return async (title) => t.test(title, { skip: missing }, async () => undefined);

  t.setTimeout(FILE_MINUTES * 60_000);
  const begin = Date.now();
  const folder = mkdtempSync(join(tmpdir(), 'waymark-cluster-'));
  const cluster = await Cluster.start(folder, { nodes, owned: true, cpuLimits });
  t.teardown(() => cluster.down());
  await Promise.all([
    multus !== undefined && installMultus(cluster, multus),
    waymark !== undefined && installWaymark(cluster, waymark),
  ]);
  await prepare(cluster);
  await Promise.all(cluster.nodes.map(untilListIsRead));
  t.comment(`the cluster was ready after ${((Date.now() - begin) / 1000).toFixed(0)} s`);

  return async (title, body, { skip = false } = {}) =>
    t.test(title, { skip }, async (t) => {
      try {
        await body(t, cluster);
      } catch (error) {
        keepLogs(t, cluster);
        throw error;
      }
      if (!t.passing()) keepLogs(t, cluster);
    });
}

// The summary shows a failure's details, and nothing else of a file that failed.
function keepLogs(t: Test, cluster: Cluster): void {
  const kept = join(ROOT, 'build/cluster-logs', cluster.folder.name);
  cpSync(cluster.folder.logs, kept, { recursive: true });
  t.fail(`the services’ logs are kept in ${kept}`, { said: cluster.lastWords().split('\n') });
}

function missingMultus(): string | false {
  const multus = multusFolder();
  return 'missing' in multus && multus.missing;
}
