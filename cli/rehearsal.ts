import { rmSync } from 'node:fs';
import { type Plugin, run } from '../lib/cni/runner.ts';
import { withScriptedKernel } from '../lib/netlink/scripted-kernel.ts';
import { OWN_NAMESPACE } from '../lib/netns/netns.ts';

/**
 * Plays every plugin through once, so that what an ordinary call needs is compiled before the first one: in the start-up
 * snapshot, where that is half of the time that a call takes, and in the agent. The kernel's part is read from a script;
 * `folder` is made for the journals, and taken away.
 */
export async function rehearse(plugins: readonly Plugin[], folder: string): Promise<void> {
  try {
    await withScriptedKernel(async () => {
      for (const plugin of plugins) {
        for (const verb of ['ADD', 'CHECK', 'DEL']) await call(plugin, verb, folder);
      }
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function call(plugin: Plugin, verb: string, dataDir: string): Promise<void> {
  const said: string[] = [];
  const code = await run(plugin, {
    env: {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: 'rehearsal',
      CNI_NETNS: OWN_NAMESPACE,
      CNI_NETNS_OVERRIDE: '1',
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/opt/cni/bin',
      CNI_ARGS: 'K8S_POD_NAMESPACE=default;K8S_POD_NAME=rehearsal',
    },
    args: [],
    readStdin: () => Buffer.from(JSON.stringify({ ...CONFIG, ...CONFIGS[plugin.name], dataDir })),
    writeStdout: (text) => said.push(text),
    writeStderr: (text) => said.push(text),
  });
  // CHECK must find fault: what was added is not in the script.
  if (code !== (verb === 'CHECK' ? 1 : 0)) throw new Error(`${plugin.name} ${verb}: ${said.join('\n')}`);
}

const CONFIG = {
  cniVersion: '1.0.0',
  name: 'rehearsal',
  prevResult: {
    cniVersion: '1.0.0',
    interfaces: [{ name: 'cni0' }, { name: 'eth0', mac: '00:00:5e:00:53:01', sandbox: OWN_NAMESPACE }],
    ips: [
      { address: '10.0.0.5/24', gateway: '10.0.0.1', interface: 1 },
      { address: 'fd00::5/64', gateway: 'fd00::1', interface: 1 },
    ],
    routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.1' }],
    dns: {},
  },
};

const CONFIGS: { readonly [plugin: string]: object } = {
  'static-route': {
    routes: [
      { dst: '10.9.0.0/16', gw: '10.0.0.1', priority: 100, mtu: 1400 },
      { dst: '10.8.0.0/16' },
      { dst: 'fd00:9::/48', gw: 'auto' },
    ],
  },
  'seamless-gateway': { hostAddresses: ['10.0.32.2', 'fd00:32::2'] },
};
