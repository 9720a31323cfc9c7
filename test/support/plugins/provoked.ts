import { join } from 'node:path';
import type { Test } from 'tap';
import { parsePrefix } from '../../../lib/address/prefix.ts';
import { type Pacing, type Plugin, run as runPlugin } from '../../../lib/cni/runner.ts';
import { ensureFolder } from '../../../lib/files/files.ts';
import { tryLock } from '../../../lib/files/lock.ts';
import { consistentIfname } from '../../../plugins/consistent-ifname/main.ts';
import { seamlessGateway } from '../../../plugins/seamless-gateway/main.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { scratchFolder, scratchPod } from '../namespaces/namespace.ts';
import { call, type Env, variables } from './call.ts';

/** A plugin with a defect, which does not exist. */
const DEFECTIVE: Plugin = {
  ...staticRoute,
  handlers: {
    ...staticRoute.handlers,
    ADD: () => Promise.reject(new TypeError('route.hops is not iterable')),
  },
};

type Provocation = { plugin?: Plugin; verb?: string; keys?: object; stdin?: unknown; env?: Env };

const ROUTE = { dst: '10.9.0.0/16', gw: '10.244.1.1' };
const HOST = { hostAddresses: ['10.0.32.2'] };

/** For each error code that a plugin can answer with, a call on a scratch pod that comes to it. */
const PROVOCATIONS: { readonly [code: number]: Provocation } = {
  1: { keys: { cniVersion: '2.0.0' } },
  3: { env: { CNI_NETNS: '/run/netns/none' } },
  4: { env: { CNI_IFNAME: undefined, CNI_CONTAINERID: '../x' } },
  5: { keys: { dataDir: '/dev/null/waymark' } },
  6: { stdin: '{"cniVersion": "1.1.0",}' },
  7: { keys: { routes: Array.from({ length: 40 }, () => ({ dst: '10.9.0.1/16' })) } },
  8: { env: { CNI_NETNS: '/proc/self/ns/net' } },
  50: { verb: 'STATUS', keys: { dataDir: '/dev/null/waymark' } },
  100: { keys: { interface: 'net7' } },
  101: { keys: { interface: 'lo', routes: [{ dst: '2001:db8::/32', gw: '2001:db8:1::1' }] } },
  102: { plugin: seamlessGateway, keys: { ...HOST, gateway: { offset: 5 } } },
  103: { keys: { routes: [{ dst: '10.244.1.0/24', gw: '10.244.1.1' }] } },
  104: { keys: { routes: [{ dst: '10.9.0.0/16', gw: '192.0.2.1' }] } },
  105: { plugin: consistentIfname, keys: { ifname: 'peer' } },
  106: { verb: 'CHECK' },
  107: { plugin: seamlessGateway, keys: { ...HOST, verifyGateway: { timeoutSeconds: 1 } } },
  999: { plugin: DEFECTIVE },
};

/** What a runtime would put into a pod's event: message and details of the answer to a call that comes to this error. */
export async function provoke(t: Test, code: number): Promise<{ code: number; event: string }> {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  if (code === 11) return provokeBusy(pod.path, dataDir);
  if (code === 108) {
    const args = { cni: { routes: [{ dst: '10.96.0.0/16', gw: '10.244.1.1' }] } };
    const protectedPrefixes = [parsePrefix('10.96.0.0/12')];
    return eventOf(await answerOf(pod.path, { dataDir, args }, { protectedPrefixes }));
  }
  const { plugin = staticRoute, verb = 'ADD', keys = {}, stdin, env = {} } = PROVOCATIONS[code] ?? {};
  const own = plugin === seamlessGateway || plugin === consistentIfname ? {} : { routes: [ROUTE] };
  const config = stdin ?? { cniVersion: '1.1.0', name: 'net', dataDir, ...own, ...keys };
  const { stdout } = await call(plugin, variables(verb, pod.path, env), config);
  return eventOf(stdout);
}

async function provokeBusy(netns: string, dataDir: string): Promise<{ code: number; event: string }> {
  const folder = join(dataDir, 'static-route');
  ensureFolder(folder);
  const lock = tryLock(join(folder, '.container-1-eth0.lock'));
  const stdout = await answerOf(netns, { dataDir }, { lockSeconds: 0.1 });
  lock?.release();
  return eventOf(stdout);
}

async function answerOf(netns: string, keys: object, pacing: Pacing): Promise<string> {
  let stdout = '';
  await runPlugin(staticRoute, {
    env: variables('ADD', netns),
    args: [],
    readStdin: () => Buffer.from(JSON.stringify({ cniVersion: '1.1.0', name: 'net', routes: [ROUTE], ...keys })),
    writeStdout: (text) => {
      stdout += text;
    },
    writeStderr: () => undefined,
    pacing,
  });
  return stdout;
}

// As libcni makes one line of them (pkg/types, Error).
function eventOf(stdout: string): { code: number; event: string } {
  const { code, msg, details } = JSON.parse(stdout);
  return { code, event: details === undefined ? msg : `${msg}; ${details}` };
}
