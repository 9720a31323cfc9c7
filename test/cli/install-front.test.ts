import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { clusterListIn, FRONT_LIST, frontListText } from '../../lib/install/cluster-list.ts';
import { must, place, runInstaller, startInstaller, sums, until } from '../support/build/installer.ts';
import { noSingle } from '../support/build/single.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';

// `waymark install --mode multi-network`: a list of ours in front of the cluster's.

const FROM = join(import.meta.dirname, '../../dist/bin');
const flannel = (more: object = {}) => ({
  cniVersion: '1.0.0',
  name: 'cbr0',
  plugins: [
    { type: 'flannel', ...more },
    { type: 'portmap', capabilities: { portMappings: true, other: false } },
  ],
});

t.test(
  'the cluster’s own list is the first that runs no meta plugin; ours names it by its path on the node',
  async (t) => {
    const folder = scratchFolder(t);
    const write = (name: string, content: unknown) =>
      writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
    t.equal(clusterListIn(join(folder, 'absent')), undefined);
    t.equal(clusterListIn(folder), undefined);
    write('00-multus.conf', { cniVersion: '0.3.1', name: 'multus-cni-network', type: 'multus-shim' });
    write(FRONT_LIST, { cniVersion: '1.0.0', name: 'waymark', plugins: [{ type: 'multi-network' }] });
    write('05-broken.conflist', '{"name": "half');
    write('07-empty.conflist', { cniVersion: '1.0.0', name: 'empty', plugins: [] });
    write('readme.txt', 'x');
    mkdirSync(join(folder, '06-folder.conflist'));
    t.equal(clusterListIn(folder), undefined);
    write('10-flannel.conflist', flannel());
    write('20-other.conf', { cniVersion: '0.4.0', name: 'other', type: 'bridge' });
    const found = clusterListIn(folder);
    t.equal(found?.file, '10-flannel.conflist');
    if (found === undefined) return;
    t.strictSame(JSON.parse(frontListText(found, '/etc/cni/net.d')), {
      cniVersion: '1.0.0',
      name: 'waymark',
      plugins: [
        {
          type: 'multi-network',
          clusterNetwork: '/etc/cni/net.d/10-flannel.conflist',
          capabilities: { portMappings: true },
        },
      ],
    });
  },
);

t.test(
  'our list stands in front while the cluster has one, follows it, and is repaired',
  { skip: noSingle },
  async (t) => {
    const { binDir, netDir, to } = place(t);
    const front = join(netDir, FRONT_LIST);
    const args = ['--mode', 'multi-network', '--from', FROM, '--node-net-dir', '/etc/cni/net.d', ...to];
    writeFileSync(join(netDir, '10-flannel.conflist'), JSON.stringify(flannel()));
    const installer = await startInstaller(t, args);
    const network = () => JSON.parse(readFileSync(front, 'utf8')).plugins[0].clusterNetwork;
    t.equal(network(), '/etc/cni/net.d/10-flannel.conflist');
    t.equal(statSync(front).mode & 0o777, 0o600);
    t.equal(
      sums(join(binDir, 'multi-network'), join(FROM, '../shim/multi-network')).length,
      1,
      'calls go to the agent',
    );

    // The list of another network comes, and the first one goes.
    writeFileSync(join(netDir, '05-calico.conflist'), JSON.stringify({ ...flannel(), name: 'calico' }));
    await until(() => network().endsWith('/05-calico.conflist'), 'the new list', installer.stderr);
    rmSync(join(netDir, '05-calico.conflist'));
    await until(() => network().endsWith('/10-flannel.conflist'), 'the list that is left', installer.stderr);
    rmSync(front);
    await until(() => existsSync(front), 'it is put back', installer.stderr);
    rmSync(join(netDir, '10-flannel.conflist'));
    await until(() => !existsSync(front), 'it goes with the cluster’s', installer.stderr);
    writeFileSync(join(netDir, '10-flannel.conflist'), JSON.stringify(flannel()));
    await until(() => existsSync(front), 'it comes with the cluster’s', installer.stderr);

    process.kill(installer.pid, 'SIGTERM');
    t.equal(await installer.ended, 0, installer.stderr());
    t.ok(existsSync(front), 'an update of the installer takes nothing away');
    must(['--uninstall', ...to]);
    t.strictSame(readdirSync(netDir), ['10-flannel.conflist']);
    t.strictSame(readdirSync(binDir), []);
  },
);

t.test('without a list of the cluster’s it waits, and with --once it says so', { skip: noSingle }, async (t) => {
  const { netDir, to } = place(t);
  const { status, stderr } = runInstaller(['--once', '--mode', 'multi-network', '--from', FROM, ...to]);
  t.equal(status, 1);
  t.match(stderr, /has no network list of the cluster's/);
  t.strictSame(readdirSync(netDir), []);
});

t.test('executables stay while a list of ours cannot be reached', { skip: noSingle }, async (t) => {
  const { binDir, netDir, to } = place(t);
  writeFileSync(join(netDir, '10-flannel.conflist'), JSON.stringify(flannel()));
  must(['--once', '--mode', 'multi-network', '--from', FROM, ...to]);
  rmSync(netDir, { recursive: true });
  const { status, stderr } = runInstaller(['--uninstall', ...to]);
  t.equal(status, 1);
  t.match(stderr, /net\.d is not here, and has a network list of ours/);
  t.ok(existsSync(join(binDir, 'multi-network')));
});
