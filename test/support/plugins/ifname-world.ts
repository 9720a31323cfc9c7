import { join } from 'node:path';
import type { Test } from 'tap';
import { consistentIfname } from '../../../plugins/consistent-ifname/main.ts';
import { type Scratch, type ScratchPod, scratchFolder, settle } from '../namespaces/namespace.ts';
import { call, type Env, success, variables } from './call.ts';

/** The name of the network `green`: `net` and 12 digits of its MD5. */
export const GREEN = 'net9f27410725ab';

/** Calls of consistent-ifname for a pod, with a data folder of their own. */
export type World = {
  dataDir: string;
  config(keys?: object): object;
  ask(command: string, keys?: object, env?: Env): ReturnType<typeof call>;
  must(command: string, keys?: object, env?: Env): Promise<object>;
};

export function worldOf(t: Test, pod: { path: string }): World {
  const dataDir = join(scratchFolder(t), 'data');
  const prevResult = {
    interfaces: [{ name: 'eth0', sandbox: pod.path }],
    ips: [{ address: '10.0.0.1/24', interface: 0 }],
  };
  const config = (keys: object = {}) => ({
    cniVersion: '1.1.0',
    name: 'green',
    type: 'consistent-ifname',
    dataDir,
    prevResult,
    ...keys,
  });
  const ask: World['ask'] = (command, keys, env) =>
    call(consistentIfname, variables(command, pod.path, env), config(keys));
  return { dataDir, config, ask, must: async (...args) => success(await ask(...args)) };
}

/** The name and altnames that the link has which was `eth0` at first. */
export function namesOf(pod: ScratchPod): { name: unknown; altnames: unknown } {
  const link = pod.ipJson('link show').find(({ ifindex }) => ifindex === pod.eth0);
  return { name: link?.ifname, altnames: link?.altnames ?? [] };
}

/** Links, addresses and routes of a pod, to compare before and after. */
export function stateOf(pod: Scratch): string {
  settle(pod);
  return JSON.stringify([pod.ipJson('-d link show'), pod.ipJson('address show'), pod.routes()], null, 1);
}
