import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { PLUGIN_NAMES } from '../../plugins/index.ts';
import { installed } from '../support/build/single.ts';
import {
  annotationsOf,
  FLANNEL_ROUTES,
  flannelList,
  listOf,
  makeUplinks,
  routesIn,
  without,
} from '../support/kernel/examples.ts';
import { batch } from '../support/kernel/kinds.ts';
import { type MultiNetworkNode, multiNetworkNode, type StartedPod } from '../support/kubernetes/multi-network-node.ts';
import { settle } from '../support/namespaces/namespace.ts';
import { type List, type ListPlugin, noReferencePlugins } from '../support/plugins/chain.ts';

// multi-network on networks of every kind of link that the reference plugins make, and the pods of manifests/examples by
// their own annotations. A stand-in for the API server; the plugins, the links and the kernel are real.

/** Networks, each on a link to the outside of its own: what the first of its plugins makes, and then the others. */
const NETWORKS: { readonly [name: string]: readonly [ListPlugin, ...ListPlugin[]] } = {
  vlan: [
    { type: 'vlan', vlanId: 42 },
    { type: 'consistent-ifname', resultNames: 'both' },
  ],
  'ipvlan-l2': [{ type: 'ipvlan', mode: 'l2' }],
  'ipvlan-l3': [{ type: 'ipvlan', mode: 'l3' }],
  'ipvlan-l3s': [{ type: 'ipvlan', mode: 'l3s' }],
  'macvlan-bridge': [{ type: 'macvlan', mode: 'bridge' }],
  'macvlan-private': [{ type: 'macvlan', mode: 'private' }],
  'macvlan-vepa': [{ type: 'macvlan', mode: 'vepa' }],
  'macvlan-passthru': [{ type: 'macvlan', mode: 'passthru' }],
  vrf: [
    { type: 'macvlan', mode: 'bridge' },
    { type: 'vrf', vrfname: 'red', table: 1007 },
  ],
  dummy: [{ type: 'dummy' }],
  tap: [{ type: 'tap' }],
  bond: [{ type: 'made-bond' }],
  tun: [{ type: 'made-tun' }],
};

/** Makes those that the reference has no plugin for. */
const script = readFileSync(join(import.meta.dirname, '../support/kernel/link-plugin.sh'), 'utf8');

/** The name that consistent-ifname gives to the interface of `vlan`: `net` and 12 digits of its MD5. */
const VLAN = 'net1473e96aff02';

/** What the kernel calls those that it does not call as the plugin is called. */
const KINDS: { readonly [type: string]: string } = { tap: 'tun', 'made-tun': 'tun', 'made-bond': 'bond' };

/** ADD, a look at it, CHECK, DEL. The pod and the node must be as before then. `checked`: what CHECK answers. */
async function through(
  t: Test,
  { world, pod, checked = { code: 0 } }: { world: MultiNetworkNode; pod: StartedPod; checked?: object },
  look: () => void,
): Promise<void> {
  const binDir = installed(t);
  for (const name of ['made-bond', 'made-tun']) writeFileSync(join(binDir, name), script, { mode: 0o755 });
  const config = { binDir };
  const before = stateOf(pod);
  await pod.add({ config });
  look();
  const check = await pod.run('CHECK', { config });
  t.match(check, checked, check.stdout);
  const deleted = await pod.run('DEL', { config });
  t.equal(deleted.code, 0, deleted.stdout);
  t.equal(stateOf(pod), before);
  t.strictSame(world.leftovers(), []);
}

function stateOf({ scratch }: StartedPod): string {
  settle(scratch);
  return batch(scratch, ['link show', 'address show', 'route show table all'], ['-j']);
}

/** The list with a folder of the test's own for what our plugins record. */
function define({ define, folder }: MultiNetworkNode, list: List, namespace?: string): void {
  const plugins = list.plugins.map((plugin) => ({
    ...plugin,
    ...(PLUGIN_NAMES.includes(plugin.type) && { dataDir: `${folder}/data` }),
  }));
  define(list.name, { ...list, plugins }, namespace);
}

const noVlan = noReferencePlugins || without('vlan id 42', 'vlan');
const noIpvlan = noReferencePlugins || without('ipvlan', 'flannel', 'ipvlan');
const noOthers = noReferencePlugins || without('vrf table 7', 'vrf') || without('dummy', 'dummy', 'tap');

t.test('kactus: the Deployment’s pod has green and blue under their names', { skip: noVlan }, async (t) => {
  const world = await multiNetworkNode(t);
  makeUplinks(world.node, 'eth0');
  for (const name of ['green', 'blue']) define(world, listOf('kactus', name));
  const pod = world.pod('app1', annotationsOf('kactus', 'Deployment', 'app1'));
  // "The CHECK of a … vlan … before this plugin looks for the interface by CNI_IFNAME." (consistent-ifname/README.md)
  const checked = { document: { code: 106, msg: /plugin type="vlan" failed \(check\)/ } };
  await through(t, { world, pod, checked }, () => {
    t.match(pod.links(), {
      net9f27410725ab: ['192.168.42.10', 'fd10:42::1'],
      net48d6215903df: ['192.168.43.10', 'fd10:43::1'],
    });
    t.match(kindsIn(pod), { net9f27410725ab: 'vlan', net48d6215903df: 'vlan' });
  });
});

t.test('flannel-ipvlan: the pod has flannel and the cloud’s network', { skip: noIpvlan }, async (t) => {
  const world = await multiNetworkNode(t);
  makeUplinks(world.node, 'eth1');
  define(world, flannelList(t), 'kube-system');
  define(world, listOf('flannel-ipvlan', 'cloud-native'));
  const pod = world.pod('samplepod', annotationsOf('flannel-ipvlan', 'Pod', 'samplepod'));
  await through(t, { world, pod }, () => {
    t.match(kindsIn(pod), { net1: 'ipvlan' });
    t.strictSame(routesIn(pod.scratch), FLANNEL_ROUTES);
  });
});

t.test('a pod with a network of every kind of link', { skip: noIpvlan || noVlan || noOthers }, async (t) => {
  const world = await multiNetworkNode(t);
  const networks = Object.entries(NETWORKS).map(([name, [first, ...others]], index) => ({
    name,
    first,
    others,
    master: `up${index}`,
    ifname: name === 'vlan' ? VLAN : `net${index + 1}`,
    ips: [`10.5.${index}.9`, `fd00:5:${index + 1}::9`],
  }));
  for (const { name, first, others, master, ips } of networks) {
    makeUplinks(world.node, master);
    const addresses = ips.map((address) => ({ address: `${address}/${address.includes(':') ? 64 : 24}` }));
    const plugins = [{ ...first, master, ipam: { type: 'static', addresses } }, ...others];
    define(world, { cniVersion: '1.0.0', name, plugins });
  }
  // The CHECK of the reference's macvlan looks for its routes in the main table, and its vrf has moved them.
  const msg =
    /^network default\/vrf: plugin type="macvlan" failed \(check\): Failed to find Gateway <nil> for interface net9$/;
  const pod = world.pod('all', { 'k8s.v1.cni.cncf.io/networks': networks.map(({ name }) => name).join() });
  await through(t, { world, pod, checked: { code: 1, document: { code: 106, msg } } }, () => {
    t.match(
      kindsIn(pod),
      Object.fromEntries(networks.map(({ ifname, first }) => [ifname, KINDS[first.type] ?? first.type])),
    );
    t.match(pod.links(), Object.fromEntries(networks.map(({ ifname, ips }) => [ifname, ips])));
  });
});

function kindsIn({ scratch }: StartedPod): { [name: string]: string | undefined } {
  const links = scratch.ipJson('-d link show') as { ifname: string; linkinfo?: { info_kind: string } }[];
  return Object.fromEntries(links.map(({ ifname, linkinfo }) => [ifname, linkinfo?.info_kind]));
}
