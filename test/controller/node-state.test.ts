import { join } from 'node:path';
import t from 'tap';
import { NodeState } from '../../controller/node-state.ts';
import { HERE } from '../../lib/cni/place.ts';
import { isNamespaceAt } from '../../lib/netns/netns.ts';
import type { Observation } from '../../lib/observation/observation.ts';
import { hostState } from '../../plugins/seamless-gateway/plan.ts';
import { installed } from '../support/build/single.ts';
import { hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { noNamespaces, type Scratch, scratchNamespace } from '../support/namespaces/namespace.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

/** A node with a default route. */
function uplinkOf({ ip }: Scratch): void {
  for (const command of [
    'link add eth0 type veth peer name router',
    'link set router up',
    'link set eth0 up',
    'address add 192.0.2.7/24 dev eth0',
    'address add 2001:db8::7/64 dev eth0 nodad',
    'route add default via 192.0.2.1',
  ])
    ip(command);
}

const placeOf = ({ path }: Scratch) => ({
  ...HERE,
  ownNamespace: path,
  isOwn: (namespace: Parameters<typeof isNamespaceAt>[1]) => isNamespaceAt(path, namespace),
});

t.test(
  'users are told of what they depend on, and nobody of what is gone for a moment',
  { skip: noNamespaces },
  async (t) => {
    const node = scratchNamespace(t);
    uplinkOf(node);
    const told: string[] = [];
    const state = new NodeState({
      ...{ place: placeOf(node), pacing: {} },
      changed: (users) => told.push(...users),
      failed: (error) => t.fail(error.message),
    });
    t.teardown(() => state.close());
    const reader = (keys: { [key: string]: unknown }) => (host: Observation) => hostState(keys, host);
    node.ip('link add eth1 type veth peer name eth1-peer');
    t.strictSame(state.use('a', [reader({})]), ['192.0.2.7 2001:db8::7']);
    t.strictSame(state.use('b', [reader({ hostInterface: 'eth1' }), reader({ hostAddresses: ['192.0.2.9'] })]), [
      '',
      '',
    ]);
    node.ip('address add 198.51.100.7/24 dev eth1');
    await until(() => told.length > 0);
    t.strictSame(told, ['b']);
    t.strictSame(state.use('b', [reader({ hostInterface: 'eth1' })]), ['198.51.100.7']);
    node.ip('address del 192.0.2.7/24 dev eth0');
    node.ip('address add 192.0.2.8/24 dev eth0');
    node.ip('route add default via 192.0.2.1');
    await until(() => told.includes('a'));
    t.strictSame(state.use('a', [reader({})]), ['192.0.2.8 2001:db8::7']);
    node.ip('link del eth1');
    t.strictSame(state.use('b', [reader({ hostInterface: 'eth1' })]), ['198.51.100.7'], 'as it was');
  },
);

t.test('seamless-gateway follows a node whose address changes', { skip: noReferencePlugins }, async (t) => {
  const node = await hotPlugNode(t);
  installed(t, join(node.folder, 'bin'));
  uplinkOf(node.node);
  await node.restart({ place: placeOf(node.node) });
  const ipam = {
    type: 'host-local',
    dataDir: join(node.folder, 'leases'),
    ranges: [[{ subnet: '10.79.0.0/16', gateway: '10.79.0.1' }]],
  };
  // The executable runs in this process' network; the agent plans in the node's.
  const own = { type: 'seamless-gateway', dataDir: join(node.folder, 'data') };
  const define = (keys: { [key: string]: unknown }) =>
    node.define('blue', {
      cniVersion: '1.0.0',
      plugins: [
        { type: 'bridge', bridge: 'br-blue', ipam },
        { ...own, ...keys },
      ],
    });
  define({ hostAddresses: ['192.0.2.99'] });
  const pod = node.pod('web', 'blue@net1');
  const has = (address: string) => {
    const ours = () => pod.scratch.ip('route show proto 87').trim();
    return until(() => ours() === `${address} via 10.79.0.1 dev net1`, `it has no route to ${address}`);
  };
  await has('192.0.2.99');
  define({});
  await has('192.0.2.7');
  node.node.ip('address del 192.0.2.7/24 dev eth0');
  node.node.ip('address add 192.0.2.8/24 dev eth0');
  node.node.ip('route add default via 192.0.2.1');
  await has('192.0.2.8');
  t.equal(node.events('FailedUpdatingRoutes').length, 0);
});
