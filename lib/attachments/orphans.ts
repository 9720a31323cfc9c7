import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Variables } from '../cni/request.ts';

/** The variable by which an agent knows plugins that it, or one before it, has started: it holds the agent's folder. */
const OWNER = 'WAYMARK_STATE_DIR';

/** What a plugin does on the node in an attachment's name. */
export type Attached = { readonly containerID: string; readonly ifname: string };

/** How long the kernel may take to end what was killed: a plugin can be in the middle of a system call. */
const WITHIN_MS = 5000;
const LOOK_EVERY_MS = 20;

/** What the environment of plugins must have for `endOrphans`. */
export function ownedBy(stateDir: string): Variables {
  return { [OWNER]: stateDir };
}

/**
 * Ends plugins that still run for these attachments, with what they have started, and waits until they are gone; how many
 * there were. They are of an agent that was killed: what they would still do comes after the DEL that undoes them. Must not be
 * called for attachments at which this agent is at work. Throws if they do not end.
 */
export async function endOrphans(stateDir: string, attachments: readonly Attached[]): Promise<number> {
  if (attachments.length === 0) return 0;
  const found = new Set<number>();
  for (const began = performance.now(); ; await pause(LOOK_EVERY_MS)) {
    const running = orphans(stateDir, attachments);
    if (running.length === 0) return found.size;
    if (performance.now() - began > WITHIN_MS) throw new Error(`plugins do not end: processes ${running.join(', ')}`);
    for (const pid of running) {
      found.add(pid);
      kill(pid);
    }
  }
}

function orphans(stateDir: string, attachments: readonly Attached[]): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => isOrphan(pid, stateDir, attachments)).map(Number);
}

function isOrphan(pid: string, stateDir: string, attachments: readonly Attached[]): boolean {
  try {
    const variables = new Set(readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0'));
    if (!variables.has(`${OWNER}=${stateDir}`)) return false;
    return attachments.some(
      ({ containerID, ifname }) =>
        variables.has(`CNI_CONTAINERID=${containerID}`) && variables.has(`CNI_IFNAME=${ifname}`),
    );
  } catch {
    // It has ended, or is not ours to look at.
    return false;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}
