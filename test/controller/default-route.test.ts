import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type FakePod, type HotPlugNode, hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// The stand-ins are those of controller.test.ts; routes are read by `ip`.

const onNode = (title: string, body: (t: Test) => Promise<void>) => t.test(title, { skip: noReferencePlugins }, body);

/** A network of both families with this subnet's number. */
function define(node: HotPlugNode, name: string, index: number, more: object = {}): void {
  const ranges = [[{ subnet: `10.79.${index}.0/24` }], [{ subnet: `fd00:79:${index}::/64` }]];
  const ipam = { type: 'host-local', dataDir: join(node.folder, 'leases'), ranges };
  node.define(name, { cniVersion: '1.0.0', type: 'bridge', bridge: `br-${name}`, ipam, ...more });
}

function podWithDefaults(node: HotPlugNode, networks: unknown = ''): FakePod {
  const pod = node.pod('web', networks);
  pod.scratch.ip('-6 address add fd00:250::7/64 dev eth0 nodad');
  pod.scratch.ip('route add default via 10.250.0.1 dev eth0');
  pod.scratch.ip('-6 route add default via fd00:250::1 dev eth0');
  return pod;
}

/** `4 10.250.0.1 eth0`, for each default route. */
function defaults(pod: FakePod): string[] {
  return [4, 6].flatMap((family) =>
    pod.scratch.ipJson(`-${family} route show default`).map(({ gateway, dev }) => `${family} ${gateway} ${dev}`),
  );
}

const ETH0 = ['4 10.250.0.1 eth0', '6 fd00:250::1 eth0'];
const BLUE = ['4 10.79.1.1 net1', '6 fd00:79:1::1 net1'];
const chosen = { name: 'blue', interface: 'net1', 'default-route': ['10.79.1.1', 'fd00:79:1::1'] };

onNode('the chosen network has the default routes while it is attached; then the others come back', async (t) => {
  const node = await hotPlugNode(t);
  define(node, 'blue', 1);
  define(node, 'green', 2, { isGateway: true, isDefaultGateway: true });
  const pod = podWithDefaults(node);
  pod.select([chosen]);
  await pod.has('net1');
  t.strictSame(defaults(pod), BLUE);
  t.match(pod.status()[1], { interface: 'net1', gateway: ['10.79.1.1', 'fd00:79:1::1'] });

  await node.restart();
  const { net1 } = pod.links();
  pod.select([chosen, { name: 'green', interface: 'net2' }]);
  await pod.has('net1', 'net2').catch(() => undefined);
  t.strictSame(defaults(pod), BLUE, 'also if a network comes later');
  t.strictSame(pod.links().net1, net1, 'the same link');

  pod.select('');
  await pod.has();
  t.strictSame(defaults(pod), ETH0);
  t.strictSame(node.leftovers(), []);
});

onNode('the selection changes its mind: one family, another gateway, none', async (t) => {
  const node = await hotPlugNode(t);
  define(node, 'blue', 1);
  const pod = podWithDefaults(node, [chosen]);
  await until(() => defaults(pod).join() === BLUE.join());
  pod.select([{ ...chosen, 'default-route': ['10.79.1.9'] }]);
  await until(() => defaults(pod).join() === `4 10.79.1.9 net1,${ETH0[1]}`);
  pod.select([{ name: 'blue', interface: 'net1' }]);
  await until(() => defaults(pod).join() === ETH0.join());
  await pod.has('net1');
});

onNode(
  'a gateway that cannot be: nothing is left of the attachment, an event says why, and it is tried again',
  async (t) => {
    const node = await hotPlugNode(t);
    define(node, 'blue', 1);
    const pod = podWithDefaults(node, [{ ...chosen, 'default-route': ['10.1.2.3'] }]);
    await until(() => node.events('FailedAddingInterface').length === 1);
    t.match(node.events('FailedAddingInterface'), [/net1 to network: blue: default-route: .*10\.1\.2\.3/]);
    t.strictSame(Object.keys(pod.links()), ['eth0']);
    t.strictSame(defaults(pod), ETH0);
    t.strictSame(node.leftovers(), []);
    t.match(node.controller.status().pending, [{ what: 'attach net1 to default/blue' }]);
    pod.select([chosen]);
    await pod.has('net1');
    t.strictSame(defaults(pod), BLUE);
  },
);

onNode('the default routes come back if somebody in the pod deletes the interface', async (t) => {
  const node = await hotPlugNode(t);
  define(node, 'blue', 1);
  const pod = podWithDefaults(node, [chosen]);
  await pod.has('net1');
  pod.scratch.ip('link delete net1');
  pod.select('');
  await until(() => defaults(pod).join() === ETH0.join());
  await pod.has();
  t.strictSame(node.leftovers(), []);
});

onNode('a pod that ends leaves no journal', async (t) => {
  const node = await hotPlugNode(t);
  define(node, 'blue', 1);
  const pod = podWithDefaults(node, [chosen]);
  await pod.has('net1');
  t.ok(node.leftovers().some((file) => file.startsWith('data/default-route/')));
  for (const sandbox of node.cri.sandboxes) sandbox.ready = false;
  node.api.delete(pod.path);
  await until(() => node.leftovers().length === 0);
});
