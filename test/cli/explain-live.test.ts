import { spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { explainList, explanationLines } from '../../cli/explain.ts';
import { noNamespaces, scratchFolder } from '../support/namespaces/namespace.ts';
import { bundleOf } from '../support/plugins/call.ts';
import { BRIDGE, type Driver, noCnitool, noReferencePlugins, scratchNode } from '../support/plugins/chain.ts';

// `waymark explain --netns` on pods of the reference plugins: it finds the result that the runtime has cached.

const NET = { cniVersion: '1.0.0', name: 'green' };
const KEY = '$' + '{K8S_POD_NAME}';

function worldOf(t: Test) {
  const world = scratchNode(t);
  const list = join(world.folder, 'net.d/green.conflist');
  const cache = join(world.folder, 'lib/cni');
  const explain = (args: string[] = []) => {
    const command = [bundleOf('waymark'), 'explain', list, '--netns', world.pod.path, '--cache-dir', cache, ...args];
    const ran = spawnSync('ip', ['netns', 'exec', world.node.name, process.execPath, ...command], { encoding: 'utf8' });
    return { status: ran.status, lines: ran.stdout.trim().split('\n'), stderr: ran.stderr };
  };
  const cached = (ifname: string, containerID: string) => join(cache, `results/green-${containerID}-${ifname}`);
  return { ...world, explain, cached, list };
}

t.test('tells the routes that ADD makes, by the gateway of the result in the cache', async (t) => {
  for (const [driver, skip] of [
    ['waymark cni', noReferencePlugins],
    ['cnitool', noCnitool],
  ] as [Driver, string | false][]) {
    t.test(`of ${driver}`, { skip }, async (t) => {
      const world = worldOf(t);
      world.writeList({ ...NET, plugins: [BRIDGE, { type: 'static-route', routes: [{ dst: '10.9.0.0/16' }] }] });
      world.must(driver, 'add', 'green', { CNI_IFNAME: 'net1' });
      const note = 'with the cached result of this attachment, net1';
      const route = 'add route 10.9.0.0/16 via 10.131.0.1 dev net1';
      t.match(world.pod.ipJson('route show 10.9.0.0/16'), [{ gateway: '10.131.0.1', dev: 'net1' }]);
      t.strictSame(world.explain().lines, [
        'network green',
        note,
        'plugins[0] bridge: not ours, passed over',
        'plugins[1] static-route:',
        `  there already: ${route}`,
        '  nothing to do',
      ]);
      world.pod.ip('route del 10.9.0.0/16');
      t.equal(world.explain().lines.at(-1), `  would ${route}`, 'and what is lost');
      t.equal(world.explain(['--ifname', 'net1']).lines[1], note);
      t.match(world.explain(['--ifname', 'net7']).lines[1], /^the pod has no net7, /);
      world.must(driver, 'del', 'green', { CNI_IFNAME: 'net1' });
    });
  }
});

t.test(
  'a cache of an older libcni, and another path of the same namespace, do too',
  { skip: noReferencePlugins },
  async (t) => {
    const world = worldOf(t);
    const plugins = [BRIDGE, { type: 'consistent-ifname', mode: 'altname', key: KEY }];
    world.writeList({ ...NET, plugins });
    world.must('waymark cni', 'add', 'green', { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAME=web-1' });
    const [name = ''] = world.leftovers().filter((file) => file.startsWith('green-'));
    const file = join(world.folder, 'lib/cni/results', name);
    const { netns: _, ...older } = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify(older));
    const link = join(scratchFolder(t), 'netns');
    symlinkSync(world.pod.path, link);
    const { lines, status, stderr } = world.explain(['--netns', link]);
    t.equal(status, 0, stderr);
    t.match(lines, ['network green', /^with the cached result of this attachment, eth0$/]);
    t.match(lines.at(-2), /^ {2}there already: add altname net[0-9a-f]{12} to eth0$/, 'with the CNI_ARGS of its ADD');
  },
);

t.test(
  'for a pod that has no interface yet, only the configs are validated',
  { skip: noReferencePlugins },
  async (t) => {
    const world = worldOf(t);
    world.writeList({ ...NET, plugins: [BRIDGE, { type: 'static-route', routes: [{ dst: '10.9.0.0/16' }] }] });
    const { lines, status } = world.explain();
    t.equal(status, 0);
    t.strictSame(lines, [
      'network green',
      'the pod has no eth0, which bridge would create: only the configs are validated',
      'plugins[0] bridge: not ours, passed over',
      'plugins[1] static-route:',
      '  would add route 10.9.0.0/16 via the gateway of the previous result, else on the link',
    ]);
    world.writeList({ ...NET, plugins: [{ type: 'static-route', routes: [{ dst: '10.9.0.0/16' }] }] });
    t.match(
      world.explain().lines.slice(2),
      ['  error 100: the pod has no interface "eth0"'],
      'a list of ours alone needs it',
    );
  },
);

t.test('a misspelt type is passed over with a hint', { skip: noNamespaces }, async (t) => {
  const file = join(scratchFolder(t), 'green.conflist');
  const plugins = [{ type: 'static-routes' }, { type: 'seamless_gateway' }, { type: 'static' }];
  writeFileSync(file, JSON.stringify({ ...NET, plugins }));
  t.strictSame(explanationLines(await explainList(file, {}, {})).slice(2), [
    'plugins[0] static-routes: not ours, passed over; did you mean "static-route"?',
    'plugins[1] seamless_gateway: not ours, passed over; did you mean "seamless-gateway"?',
    'plugins[2] static: not ours, passed over',
  ]);
});
