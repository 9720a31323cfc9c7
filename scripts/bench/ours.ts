import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { BenchAgent } from './agent.ts';
import type { Bench, Step } from './bench.ts';

/** What the network is called. */
export const NETWORK = 'bench';

const ROOT = join(import.meta.dirname, '../..');

/** Nothing is to be measured that was not done by the agent. */
const NO_FALLBACK = { WAYMARK_STANDALONE: '/nowhere' };

/** A call of one of our plugins on the pod, by its single-file executable. */
export function single(bench: Bench, plugin: string, verb: string, config: object): Step {
  return {
    ...called(bench, plugin, verb, config),
    name: `${plugin} (${verb})`,
    program: join(bench.executables, plugin),
    args: [],
  };
}

/** The same by the static executable that hands the call to this agent. */
export function shim(bench: Bench, agent: BenchAgent, plugin: string, verb: string, config: object): Step {
  const { stdin, env } = called(bench, plugin, verb, config);
  return {
    name: `${plugin} (${verb}), shim and agent`,
    program: shimOf(plugin),
    args: [],
    stdin,
    env: { ...env, ...NO_FALLBACK, WAYMARK_SOCKET: agent.socket },
    agent,
  };
}

/** Makes so many rounds of calls that the agent's compiler has seen what it needs to: an agent's ordinary state. */
export function warmUp(bench: Bench, calls: readonly Step[]): void {
  bench.repeat(calls.map(unmeasured), WARM_UP_ROUNDS);
}

const WARM_UP_ROUNDS = 500;

/** The file of a plugin's shim. */
export function shimOf(plugin: string): string {
  return join(ROOT, 'dist/shim', plugin);
}

/** A step that is run, and not measured. */
export function unmeasured({ name: _, ...step }: Step): Step {
  return step;
}

/** The same by its bundle, on the runtime that is pinned. */
export function bundle(bench: Bench, plugin: string, verb: string, config: object): Step {
  // With the option of its launcher, and without the launcher.
  const args = ['--min-semi-space-size=16', join(ROOT, 'dist/bundle', plugin, 'index.js')];
  return {
    ...called(bench, plugin, verb, config),
    name: `${plugin} (${verb}), bundle`,
    program: process.execPath,
    args,
  };
}

/** What a runtime gives to any plugin that is called on the pod. */
export function called(
  bench: Bench,
  type: string,
  verb: string,
  config: object,
): Required<Pick<Step, 'stdin' | 'env'>> {
  const document = JSON.stringify({ cniVersion: '1.0.0', name: NETWORK, type, ...config });
  return {
    stdin: bench.file(`${createHash('sha256').update(document).digest('hex')}.json`, document),
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

/** The result of the plugin before ours: `eth0` as the pod has it, perhaps under another name by now, and these routes. */
export function previousResult(pod: string, name = 'eth0', routes: readonly object[] = []): object {
  return {
    cniVersion: '1.0.0',
    interfaces: [{ name, sandbox: `/run/netns/${pod}` }],
    ips: [{ address: '10.131.0.5/23', gateway: '10.131.0.1', interface: 0 }],
    routes,
  };
}
