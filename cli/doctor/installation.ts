import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import { Hashes } from '../../lib/install/hashes.ts';
import { COMMAND } from '../../lib/install/plan.ts';
import { type InstallRecord, readRecord } from '../../lib/install/record.ts';
import { PLUGIN_NAMES } from '../../plugins/index.ts';
import type { Executable, Installation, Mode } from './facts.ts';

/** A shim has at most some 700 KB, a single-file executable more than 100 MB. */
const LARGEST_SHIM_BYTES = 4 << 20;

/** What is installed in a folder of the node, compared with the installer's record. */
export async function installationIn(binDir: string, pathOf: (path: string) => string): Promise<Installation> {
  const { record, problem } = recordIn(pathOf(binDir));
  const hashes = new Hashes();
  const executables: Executable[] = [];
  for (const name of [COMMAND, ...PLUGIN_NAMES]) {
    const state = await stateOf(join(pathOf(binDir), name), record, hashes);
    executables.push({ path: join(binDir, name), state });
  }
  return {
    mode: modeOf(PLUGIN_NAMES.map((name) => join(pathOf(binDir), name))),
    version: record?.version,
    recordProblem: problem,
    executables,
  };
}

function recordIn(binDir: string): { record?: InstallRecord | undefined; problem: string | undefined } {
  try {
    return { record: readRecord(binDir), problem: undefined };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

async function stateOf(path: string, record: InstallRecord | undefined, hashes: Hashes): Promise<Executable['state']> {
  if (sizeOf(path) === undefined) return 'missing';
  try {
    accessSync(path, constants.X_OK);
  } catch {
    return 'not executable';
  }
  const recorded = record?.files.filter((file) => file.path === path) ?? [];
  if (recorded.length === 0) return 'not recorded';
  const sha256 = await hashes.of(path);
  return recorded.some((file) => file.sha256 === sha256) ? 'as installed' : 'changed';
}

function modeOf(plugins: readonly string[]): Mode | undefined {
  const sizes = plugins.map(sizeOf).filter((size) => size !== undefined);
  const shims = sizes.filter((size) => size <= LARGEST_SHIM_BYTES).length;
  if (sizes.length === 0) return undefined;
  if (shims === 0) return 'standalone';
  return shims === sizes.length ? 'agent' : 'mixed';
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}
