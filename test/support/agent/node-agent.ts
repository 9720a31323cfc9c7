import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Status } from '../../../agent/status.ts';
import type { ContainerdNode } from '../containerd/containerd.ts';

// The agent as a process on a node, and its status, however it was started.

/** An agent that was started on a node. */
export type NodeAgent = {
  /** Sends it a signal, unless it has ended already, and waits until it ends. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
};

let started = 0;

/** Starts the agent that is installed on a node, and waits until it serves. By then it has taken over from any other. */
export async function startAgent(node: ContainerdNode): Promise<NodeAgent> {
  const pidFile = `/run/agent-${++started}.pid`;
  const child = node.machine.start('sh', ['-c', `echo $$ >${pidFile}; exec /opt/cni/bin/waymark agent`]);
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (text) => {
      log += text;
    });
  }
  const gone = once(child, 'close');
  await node.until(async () => log.includes('"serving"') || child.exitCode !== null, 'the agent does not serve');
  if (child.exitCode !== null) throw new Error(`the agent has ended: ${log}`);
  return {
    end: async (signal) => {
      node.machine.run('sh', ['-c', `kill -${signal.slice(3)} $(cat ${pidFile}) 2>/dev/null || true`]);
      await gone;
      rmSync(join(node.machine.folder, pidFile));
    },
  };
}

/** The output of `waymark status` on a node. Throws if no agent answers. */
export function agentStatus({ machine }: ContainerdNode): Status {
  return JSON.parse(machine.run('/opt/cni/bin/waymark', ['status', '--json']));
}
