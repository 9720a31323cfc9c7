import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type HotPlugNode, hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { PodResourcesStandIn } from '../support/kubernetes/pod-resources-stand-in.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// Beside those of controller.test.ts, a stand-in for the kubelet's pod-resources API; and for a plugin that takes a device,
// a script that notes which one it was given, since there are none here.

const onNode = (title: string, body: (t: Test) => Promise<void>) => t.test(title, { skip: noReferencePlugins }, body);

async function nodeWithDevices(t: Test, ...devices: string[]) {
  const node = await hotPlugNode(t);
  mkdirSync(join(node.folder, 'bin'));
  const script = `#!/bin/sh\ncat > ${node.folder}/$CNI_COMMAND-$CNI_IFNAME.json\necho '{"cniVersion":"1.0.0"}'\n`;
  writeFileSync(join(node.folder, 'bin/vf'), script, { mode: 0o755 });
  defineOf(node, 'fast', 'vendor/vf');
  const kubelet = new PodResourcesStandIn();
  await kubelet.start(join(node.folder, 'kubelet.sock'));
  t.teardown(() => kubelet.stop());
  const give = (...ids: string[]) => {
    kubelet.given = [
      { namespace: 'default', pod: 'web', resource: 'vendor/vf', devices: ids },
      { namespace: 'default', pod: 'other', resource: 'vendor/vf', devices: ['0000:03:03.0'] },
    ];
  };
  give(...devices);
  return { node, kubelet, give };
}

function defineOf(node: HotPlugNode, name: string, resource: string): void {
  node.api.put(`/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/${name}`, {
    metadata: { name, namespace: 'default', annotations: { 'k8s.v1.cni.cncf.io/resourceName': resource } },
    spec: { config: JSON.stringify({ cniVersion: '1.0.0', type: 'vf', capabilities: { deviceID: true } }) },
  });
}

/** What the plugin was given with a verb. */
async function given(node: HotPlugNode, ifname: string, verb = 'ADD') {
  const { readFileSync } = await import('node:fs');
  const { deviceID, pciBusID, runtimeConfig } = JSON.parse(
    readFileSync(join(node.folder, `${verb}-${ifname}.json`), 'utf8'),
  );
  return [deviceID, pciBusID, runtimeConfig?.deviceID];
}

const [A, B] = ['0000:03:02.1', '0000:03:02.4'] as const;

onNode('each attachment gets a device of the pod that no other has; DEL gets the same', async (t) => {
  const { node } = await nodeWithDevices(t, B, A);
  const pod = node.pod('web', 'fast@a,fast@b');
  await until(() => node.events('AddedInterface').length === 2);
  t.strictSame(await given(node, 'a'), [A, A, A]);
  t.strictSame(await given(node, 'b'), [B, B, B]);
  await node.restart();
  pod.select('fast@b,fast@c');
  await until(() => node.events('AddedInterface').length === 3);
  t.strictSame(await given(node, 'a', 'DEL'), [A, A, A]);
  t.strictSame(await given(node, 'c'), [A, A, A], 'it is free again');
});

onNode('without a device left, an event says so; it is attached once there is one', async (t) => {
  const { node, give } = await nodeWithDevices(t, A);
  const pod = node.pod('web', 'fast@a,fast@b');
  await until(() => node.events('FailedAddingInterface').length === 1);
  t.match(node.events('FailedAddingInterface'), [
    /interface b to network: fast: all 1 devices of vendor\/vf that the pod has: in use by other attachments/,
  ]);
  give(A, B);
  pod.select('fast@b,fast@a ');
  await until(() => node.events('AddedInterface').length === 2);
  t.strictSame(await given(node, 'b'), [B, B, B]);
});

onNode('a device that the pod has not been given, or that is in use, is not to be had by its name', async (t) => {
  const { node } = await nodeWithDevices(t, A, B);
  const asked = (ifname: string, deviceID: string) => ({ name: 'fast', interface: ifname, deviceID });
  node.pod('web', [asked('a', B), asked('b', '0000:03:03.0'), asked('c', B), { name: 'fast', interface: 'd' }]);
  await until(() => node.events('AddedInterface').length === 2);
  await until(() => node.events('FailedAddingInterface').length === 2);
  t.match(node.events('FailedAddingInterface').sort(), [
    /interface b .*: device 0000:03:03\.0 is not one of vendor\/vf that the kubelet has given the pod/,
    /interface c .*: device 0000:03:02\.4 of vendor\/vf that the pod has: in use/,
  ]);
  t.strictSame(await given(node, 'd'), [A, A, A]);
});

onNode('a pod without the resource, and a kubelet that does not answer, are said', async (t) => {
  const { node, kubelet } = await nodeWithDevices(t, A);
  defineOf(node, 'faster', 'vendor/other');
  const pod = node.pod('web', 'faster@a');
  await until(() => node.events('FailedAddingInterface').length === 1);
  t.match(node.events('FailedAddingInterface'), [/the kubelet has given the pod no device of vendor\/other/]);
  kubelet.stop();
  pod.select('fast@b');
  await until(() => node.events('FailedAddingInterface').length === 2);
  t.match(node.events('FailedAddingInterface')[1], /interface b to network: fast: .*kubelet\.sock/);
});
