import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { noNamespaces, works } from '../namespaces/namespace.ts';
import { bundleOf } from './call.ts';

// Processes of a plugin that are killed in the middle, by SIGKILL.

export const noStrace: string | false = noNamespaces || (works('strace', ['-V']) ? false : 'needs strace');

/** Calls a plugin that kills itself when it has made some of its changes; the signal that it died of. */
export function dyingCall(plugin: string, changes: number, env: object, config: object): string | null {
  const harness = join(import.meta.dirname, 'call-and-die.ts');
  const { signal } = spawnSync(process.execPath, [harness, plugin, String(changes)], {
    env: env as NodeJS.ProcessEnv,
    input: JSON.stringify(config),
  });
  return signal;
}

/**
 * Calls a plugin's bundle, which is killed when it is about to make a system call for the nth time; null if it came to
 * its end before.
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

/** The first time that can matter: Node.js itself opens some dozens of files before it comes to our code. */
export function firstOf(syscall: string): number {
  return syscall === 'openat' ? 20 : 1;
}
