import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { scratchFolder, works } from '../namespaces/namespace.ts';
import { output } from './scripts.ts';

const ROOT = join(import.meta.dirname, '../../..');

/** The last commit before journals recorded the maps of routes, and before a renamed interface had one entry in results. */
const COMMIT = '4f79d11fa3d0';

/** Why an earlier version cannot be built here, or false. */
export const noEarlierVersion: string | false = !works('cc', ['--version'])
  ? 'needs a C compiler'
  : spawnSync('git', ['-C', ROOT, 'cat-file', '-e', `${COMMIT}^{tree}`]).status === 0
    ? false
    : `needs the commit ${COMMIT}, which a shallow clone lacks`;

/** Executables of an earlier version: `plugin(name)` is a source that Node.js runs, `shim(name)` the agent's client. */
export type EarlierVersion = {
  plugin(name: string): string;
  shim(name: string): string;
  /** For `command` of agentProcess. */
  readonly agent: readonly string[];
};

/**
 * Builds an earlier version in a folder of the test's own, with this checkout's npm packages. Node.js runs its sources as
 * they are, so only what is written in C is compiled.
 */
export function earlierVersion(t: Test): EarlierVersion {
  const tree = scratchFolder(t);
  output('sh', ['-c', `git -C '${ROOT}' archive ${COMMIT} | tar -x -C '${tree}'`]);
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  mkdirSync(join(tree, 'shim'));
  for (const script of ['build-native.sh', `build-shim.sh ${tree}/shim`]) {
    output('env', ['-u', 'NODE_OPTIONS', 'bash', ...`${tree}/scripts/${script}`.split(' ')]);
  }
  return {
    plugin: (name) => join(tree, 'plugins', name, 'process.ts'),
    shim: (name) => join(tree, 'shim', name),
    agent: [process.execPath, join(tree, 'cli/process.ts'), 'agent'],
  };
}
