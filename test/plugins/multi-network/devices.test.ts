import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { clusterOf, multiNetworkNode } from '../../support/kubernetes/multi-network-node.ts';
import { PodResourcesStandIn } from '../../support/kubernetes/pod-resources-stand-in.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';
import { noReferencePlugins } from '../../support/plugins/chain.ts';
import { until } from '../../support/until.ts';

// Networks that need a device of a device plugin, when a pod starts: a stand-in for the kubelet's pod-resources API, and for a
// plugin that takes a device, a script that notes which one it was given.

const NETWORKS = 'k8s.v1.cni.cncf.io/networks';
const skip = noReferencePlugins;
const [A, B] = ['0000:03:02.1', '0000:03:02.4'] as const;

async function nodeWithDevices(t: Test, ...devices: string[]) {
  const folder = scratchFolder(t);
  const kubelet = new PodResourcesStandIn();
  const podResourcesSocket = join(folder, 'kubelet.sock');
  await kubelet.start(podResourcesSocket);
  t.teardown(() => kubelet.stop());
  kubelet.given = [
    { namespace: 'default', pod: 'web', resource: 'vendor/vf', devices },
    { namespace: 'default', pod: 'other', resource: 'vendor/vf', devices: ['0000:03:03.0'] },
  ];
  const node = await multiNetworkNode(t, (api) => ({
    cluster: async () => clusterOf(api),
    podResourcesSocket,
  }));
  const script = `#!/bin/sh\ncat > ${folder}/$CNI_COMMAND-$CNI_IFNAME.json\necho '{"cniVersion":"1.0.0"}'\n`;
  writeFileSync(join(folder, 'vf'), script, { mode: 0o755 });
  node.api.put('/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/fast', {
    metadata: { name: 'fast', namespace: 'default', annotations: { 'k8s.v1.cni.cncf.io/resourceName': 'vendor/vf' } },
    spec: { config: JSON.stringify({ cniVersion: '1.0.0', type: 'vf', capabilities: { deviceID: true } }) },
  });
  /** What the plugin was given with a verb. */
  const given = (ifname: string, verb = 'ADD') => {
    const { deviceID, pciBusID, runtimeConfig } = JSON.parse(
      readFileSync(join(folder, `${verb}-${ifname}.json`), 'utf8'),
    );
    return [deviceID, pciBusID, runtimeConfig?.deviceID];
  };
  const config = { binDir: folder };
  // By the kernel, which names what was accepted by the path of the one that listens, whose state is 01.
  const connections = () => {
    const lines = readFileSync('/proc/net/unix', 'utf8').split('\n');
    return lines.filter((line) => / 03 +\d+ /.test(line) && line.endsWith(` ${podResourcesSocket}`)).length;
  };
  return { node, kubelet, given, config, connections };
}

t.test('each attachment gets a device of the pod; DEL gets the same, without the kubelet', { skip }, async (t) => {
  const { node, kubelet, given, config, connections } = await nodeWithDevices(t, B, A);
  const pod = node.pod('web', { [NETWORKS]: 'fast@a,fast@b' });
  await pod.add({ config });
  t.equal(kubelet.calls, 1);
  await until(() => connections() === 0, 'the agent keeps a connection to the kubelet');
  t.strictSame(given('a'), [A, A, A]);
  t.strictSame(given('b'), [B, B, B]);
  await pod.add({ config });
  kubelet.stop();
  t.equal((await pod.run('DEL', { config })).code, 0);
  t.strictSame(given('a', 'DEL'), [A, A, A]);
  t.strictSame(given('b', 'DEL'), [B, B, B]);
  t.strictSame(node.leftovers(), []);
});

t.test('a device that is asked for by its name is kept for who asks', { skip }, async (t) => {
  const { node, given, config } = await nodeWithDevices(t, A, B);
  const pod = node.pod('web', {
    [NETWORKS]: [
      { name: 'fast', interface: 'a' },
      { name: 'fast', interface: 'b', deviceID: A },
    ],
  });
  await pod.add({ config });
  t.strictSame(given('a'), [B, B, B]);
  t.strictSame(given('b'), [A, A, A]);
});

t.test(
  'no device left, one of another pod, no resource, a kubelet that does not answer: refused',
  { skip },
  async (t) => {
    const { node, kubelet, config } = await nodeWithDevices(t, A);
    const refused = async (networks: unknown, expected: object, name = 'web') => {
      const pod = node.pod(name, { [NETWORKS]: networks });
      t.match((await pod.run('ADD', { config })).document, expected);
      t.strictSame(pod.links(), {});
    };
    await refused('fast@a,fast@b', { code: 7, msg: /all 1 devices of vendor\/vf that the pod has: in use/ });
    await refused([{ name: 'fast', deviceID: '0000:03:03.0' }], {
      code: 7,
      msg: /not one of vendor\/vf that the kubelet/,
    });
    await refused('fast', { code: 7, msg: /the kubelet has given the pod no device of vendor\/vf/ }, 'third');
    kubelet.stop();
    await refused('fast', { code: 11, msg: /the kubelet: .*kubelet\.sock/ });
    t.strictSame(node.leftovers(), []);
  },
);
