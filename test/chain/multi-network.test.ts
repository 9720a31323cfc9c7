import t from 'tap';
import { type Driver, noCnitool, noReferencePlugins, scratchNode } from '../support/plugins/chain.ts';

// multi-network in network lists, run by cnitool and by `waymark cni`: its executable, the reference plugins, the kernel.

const bridge = (name: string, subnet: string) => ({
  cniVersion: '1.0.0',
  name,
  type: 'bridge',
  bridge: `br-${name}`,
  ipam: { type: 'host-local', ranges: [[{ subnet }]] },
});
const DELEGATES = [bridge('pods', '10.60.0.0/24'), bridge('storage', '10.61.0.0/24')];
const { name: _, cniVersion: __, ...CLUSTER_PLUGIN } = DELEGATES[0] ?? bridge('pods', '10.60.0.0/24');

const DRIVERS: [Driver, string | false][] = [
  ['cnitool', noCnitool],
  ['waymark cni', noReferencePlugins],
];

for (const [driver, skip] of DRIVERS) {
  t.test(`${driver}: every network of the config, checked and deleted without a trace`, { skip }, async (t) => {
    for (const cniVersion of ['0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
      const world = scratchNode(t);
      world.writeList({ cniVersion, name: 'all', plugins: [{ type: 'multi-network', delegates: DELEGATES }] });
      const result = world.must(driver, 'add', 'all', { CNI_IFNAME: 'eth0' });
      t.equal(result.cniVersion, cniVersion);
      t.match(result.ips, [{ address: /^10\.60\.0\./ }], 'the result of the pod’s own network');
      const links = world.pod.ipJson('link show').map(({ ifname }) => ifname);
      t.strictSame(links, ['lo', 'eth0', 'net1']);
      if (cniVersion !== '0.3.1') world.must(driver, 'check', 'all', { CNI_IFNAME: 'eth0' });
      world.must(driver, 'del', 'all', { CNI_IFNAME: 'eth0' });
      t.strictSame(
        world.pod.ipJson('link show').map(({ ifname }) => ifname),
        ['lo'],
        cniVersion,
      );
      t.strictSame(world.leftovers(), [], cniVersion);
    }
  });

  t.test(`${driver}: a pod that started before it was the cluster’s entry is deleted by it`, { skip }, async (t) => {
    const world = scratchNode(t);
    world.writeList({ cniVersion: '1.0.0', name: 'pods', plugins: [CLUSTER_PLUGIN] });
    world.must(driver, 'add', 'pods', { CNI_IFNAME: 'eth0' });
    world.writeList({ cniVersion: '1.0.0', name: 'front', plugins: [{ type: 'multi-network', delegates: DELEGATES }] });
    world.must(driver, 'del', 'front', { CNI_IFNAME: 'eth0' });
    t.strictSame(
      world.pod.ipJson('link show').map(({ ifname }) => ifname),
      ['lo'],
    );
    t.strictSame(world.leftovers(), []);
  });
}

t.test('a pod of Kubernetes is refused where nobody can be asked for its networks', { skip: noCnitool }, async (t) => {
  const world = scratchNode(t);
  world.writeList({ cniVersion: '1.0.0', name: 'all', plugins: [{ type: 'multi-network', delegates: DELEGATES }] });
  const args = { CNI_IFNAME: 'eth0', CNI_ARGS: 'K8S_POD_NAMESPACE=default;K8S_POD_NAME=web' };
  const { status, stdout, stderr } = world.drive('cnitool', 'add', 'all', args);
  t.not(status, 0);
  t.match(`${stdout}${stderr}`, /nobody can be asked for the networks of pod default\/web/);
  t.strictSame(
    world.pod.ipJson('link show').map(({ ifname }) => ifname),
    ['lo'],
  );
});
