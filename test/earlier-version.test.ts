import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type AgentProcess, agentProcess, noRoot, shimEnv, shimOf } from './support/agent/agent.ts';
import { type EarlierVersion, earlierVersion, noEarlierVersion } from './support/build/earlier-version.ts';
import { type Ended, start } from './support/build/single.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from './support/namespaces/namespace.ts';
import { pictureOf } from './support/namespaces/picture.ts';
import { bundleOf, type Env, variables } from './support/plugins/call.ts';
import { previousResult } from './support/plugins/previous-result.ts';

// A pod that an earlier version attached outlives the upgrade of its node: this version checks and deletes it.

/** In the order of the list. Together they make every kind of change that the earlier version knew. */
const PLUGINS: [name: string, keys: object][] = [
  ['consistent-ifname', {}],
  ['seamless-gateway', { hostAddresses: ['10.0.32.2', 'fd00:32::2'] }],
  [
    'static-route',
    {
      routes: [
        { dst: '10.10.0.0/16' },
        { dst: '10.20.0.0/16', gw: '10.244.1.9', priority: 200, mtu: 1400 },
        { dst: '10.30.0.0/16', nexthops: [{ gw: '10.244.1.2', weight: 3 }, { gw: '10.244.1.3' }] },
        { dst: '10.40.0.0/16', type: 'blackhole' },
        { dst: '10.50.0.0/16', gw: '10.244.1.9' },
        { dst: '10.70.0.0/16', table: 100 },
        { dst: '2001:db8:10::/48', gw: 'fd00:244:1::9' },
      ],
      onConflict: 'replace',
      delroutes: [{ dst: '10.60.0.0/16' }],
      topology: {
        vrf: { a: { subnets: { '10.244.1.0/24': { gw: '10.244.1.1' }, '10.80.0.0/16': { gw: '10.80.0.1' } } } },
      },
    },
  ],
];

/** Runs a plugin with these variables and this config. */
type Caller = (plugin: string, env: Env, config: object) => Ended;

const executables =
  (fileOf: (plugin: string) => string): Caller =>
  (plugin, env, config) =>
    start(process.execPath, env, config, [fileOf(plugin)]);

const agentBehind =
  ({ socket }: AgentProcess, shim: (plugin: string) => string): Caller =>
  (plugin, env, config) =>
    start(shim(plugin), shimEnv(socket, env), config);

const skip = noRoot || noNamespaces || noEarlierVersion;

t.test('what an earlier version attached is checked and deleted', { skip }, async (t) => {
  const earlier = earlierVersion(t);

  for (const ifname of ['eth0', 'net1']) {
    t.test(`${ifname}, by executables`, async (t) => {
      const attachment = attachmentOf(t, ifname);
      attachment.add(executables(earlier.plugin));
      attachment.checkAndDelete(executables(bundleOf));
    });

    t.test(`${ifname}, by executables before and the agent now`, async (t) => {
      const attachment = attachmentOf(t, ifname);
      attachment.add(executables(earlier.plugin));
      attachment.checkAndDelete(agentBehind(await agentProcess(t), shimOf));
    });

    t.test(`${ifname}, by an agent that this version's replaces`, async (t) => {
      const attachment = attachmentOf(t, ifname);
      const before = await agentOf(t, earlier);
      attachment.add(agentBehind(before, earlier.shim));
      const now = await agentProcess(t, { socket: before.socket });
      before.child.kill('SIGTERM');
      t.match(await before.ended, { code: 0 });
      attachment.checkAndDelete(agentBehind(now, earlier.shim));
    });
  }
});

function agentOf(t: Test, { agent }: EarlierVersion): Promise<AgentProcess> {
  return agentProcess(t, { command: agent });
}

function attachmentOf(t: Test, ifname: string) {
  const pod = podWithRoutes(t, ifname);
  const dataDir = scratchFolder(t);
  const before = pictureOf(pod);
  let result = JSON.parse(JSON.stringify(previousResult('1.1.0', pod.path)).replaceAll('"eth0"', `"${ifname}"`));

  const call = (caller: Caller, verb: string, [name, keys]: (typeof PLUGINS)[number]) => {
    const config = { cniVersion: '1.1.0', name: 'green', type: name, dataDir, prevResult: result, ...keys };
    const { code, stdout, stderr } = caller(name, variables(verb, pod.path, { CNI_IFNAME: ifname }), config);
    t.equal(code, 0, `${name} ${verb}: ${stdout}${stderr}`);
    return stdout;
  };
  return {
    add: (caller: Caller) => {
      for (const plugin of PLUGINS) result = JSON.parse(call(caller, 'ADD', plugin));
      t.match(pod.ipJson(`link show ${ifname}`), [{ ifname: 'net9f27410725ab', altnames: [ifname] }]);
      t.equal(journals(dataDir).length, PLUGINS.length, 'each has a journal');
    },
    checkAndDelete: (caller: Caller) => {
      const attached = pictureOf(pod);
      for (const plugin of PLUGINS) call(caller, 'CHECK', plugin);
      t.equal(pictureOf(pod), attached, 'CHECK changes nothing');
      for (const plugin of PLUGINS.toReversed()) call(caller, 'DEL', plugin);
      t.equal(pictureOf(pod), before, 'the pod is as it was before');
      t.strictSame(journals(dataDir), []);
    },
  };
}

// One route is deleted by the list, and another one replaced.
function podWithRoutes(t: Test, ifname: string): Scratch {
  const pod = scratchPod(t);
  if (ifname !== 'eth0') pod.ip(`link set eth0 name ${ifname}`);
  pod.ip(`route add 10.60.0.0/16 via 10.244.1.7 dev ${ifname}`);
  pod.ip(`route add 10.50.0.0/16 via 10.244.1.7 dev ${ifname}`);
  return pod;
}

function journals(dataDir: string): string[] {
  return readdirSync(dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name));
}
