import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { noNamespaces, works } from '../namespaces/namespace.ts';
import { bundleOf, COMPILED } from './call.ts';

// Processes of a plugin that are killed halfway, with SIGKILL.

export const noStrace: string | false = noNamespaces || (works('strace', ['-V']) ? false : 'needs strace');

/** Runs a plugin that kills itself after some of its changes. Returns the signal that ended it. */
export function dyingCall(plugin: string, changes: number, env: object, config: object): string | null {
  const harness = join(import.meta.dirname, 'call-and-die.ts');
  const { signal } = spawnSync(process.execPath, [harness, plugin, String(changes)], {
    env: { ...COMPILED, ...env },
    input: JSON.stringify(config),
  });
  return signal;
}

/**
 * Runs a plugin's bundle and kills it just before it makes a system call for the nth time. Returns null if it ended before
 * that.
 */
export function killedBefore(plugin: string, syscall: string, nth: number, env: object, config: object): string | null {
  const inject = `inject=${syscall}:signal=SIGKILL:when=${nth}`;
  const options = ['-f', '-qqq', '-o', '/dev/null', '-e', `trace=${syscall}`, '-e', inject];
  const { signal, status, stderr } = spawnSync('strace', [...options, process.execPath, bundleOf(plugin)], {
    env: { PATH: process.env.PATH, ...env },
    input: JSON.stringify(config),
  });
  if (signal === null && status !== 0) throw new Error(`the plugin failed: ${stderr}`);
  return signal;
}

/** The first call that can matter: Node.js itself opens a few dozen files before it runs our code. */
export function firstOf(syscall: string): number {
  return syscall === 'openat' ? 20 : 1;
}
