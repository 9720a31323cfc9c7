import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { VERSION } from '../../lib/version.ts';
import { run, scratchFolder } from '../support/namespace.ts';
import { PLUGIN_NAMES } from '../support/plugin-set.ts';
import { podTier } from '../support/pod-tier.ts';
import { fiftyPods } from '../support/pods.ts';
import { mustRunScript } from '../support/scripts.ts';

// The way of the executables to a node, as in a cluster: the installer's image is run as a container, and the pods that
// start then use what it has put there.

const BINARIES = join(import.meta.dirname, '../../dist/bin');
const IMAGE = `docker.io/library/waymark:${VERSION}`;
const NAMES = ['waymark', ...PLUGIN_NAMES];

const tier = await podTier(t);

await tier('the installer image, executables on the node, fifty pods', async (t, node) => {
  const others = readdirSync(node.binDir);
  const before = md5sums(node.binDir, others);
  const layout = join(scratchFolder(t), 'image');
  mustRunScript('build-image.sh', [layout]);
  node.importImage(layout, IMAGE);
  const { exitCode, log } = await node.runToEnd({
    image: IMAGE,
    args: ['install', '--once', '--bin-dir', '/host/opt/cni/bin'],
    mounts: [{ hostPath: '/opt/cni/bin', containerPath: '/host/opt/cni/bin' }],
  });
  t.equal(exitCode, 0, 'the installer comes to its end', { log });
  t.equal(md5sums(node.binDir, NAMES), md5sums(BINARIES, NAMES), 'what it installed is what was built');
  t.equal(md5sums(node.binDir, others), before, 'what was there is as it was');
  await fiftyPods(t, node, 'fifty pods, ten at a time, by what the installer image put on the node');
});

function md5sums(folder: string, names: string[]): string {
  return run('sh', ['-c', 'cd "$0" && md5sum "$@"', folder, ...names]);
}
