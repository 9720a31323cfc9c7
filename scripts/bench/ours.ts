import { copyFileSync, linkSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench, Step } from './bench.ts';

const ROOT = join(import.meta.dirname, '../..');
const PLUGINS = ['static-route', 'seamless-gateway'];

/** Puts the single-file executables into a folder, so that what they unpack does not come to lie in dist/. */
export function install(folder: string): string {
  mkdirSync(folder);
  const [first = '', ...others] = PLUGINS.map((name) => join(folder, name));
  try {
    linkSync(join(ROOT, 'dist/bin/waymark'), first);
  } catch {
    copyFileSync(join(ROOT, 'dist/bin/waymark'), first);
  }
  for (const other of others) linkSync(first, other);
  return folder;
}

/** A call of one of our plugins on the pod, by its single-file executable. */
export function single(bench: Bench, plugin: string, verb: string, config: object): Step {
  return {
    ...called(bench, plugin, verb, config),
    name: `${plugin} (${verb})`,
    program: join(bench.executables, plugin),
    args: [],
  };
}

/** The same by its bundle, on the runtime that is pinned. */
export function bundle(bench: Bench, plugin: string, verb: string, config: object): Step {
  const args = [join(ROOT, 'dist/bundle', plugin, 'index.js')];
  return {
    ...called(bench, plugin, verb, config),
    name: `${plugin} (${verb}), bundle`,
    program: process.execPath,
    args,
  };
}

/** What a runtime gives to any plugin that is called on the pod. */
export function called(bench: Bench, type: string, verb: string, config: object): Pick<Step, 'stdin' | 'env'> {
  const document = { cniVersion: '1.0.0', name: 'bench', type, ...config };
  return {
    stdin: bench.file(`${type}-${verb}.json`, JSON.stringify(document)),
    env: {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: 'bench',
      CNI_NETNS: `/run/netns/${bench.pod}`,
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/opt/cni/bin',
    },
  };
}

/** The keys that all of ours have here. */
export function quietly(bench: Bench): object {
  return { dataDir: bench.dataDir, logLevel: 'silent' };
}
