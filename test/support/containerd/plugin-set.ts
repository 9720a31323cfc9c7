import { existsSync, mkdirSync } from 'node:fs';
import { appendFile, chmod, copyFile, cp, link, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { PLUGIN_NAMES } from '../../../plugins/index.ts';
import { type NodeAgent, startAgent } from '../agent/node-agent.ts';
import type { ContainerdNode } from './containerd.ts';

const DIST = join(import.meta.dirname, '../../../dist');
const BINARIES = join(DIST, 'bin');

/** A set of executables with which the pod tests can run. */
export type PluginSet = {
  readonly name: string;
  /** Installs the executables into a folder of the node, where they may already exist and be running. */
  install(node: ContainerdNode, folder?: string): Promise<void>;
  /** Replaces them with others for the nth time while they run, as their user would. */
  replace(node: ContainerdNode, nth: number): Promise<void>;
  /** Starts whatever serves their calls, if they do not do so themselves. It is ready when the promise resolves. */
  readonly agent?: { start(node: ContainerdNode): Promise<void>; end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> };
};

/** dist/bin: one file with the runtime in it, under every name. */
const SINGLE_FILES: PluginSet = {
  name: 'single-file executables',
  install: async (node, folder = node.binDir) => {
    mkdirSync(folder, { recursive: true });
    const first = join(folder, '.waymark.new');
    await copyFile(join(BINARIES, 'waymark'), first);
    for (const name of PLUGIN_NAMES) {
      await link(first, join(folder, `.${name}.new`));
      await rename(join(folder, `.${name}.new`), join(folder, name));
    }
    await rename(first, join(folder, 'waymark'));
  },
  // The installer skips files that are up to date, so every other time it gets files with one more byte.
  replace: async (node, nth) => {
    const other = join(node.machine.folder, 'other');
    if (!existsSync(other)) {
      await SINGLE_FILES.install(node, other);
      await appendFile(join(other, 'waymark'), '\n');
    }
    const words = ['install', '--once', '--from', nth % 2 === 0 ? BINARIES : other, '--bin-dir', '/opt/cni/bin'];
    await node.machine.finish(join(BINARIES, 'waymark'), words);
  },
};

let agent: NodeAgent | undefined;

/** dist/shim under the plugins' names, with the single-file executable as fallback, and `waymark agent` on the node. */
const SHIMS_AND_AGENT: PluginSet & Required<Pick<PluginSet, 'agent'>> = {
  name: 'shims and the agent',
  install: (node, folder = node.binDir) => installShims(node, BINARIES, folder),
  // The agent too, either way: the new one takes over from the old one, or starts after the old one has ended.
  replace: async (node, nth) => {
    const other = join(node.machine.folder, 'others');
    if (!existsSync(other)) {
      await SINGLE_FILES.install(node, join(other, 'bin'));
      await cp(join(DIST, 'shim'), join(other, 'shim'), { recursive: true });
      for (const name of PLUGIN_NAMES) await appendFile(join(other, 'shim', name), '\n');
      await appendFile(join(other, 'bin/waymark'), '\n');
    }
    await installShims(node, nth % 2 === 0 ? BINARIES : join(other, 'bin'), node.binDir);
    const old = agent;
    if (nth % 2 === 0) await old?.end('SIGTERM');
    agent = await startAgent(node);
    if (nth % 2 === 1) await old?.end('SIGTERM');
  },
  agent: {
    start: async (node) => {
      agent = await startAgent(node);
    },
    end: async (signal) => {
      await agent?.end(signal);
      agent = undefined;
    },
  },
};

function installShims(node: ContainerdNode, from: string, to: string): Promise<void> {
  const words = ['install', '--once', '--mode', 'agent', '--from', from, '--bin-dir', to];
  return node.machine.finish(join(BINARIES, 'waymark'), words);
}

/** dist/bundle: each plugin's script, run by the pinned runtime. */
const LAUNCHERS: PluginSet = {
  name: 'launchers of the bundles',
  install: async (node, folder = node.binDir) => {
    mkdirSync(folder, { recursive: true });
    for (const name of PLUGIN_NAMES) {
      await placeScript(join(folder, name), `exec ${join(DIST, 'bundle', name, name)} "$@"`);
    }
  },
  replace: (node) => LAUNCHERS.install(node),
};

/** The sets with which the pod tests run. */
export const PLUGIN_SETS: readonly PluginSet[] = existsSync(join(BINARIES, 'waymark'))
  ? [SINGLE_FILES, SHIMS_AND_AGENT]
  : [LAUNCHERS];

/** The set for tests of other things. */
export const ANY_SET: PluginSet = PLUGIN_SETS[0] ?? LAUNCHERS;

/** Writes a shell script atomically, even in place of an executable that is running. */
export async function placeScript(path: string, script: string): Promise<void> {
  await rm(`${path}.new`, { force: true });
  await writeFile(`${path}.new`, `#!/bin/sh\n${script}\n`);
  await chmod(`${path}.new`, 0o755);
  await rename(`${path}.new`, path);
}

/** Installs a set on a node, and runs its agent there until the test ends. */
export async function putInPlace(t: Test, set: PluginSet, node: ContainerdNode): Promise<void> {
  await set.install(node);
  await set.agent?.start(node);
  t.teardown(() => set.agent?.end('SIGTERM'));
}
