import { basename } from 'node:path';
import { startupSnapshot } from 'node:v8';
import { compile } from 'zod/mini';
import { type Plugin, runProcess } from '../lib/cni/runner.ts';
import { compileSchemas } from '../lib/cni/schema.ts';
import { locateAddon } from '../lib/native/addon-path.ts';
import { setBuildingSnapshot } from '../lib/native/snapshot.ts';
import { PLUGINS } from '../plugins/index.ts';
import { runCommandAsset } from './command-asset.ts';
import { rehearse } from './rehearsal.ts';
import { unpackAddon } from './unpack.ts';

// The single-file executable: every plugin and the command in one file, distinguished by the name that it is called by.
// The plugins are in the start-up snapshot, loaded and ready; the command is an asset, compiled when it is called.

/** In the folder that the build runs in, by a name that is the same in each: it stays in the snapshot. */
const REHEARSAL_FOLDER = '/proc/self/cwd/build/rehearsal';

function main(): void {
  setBuildingSnapshot(false);
  const called = basename(process.argv0);
  const plugin = PLUGINS.find(({ name }) => name === called);
  if (plugin === undefined) runCommandAsset();
  else void runPlugin(plugin);
}

function runPlugin(plugin: Plugin): Promise<void> {
  locateAddon(unpackAddon);
  return runProcess(plugin);
}

function takeSnapshot(): void {
  setBuildingSnapshot(true);
  compileSchemas(compile);
  startupSnapshot.setDeserializeMainFunction(main);
  // The builder waits until nothing is left to do.
  void rehearse(PLUGINS, REHEARSAL_FOLDER).then(forgetLastFile);
}

/** Node.js keeps what stat(2) said last, so the snapshot would have the build's times in it, and be another each time. */
function forgetLastFile(): void {
  type Answers = { statValues: Float64Array; bigintStatValues: BigInt64Array };
  const { statValues, bigintStatValues } = (process as unknown as { binding(name: string): Answers }).binding('fs');
  statValues.fill(0);
  bigintStatValues.fill(0n);
}

// An executable for another architecture is made without a snapshot, and comes here when it is called.
if (startupSnapshot.isBuildingSnapshot()) takeSnapshot();
else main();
