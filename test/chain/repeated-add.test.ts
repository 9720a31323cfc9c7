import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { settle } from '../support/namespaces/namespace.ts';
import { BRIDGE, noReferencePlugins, scratchNode } from '../support/plugins/chain.ts';

// A second `add` of what is attached already, in front of the reference bridge, whose DEL removes an interface by name.

t.test('a repeated add leaves the attachment as it is', { skip: noReferencePlugins }, async (t) => {
  const world = scratchNode(t);
  world.writeList({ cniVersion: '1.0.0', name: 'green', plugins: [BRIDGE, { type: 'static-route' }] });
  world.must('waymark cni', 'add', 'green');
  settle(world.pod);
  const state = () =>
    JSON.stringify([world.pod.ipJson('link show'), world.pod.ipJson('address show'), world.leftovers()]);
  const before = state();
  const again = world.drive('waymark cni', 'add', 'green');
  t.equal(again.status, 1);
  t.match(
    again.stderr,
    /^waymark: network "green" is already attached to .* as eth0 \(container cnitool-\w+\); detach it/,
  );
  t.equal(state(), before);

  t.test('also where the cache does not know of it', async (t) => {
    rmSync(join(world.folder, 'lib/cni/results'), { recursive: true });
    const [links, addresses] = [world.pod.ipJson('link show'), world.pod.ipJson('address show')];
    const { status, stderr } = world.drive('waymark cni', 'add', 'green');
    t.equal(status, 1);
    t.match(stderr, /plugin type="bridge" failed \(add\): .*already exists/);
    t.strictSame([world.pod.ipJson('link show'), world.pod.ipJson('address show')], [links, addresses]);
  });

  world.must('waymark cni', 'del', 'green');
  t.strictSame(world.pod.ipJson('link show type veth'), [], 'and del takes it away');
});

t.test('without CNI_PATH, and with a plugin missing, it fails in one line', { skip: noReferencePlugins }, async (t) => {
  const world = scratchNode(t);
  world.writeList({ cniVersion: '1.0.0', name: 'green', plugins: [BRIDGE, { type: 'static-route' }] });
  for (const command of ['add', 'del']) {
    const { status, stderr } = world.drive('waymark cni', command, 'green', { CNI_PATH: '' });
    t.equal(status, 1);
    t.equal(stderr, 'waymark: CNI_PATH is not set; it names the folders of the plugins\n');
  }
  const { stderr } = world.drive('waymark cni', 'add', 'green', { CNI_PATH: '/nonexistent' });
  t.equal(
    stderr,
    'waymark: there is no plugin "bridge" in CNI_PATH (/nonexistent); there is no plugin "static-route" in CNI_PATH (/nonexistent)\n',
  );
  t.match(
    world.drive('waymark cni', 'add', 'grene').stderr,
    /^waymark: no network "grene" in .*net\.d; it has green\n$/,
  );
});
