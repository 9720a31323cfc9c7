import t, { type Test } from 'tap';
import { FLANNEL_ROUTES, flannelList, listOf, makeUplinks, routesIn, without } from '../support/kernel/examples.ts';
import { batch } from '../support/kernel/kinds.ts';
import { type Scratch, settle } from '../support/namespaces/namespace.ts';
import { type Node, noCnitool, scratchNode } from '../support/plugins/chain.ts';

// The networks of manifests/examples/kactus and flannel-ipvlan with the plugins that they name, run by cnitool, and a VRF by
// the reference plugin. With stand-ins for those plugins: test/manifests/networks.test.ts.

/** A node with two links to the outside, `eth0` and `eth1`. */
function nodeOf(t: Test): Node {
  const world = scratchNode(t);
  makeUplinks(world.node, 'eth0', 'eth1');
  return world;
}

/** Adds the networks one after another, has a look, deletes them. The pod must be as before then, and the node too. */
function through(t: Test, world: Node, networks: [name: string, env: { [name: string]: string }][], look: () => void) {
  const before = stateOf(world.pod);
  for (const [name, env] of networks) world.must('cnitool', 'add', name, env);
  look();
  for (const [name, env] of networks.toReversed()) world.must('cnitool', 'del', name, env);
  t.equal(stateOf(world.pod), before);
  t.strictSame(world.leftovers(), []);
}

function stateOf(pod: Scratch): string {
  settle(pod);
  return batch(pod, ['link show', 'address show', 'route show table all'], ['-j']);
}

const ips = (...list: string[]) => ({ CAP_ARGS: JSON.stringify({ ips: list }) });

t.test(
  'kactus: the VLANs green and blue have their names',
  { skip: noCnitool || without('vlan id 42', 'vlan') },
  async (t) => {
    const world = nodeOf(t);
    for (const name of ['green', 'blue']) world.writeList(listOf('kactus', name));
    const green = { CNI_IFNAME: 'net1', ...ips('192.168.42.10/24', 'fd10:42::1/64') };
    const blue = { CNI_IFNAME: 'net2', ...ips('192.168.43.10/24', 'fd10:43::1/64') };
    const networks: [string, typeof green][] = [
      ['green', green],
      ['blue', blue],
    ];
    through(t, world, networks, () => {
      for (const [name, id, address] of [
        ['net9f27410725ab', 42, 'fd10:42::1'],
        ['net48d6215903df', 43, 'fd10:43::1'],
      ]) {
        t.match(world.pod.ipJson(`-d link show dev ${name}`), [{ linkinfo: { info_kind: 'vlan', info_data: { id } } }]);
        t.match(world.pod.ipJson(`-6 address show dev ${name} scope global`), [{ addr_info: [{ local: address }] }]);
      }
    });
  },
);

t.test(
  'flannel-ipvlan: the pod has the four routes',
  { skip: noCnitool || without('ipvlan', 'flannel', 'ipvlan') },
  async (t) => {
    const world = nodeOf(t);
    world.writeList(flannelList(t));
    world.writeList(listOf('flannel-ipvlan', 'cloud-native'));
    const networks: [string, { [name: string]: string }][] = [
      ['flannel', { CNI_IFNAME: 'eth0' }],
      ['cloud-native', { CNI_IFNAME: 'net1', ...ips('10.5.2.203/24') }],
    ];
    through(t, world, networks, () => {
      t.match(world.pod.ipJson('-d link show dev net1'), [
        { linkinfo: { info_kind: 'ipvlan', info_data: { mode: 'l2' } } },
      ]);
      t.strictSame(routesIn(world.pod), FLANNEL_ROUTES);
    });
  },
);

t.test(
  'the reference plugin vrf: our routes are in its table',
  { skip: noCnitool || without('vrf table 7', 'vrf') },
  async (t) => {
    const world = nodeOf(t);
    const ipam = {
      type: 'static',
      addresses: [
        { address: '10.5.3.9/24', gateway: '10.5.3.1' },
        { address: 'fd00:3::9/64', gateway: 'fd00:3::1' },
      ],
    };
    world.writeList({
      cniVersion: '1.0.0',
      name: 'red',
      plugins: [
        { type: 'macvlan', master: 'eth0', ipam },
        { type: 'vrf', vrfname: 'red', table: 1007 },
        { type: 'static-route', routes: [{ dst: '10.9.0.0/16' }, { dst: '2001:db8:9::/48' }] },
        { type: 'seamless-gateway', hostAddresses: ['10.0.32.2'] },
        { type: 'consistent-ifname' },
      ],
    });
    through(t, world, [['red', { CNI_IFNAME: 'net1' }]], () => {
      const routes = ['-4', '-6'].flatMap((family) => world.pod.ipJson(`${family} route show table 1007 proto 87`));
      t.strictSame(
        routes.map(({ dst, gateway }) => `${dst} ${gateway}`),
        ['10.0.32.2 10.5.3.1', '10.9.0.0/16 10.5.3.1', '2001:db8:9::/48 fd00:3::1'],
      );
      t.match(world.pod.ip('route get 10.9.0.1 vrf red'), 'via 10.5.3.1');
    });
  },
);
