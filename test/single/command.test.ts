import { linkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { VERSION } from '../../lib/version.ts';
import { ASK_VERSION, installed, noSingle, start } from '../support/build/single.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { PLUGINS } from '../support/plugins/plugins.ts';
import { TOPOLOGY_YAML } from '../support/plugins/topology.ts';

// The single-file executable as the `waymark` command.

const skip = noSingle || noNamespaces;

t.test('the command', { skip }, async (t) => {
  const folder = installed(t);
  const waymark = join(folder, 'waymark');

  t.test('tells its version and its help, and refuses what it does not know', async (t) => {
    t.match(start(waymark, {}, '', ['--version']), { code: 0, stdout: `${VERSION}\n`, stderr: '' });
    t.match(start(waymark, {}, '', ['--help']), {
      code: 0,
      stdout: /Usage: waymark .*\n[\s\S]* routes .*\n/,
      stderr: '',
    });
    for (const args of [['nonsense'], ['--inspect'], ['--eval', '1'], ['--expose-gc']]) {
      t.match(start(waymark, {}, '', args), { code: 1, stdout: '', stderr: /^error: unknown/ }, args.join(' '));
    }
  });

  t.test('an executable of any other name is the command', async (t) => {
    for (const name of ['foo', 'static-route.bak', 'Static-Route', '.static-route.tmp']) {
      linkSync(waymark, join(folder, name));
      t.match(start(join(folder, name), ASK_VERSION, '', ['--version']), { code: 0, stdout: `${VERSION}\n` }, name);
    }
  });

  t.test('cni runs a list of the executables beside it', async (t) => {
    const pod = scratchPod(t);
    const lists = scratchFolder(t);
    const cache = scratchFolder(t);
    const dataDir = join(scratchFolder(t), 'data');
    const plugins = PLUGINS.map(({ name, config, adds }) => ({ type: name, dataDir, ...config, ...adds?.config }));
    writeFileSync(join(lists, 'net.conflist'), JSON.stringify({ cniVersion: '1.1.0', name: 'net', plugins }));
    const env = { CNI_PATH: folder, NETCONFPATH: lists };
    const cni = (verb: string) => start(waymark, env, '', ['cni', verb, 'net', pod.path, '--cache-dir', cache]);
    const before = pod.routes();
    const added = cni('add');
    t.equal(added.code, 0, added.stderr);
    t.match(JSON.parse(added.stdout), { cniVersion: '1.1.0', interfaces: [{ name: /^net[0-9a-f]{12}$/ }] });
    t.match(cni('check'), { code: 0, stdout: '' });
    t.match(cni('status'), { code: 0, stdout: '' });
    t.match(cni('del'), { code: 0, stdout: '' });
    t.equal(pod.routes(), before);
    t.match(cni('check'), { code: 1, stdout: '', stderr: /^waymark: .*"static-route" failed \(check\)/m });
  });

  t.test('routes reads a map in YAML', async (t) => {
    const pod = scratchPod(t);
    pod.ip('link add net1 type veth peer name wire1');
    pod.ip('link set wire1 up');
    pod.ip('link set net1 up');
    pod.ip('address add 140.252.147.50/28 dev net1');
    const map = join(scratchFolder(t), 'map.yaml');
    writeFileSync(map, TOPOLOGY_YAML);
    const args = ['netns', 'exec', pod.name, waymark, 'routes', '--config', map];
    const ran = start('ip', { PATH: process.env.PATH }, '', args);
    t.equal(ran.code, 0, ran.stderr);
    t.match(ran.stdout, /\nadded 2 routes\n$/);
    t.equal(pod.ipJson('route show proto 87').length, 2);
  });
});
