import { join } from 'node:path';
import type { Test } from 'tap';
import type { JsonObject } from '../../../lib/cni/json.ts';
import type { Call } from '../../../lib/cni/runner.ts';
import { RuntimeError } from '../../../lib/runtime/errors.ts';
import { parseNetwork } from '../../../lib/runtime/network.ts';
import type { Work } from '../../../plugins/multi-network/attach.ts';
import { parseMultiNetworkConfig } from '../../../plugins/multi-network/config.ts';
import type { Delegation } from '../../../plugins/multi-network/delegation.ts';
import type { Network } from '../../../plugins/multi-network/networks.ts';
import type { Services } from '../../../plugins/multi-network/services.ts';

// multi-network without the plugins of the networks: what it asks of them is noted, and what they answer is data.

export type DelegationStandIn = {
  /** `ADD blue net1`, in order. */
  readonly asked: string[];
  /** What fails, by such a line. */
  readonly fails: { [line: string]: Error };
  /** Results of ADD by interface; by default one without interfaces. */
  readonly results: { [ifname: string]: JsonObject };
  /** What is cached, by interface. */
  readonly cache: Map<string, JsonObject>;
};

/** A network with this name. */
export function networkNamed(name: string, ifname: string, more: Partial<Network> = {}): Network {
  const list = parseNetwork({ cniVersion: '1.0.0', name, plugins: [{ type: 'a' }] }, 'x');
  const input = { containerID: 'c', netns: '/n', ifname, args: [], capabilityArgs: {} };
  return { name: `default/${name}`, list, input, isDefault: false, request: {}, ...more };
}

/** A call of multi-network in a namespace, with its record in `cni` of a folder. */
export function workOf(
  t: Test,
  { path }: { readonly path: string },
  { keys = {}, args = {}, document = {}, services = {}, hasNamespace = true, noop = false }: WorkOptions = {},
): Work & { readonly folder: string; readonly logs: string[]; readonly standIn: DelegationStandIn } {
  const folder = t.testdir({ cni: {} });
  const { config } = parseMultiNetworkConfig({
    cniVersion: '1.0.0',
    name: 'waymark',
    delegates: [{ type: 'a' }],
    ...keys,
  });
  const logs: string[] = [];
  const log = (level: string) => (text: string, fields?: object) =>
    void logs.push([level, text, ...(fields ? [JSON.stringify(fields)] : [])].join(' '));
  const request = {
    ...{ containerID: 'c', netns: path, ifname: 'eth0', args, network: 'waymark', version: '1.0.0', verb: 'ADD' },
    document: { name: 'waymark', cniVersion: '1.0.0', cniDir: '/cni', ...document },
  };
  const call = {
    ...{ request, noop, namespace: hasNamespace ? {} : undefined, env: {}, pacing: {} },
    log: { info: log('info'), warn: log('warn'), debug: log('debug'), isOn: () => false },
    place: {
      pathOf: (asked: string) => (asked.startsWith('/cni') || asked.startsWith('/var') ? join(folder, asked) : asked),
    },
  } as unknown as Call;
  const standIn: DelegationStandIn = { asked: [], fails: {}, results: {}, cache: new Map() };
  const all: Services = { cluster: async () => undefined, ...services };
  const delegation = delegationOf(standIn);
  return {
    call,
    config: { ...config, cniDir: '/cni' },
    delegation,
    services: all,
    folder: join(folder, 'cni'),
    logs,
    standIn,
  };
}

type WorkOptions = {
  readonly keys?: object;
  readonly args?: { readonly [key: string]: string };
  readonly document?: object;
  readonly services?: Partial<Services>;
  readonly hasNamespace?: boolean;
  readonly noop?: boolean;
};

function delegationOf({ asked, fails, results, cache }: DelegationStandIn): Delegation {
  const ask = async (line: string) => {
    asked.push(line);
    if (fails[line] !== undefined) throw fails[line];
  };
  const standIn: Partial<{ [key in keyof Delegation]: unknown }> = {
    add: async ({ name }: { name: string }, { ifname }: { ifname: string }) => {
      await ask(`ADD ${name} ${ifname}`);
      const result = results[ifname] ?? { cniVersion: '1.0.0' };
      cache.set(ifname, result);
      return result;
    },
    del: async ({ name }: { name: string }, { ifname, netns }: { ifname: string; netns: string }) => {
      await ask(`DEL ${name} ${ifname}${netns === '' ? ' without a namespace' : ''}`);
      cache.delete(ifname);
    },
    check: ({ name }: { name: string }, { ifname }: { ifname: string }, gateways?: readonly string[]) =>
      ask(['CHECK', name, ifname, ...(gateways ?? [])].join(' ')),
    status: ({ name }: { name: string }) => ask(`STATUS ${name}`),
    gc: ({ name }: { name: string }, containers: ReadonlySet<string>) => ask(`GC ${name} ${[...containers].join()}`),
    cached: (_: unknown, { ifname }: { ifname: string }) => cache.has(ifname) && { result: cache.get(ifname) },
    remember: (_: unknown, { ifname }: { ifname: string }, result: JsonObject) => void cache.set(ifname, result),
    setDefaultRoutes: async ({ list, input }: Network, result: JsonObject) => {
      await ask(`default route ${list.name} ${input.ifname}`);
      return result;
    },
  };
  return standIn as unknown as Delegation;
}

/** A plugin's error; the runtime may have been unable to undo what it did. */
export function failed(message: string, isUndone = true): RuntimeError {
  return new RuntimeError(message, { code: 104, isUndone });
}
