import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { rollout } from '../../../scripts/cluster/addons.ts';
import type { Cluster } from '../../../scripts/cluster/cluster.ts';
import { ROOT } from '../../../scripts/cluster/folder.ts';
import { packImage } from '../../../scripts/cluster/image-archive.ts';
import { waymarkArchive } from '../../../scripts/cluster/images.ts';
import { run, WAIT_SECONDS } from '../../../scripts/cluster/process.ts';

/** A version of Waymark: the archive of its image, and its manifests. */
export type Version = { readonly archive: string; readonly manifests: string };

/** That of this checkout, as `npm run build` made it. */
export function thisVersion(): Version {
  return { archive: waymarkArchive(), manifests: join(ROOT, 'manifests') };
}

/** The version of a commit, which has the number `version`. It is built if need be, in half a minute. Throws if it cannot be. */
export function versionOf(commit: string, version: string): Version {
  const build = ['bash', join(ROOT, 'scripts/cluster/build-version.sh'), commit];
  const folder = run(build, { timeoutSeconds: 600 }).trim();
  const archive = join(folder, 'image.tar');
  if (!existsSync(archive)) {
    const packed = `${archive}.${process.pid}`;
    packImage(join(folder, 'image'), `ghcr.io/waymark-cni/waymark:${version}`, packed);
    renameSync(packed, archive);
  }
  return { archive, manifests: join(folder, 'manifests') };
}

/** Installs a version by one of its overlays, in the place of the one that is there, and waits until every node has it. */
export async function changeTo(cluster: Cluster, { archive, manifests }: Version, overlay: string): Promise<void> {
  for (const node of cluster.nodes) node.importImage(archive);
  cluster.kubectl(['apply', '-k', join(manifests, 'overlays', overlay)]);
  await rollout(cluster, 'waymark', 'waymark');
}

/** Removes it by the manifests of a version, as they say. */
export async function uninstall(cluster: Cluster, { manifests }: Version, overlay: string): Promise<void> {
  const folder = join(manifests, 'overlays', overlay);
  cluster.kubectl(['apply', '-k', folder]);
  await rollout(cluster, 'waymark', 'waymark');
  cluster.kubectl(['delete', '-k', folder, `--timeout=${WAIT_SECONDS}s`]);
}
