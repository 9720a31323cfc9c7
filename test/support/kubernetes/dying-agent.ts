import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
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
  const stdio = ['inherit', 'inherit', 'inherit', 'ipc'] as const;
  return spawn(process.execPath, [PROGRAM, JSON.stringify(options)], { stdio: [...stdio] });
}

/** Does it work on a pod? Not if it has ended. */
export async function isBusy(child: ChildProcess): Promise<boolean> {
  const over = new AbortController();
  const { signal } = over;
  const answered = once(child, 'message', { signal }).then(([answer]) => answer === true);
  const ended = once(child, 'exit', { signal }).then(() => false);
  child.send('Is it busy?', () => {});
  return Promise.race([answered, ended]).finally(() => over.abort());
}
