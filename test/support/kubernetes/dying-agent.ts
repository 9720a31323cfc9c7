import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { REFERENCE_FOLDER } from '../plugins/chain.ts';
import { type HotPlugNode, NODE } from './hot-plug.ts';

const PROGRAM = join(import.meta.dirname, 'dying-controller.ts');

/** A node's controller in a process of its own, which is killed at this boundary between two effects; 0: at none. */
export function startDying({ api, folder, node }: HotPlugNode, at: number): ChildProcess {
  const options = {
    at,
    server: api.url,
    node: NODE,
    criSocket: join(folder, 'cri.sock'),
    binDirs: [REFERENCE_FOLDER, join(folder, 'bin')],
    stateDir: join(folder, 'state'),
    dataDir: join(folder, 'data'),
    through: ['/usr/bin/env', 'ip', 'netns', 'exec', node.name],
    cacheFolders: [],
  };
  return spawn(process.execPath, [PROGRAM, JSON.stringify(options)], { stdio: 'inherit' });
}
