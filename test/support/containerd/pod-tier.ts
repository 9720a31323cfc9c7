import { join } from 'node:path';
import type { Test } from 'tap';
import { pauseImage } from '../build/image.ts';
import { scratchFolder, works } from '../namespaces/namespace.ts';
import { noReferencePlugins } from '../plugins/chain.ts';
import { type ContainerdNode, PAUSE_IMAGE, RealNode } from './containerd.ts';
import { noMachine } from './machine.ts';

/** The tests of a file, which share a node. */
export type PodTier = (
  title: string,
  body: (t: Test, node: ContainerdNode) => Promise<void>,
  options?: { skip?: string | false },
) => Promise<unknown>;

/**
 * A node for the tests of a file, if containerd can run pods here. To find out, it starts a pod in the node's network, which
 * needs no plugin. If that fails, the tests are skipped and report the error. Anything that fails after that is a failure,
 * including `prepare`, which does what the tests have in common.
 */
export async function podTier(t: Test, prepare = async (_node: ContainerdNode) => {}): Promise<PodTier> {
  const node =
    missing() || (await startNode(t).catch((error: Error) => `containerd cannot run pods here: ${error.message}`));
  if (typeof node !== 'string') await prepare(node);
  return async (title, body, { skip = false } = {}) => {
    if (typeof node === 'string') return t.test(title, { skip: node }, async () => {});
    return t.test(title, { skip }, (t) => body(t, node));
  };
}

function missing(): string | false {
  const tools: [string, string[]][] = [
    ['containerd', ['--version']],
    ['runc', ['--version']],
    ['umoci', ['--version']],
    ['busybox', ['true']],
  ];
  const absent = tools.filter(([tool, args]) => !works(tool, args)).map(([tool]) => tool);
  return noMachine || noReferencePlugins || (absent.length > 0 && `needs ${absent.join(', ')}`);
}

async function startNode(t: Test): Promise<ContainerdNode> {
  const folder = scratchFolder(t);
  const node = new RealNode(folder);
  t.teardown(() => node.end());
  await node.start();
  const pause = join(folder, 'pause');
  pauseImage(pause);
  node.importImage(pause, PAUSE_IMAGE);
  const id = await node.cri.runPod(node.podConfig('probe', 0, { network: 'NODE', pid: 'CONTAINER' }));
  await node.deletePod(id);
  return node;
}
