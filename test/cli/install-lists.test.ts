import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runInstall } from '../../cli/install.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';

// Which network lists `waymark install` takes.

function place(t: Test) {
  const folder = scratchFolder(t);
  for (const name of ['bin', 'from', 'net.d']) mkdirSync(join(folder, name));
  const install = (plugins: object[]) => {
    const source = join(folder, 'green.conflist');
    writeFileSync(source, JSON.stringify({ cniVersion: '1.0.0', name: 'green', plugins }));
    const [from, binDir, netDir] = ['from', 'bin', 'net.d'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const options = { from, binDir, netDir, mode: 'standalone', netList: [source], once: true } as const;
    return runInstall({ ...options, netList: [...options.netList] }, { say: () => {}, log: () => {} });
  };
  return { folder, install };
}

t.test('a list that explain refuses is not installed, nor anything else', async (t) => {
  const { folder, install } = place(t);
  const bridge = { type: 'bridge' };
  await t.rejects(install([bridge, { type: 'static-route', routes: [{ dst: '10.9.0.1/16' }] }]), {
    name: 'InstallError',
    message:
      /green\.conflist would fail: plugins\[1\] static-route: error 7: .*routes\[0\]\.dst: .* \(see waymark explain\)$/,
  });
  await t.rejects(install([{ type: 'consistent-ifname', prefix: 'much-too-long' }]), {
    message: /plugins\[0\] .*error 7: /,
  });
  await t.rejects(install([{ type: 'seamless-gateway', gatway: 'last' }]), { message: /did you mean "gateway"/ });
  for (const name of ['bin', 'net.d']) t.strictSame(readdirSync(join(folder, name)), []);
});

t.test('files that a config names may be on the node alone, but what is wrong in them is found', async (t) => {
  const { folder, install } = place(t);
  // It comes as far as the executables, which are not there.
  const passed = { message: /from\/waymark cannot be installed: ENOENT/ };
  await t.rejects(install([{ type: 'static-route', topologyFile: '/nonexistent/topology.yaml' }]), passed);
  const file = join(folder, 'topology.yaml');
  writeFileSync(file, 'vrf: {a: {subnets: {10.0.0.1/8: {gw: 10.0.0.1}}}}');
  await t.rejects(install([{ type: 'static-route', topologyFile: file }]), { message: /has bits set beyond/ });
  await t.rejects(install([{ type: 'bridge', anything: 1 }]), passed);
  t.notOk(existsSync(join(folder, 'net.d/green.conflist')));
});
