import { rmSync } from 'node:fs';
import { type Plugin, run } from '../lib/cni/runner.ts';
import { withScriptedKernel } from '../lib/netlink/scripted-kernel.ts';
import { OWN_NAMESPACE } from '../lib/netns/netns.ts';

/** In the folder that the build runs in, by a name that is the same in each: it stays in the snapshot. */
const FOLDER = '/proc/self/cwd/build/rehearsal';

/**
 * Plays every plugin through once, before the start-up snapshot is taken, so that what an ordinary call needs is compiled
 * in the snapshot already: that is half of the time that a call takes. The kernel's part is read from a script.
 */
export async function rehearse(plugins: readonly Plugin[]): Promise<void> {
  try {
    await withScriptedKernel(async () => {
      for (const plugin of plugins) {
        for (const verb of ['ADD', 'CHECK', 'DEL']) await call(plugin, verb, FOLDER);
      }
    });
  } finally {
    rmSync(FOLDER, { recursive: true });
    forgetLastFile();
  }
}

/** Node.js keeps what stat(2) said last, so the snapshot would have the build's times in it, and be another each time. */
function forgetLastFile(): void {
  type Answers = { statValues: Float64Array; bigintStatValues: BigInt64Array };
  const { statValues, bigintStatValues } = (process as unknown as { binding(name: string): Answers }).binding('fs');
  statValues.fill(0);
  bigintStatValues.fill(0n);
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
