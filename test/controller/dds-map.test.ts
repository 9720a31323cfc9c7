import { spawnSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { installed } from '../support/build/single.ts';
import { type FakePod, hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { bundleOf } from '../support/plugins/call.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';
import { TOPOLOGY_YAML } from '../support/plugins/topology.ts';
import { until } from '../support/until.ts';

// ddsnet4u's own map, with all its subnets, edited while pods run: half of them have the plugin, the others got their routes from
// an init container, and keep them. WAYMARK_DDS_PODS=50 sets how many pods there are.

const PODS = Number(process.env.WAYMARK_DDS_PODS ?? 8);
const GATEWAY = '139.229.166.254';
const OTHERS = ['139.229.147.0/24', '139.229.167.0/24', '139.229.170.0/24', '139.229.178.0/24'];

function routesOf({ scratch }: FakePod): string[] {
  return scratch
    .ipJson('route show')
    .filter(({ gateway }) => gateway === GATEWAY)
    .map(({ dst }) => String(dst))
    .sort();
}

const title = `ddsnet4u's map is edited while ${PODS} pods run, with the plugin and beside init containers`;
t.test(title, { skip: noReferencePlugins }, async (t) => {
  t.setTimeout(600_000);
  const node = await hotPlugNode(t);
  installed(t, join(node.folder, 'bin'));
  const file = join(node.folder, 'ddsnet4u.yaml');
  const write = (text: string) => {
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  };
  write(TOPOLOGY_YAML);
  const ipam = { type: 'host-local', dataDir: join(node.folder, 'leases'), ranges: [[{ subnet: '139.229.166.0/24' }]] };
  const bridge = { type: 'bridge', bridge: 'br-dds', ipam };
  const plugin = { type: 'static-route', topologyFile: file, dataDir: join(node.folder, 'data') };
  node.define('dds', { cniVersion: '1.0.0', plugins: [bridge, plugin] });
  node.define('dds-plain', { cniVersion: '1.0.0', plugins: [bridge] });
  const pods = Array.from({ length: PODS }, (_, index) =>
    node.pod(`pod-${index}`, `${index % 2 ? 'dds-plain' : 'dds'}@net1`),
  );
  for (const pod of pods) await pod.has('net1');
  const followers = pods.filter((_, index) => index % 2 === 0);
  const beside = pods.filter((_, index) => index % 2 === 1);
  for (const { scratch } of beside) {
    const args = [
      'netns',
      'exec',
      scratch.name,
      process.execPath,
      bundleOf('waymark'),
      'routes',
      '--config',
      file,
      '--interface',
      'net1',
    ];
    const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
    t.equal(status, 0, stderr);
  }
  const all = (which: readonly FakePod[], ...wanted: string[]) => {
    const text = wanted.toSorted().join();
    return until(() => which.every((pod) => routesOf(pod).join() === text), `not all pods have ${text}`);
  };
  await all(pods, ...OTHERS);

  write(
    TOPOLOGY_YAML.replace(
      '      139.229.147.0/24:',
      '      139.229.140.0/24: {gw: 139.229.140.254}\n      139.229.147.0/24:',
    ),
  );
  await all(followers, '139.229.140.0/24', ...OTHERS);
  await all(beside, ...OTHERS);
  write(TOPOLOGY_YAML.replace(/ {6}139\.229\.178\.0.*\n/, ''));
  await all(followers, ...OTHERS.slice(0, -1));
  await all(beside, ...OTHERS);
  write(TOPOLOGY_YAML);
  await all(pods, ...OTHERS);
  // Events are written when there is time for them.
  await until(
    () => node.events('UpdatedRoutes').length >= followers.length,
    'not each pod with the plugin has an event',
  );
  t.strictSame([...node.events('FailedUpdatingRoutes'), ...node.events('RemovedInterface')], []);
});
