import { rmSync } from 'node:fs';
import { type Plugin, run } from '../lib/cni/runner.ts';
import { isBuildingSnapshot } from '../lib/native/snapshot.ts';
import { OWN_NAMESPACE } from '../lib/netns/netns.ts';
import type { FamilyPlugin } from '../plugins/index.ts';
import { withScriptedKernel } from './scripted-kernel.ts';

/**
 * Plays every plugin that has a definition through once, so that what an ordinary call needs is compiled before the first
 * one: in the start-up snapshot, where that is half of the time that a call takes, and in the agent. The kernel's part is
 * read from a script; `folder` is made for the journals, and removed.
 */
export async function rehearse(plugins: readonly FamilyPlugin[], folder: string): Promise<void> {
  const { now } = Date;
  // Two snapshots of the same tree must not differ by when they were taken.
  if (isBuildingSnapshot()) Date.now = () => 0;
  try {
    await withScriptedKernel(async () => {
      for (const plugin of plugins) {
        const keys = plugin.definition?.rehearsal;
        if (keys === undefined) continue;
        for (const verb of ['ADD', 'CHECK', 'DEL']) await call(plugin, verb, { ...keys, dataDir: folder });
      }
    });
  } finally {
    Date.now = now;
    rmSync(folder, { recursive: true });
  }
}

async function call(plugin: Plugin, verb: string, keys: object): Promise<void> {
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
    readStdin: () => Buffer.from(JSON.stringify({ ...CONFIG, ...keys })),
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
