import { join } from 'node:path';
import t from 'tap';
import { clusterListIn, frontListText } from '../../../lib/install/cluster-list.ts';

const list = (name: string, plugin: object, more: object = {}) =>
  JSON.stringify({ cniVersion: '1.0.0', name, plugins: [{ type: 'bridge' }, plugin], ...more });

t.test('the cluster’s list is the first by its name that runs no other, and can be read', async (t) => {
  const folder = t.testdir({
    '00-waymark.conflist': list('ours', { type: 'portmap' }),
    '01-multus.conf': JSON.stringify({ cniVersion: '1.0.0', name: 'm', type: 'multus' }),
    '02-shim.conflist': list('s', { type: 'multus-shim' }),
    '03-kactus.conflist': list('k', { type: 'kactus' }),
    '04-waymark.conflist': list('w', { type: 'multi-network' }),
    '05-half.conflist': '{"name":',
    '06-folder.conflist': {},
    '07-calico.txt': list('text', { type: 'portmap' }),
    '08-calico.json': JSON.stringify({ cniVersion: '1.0.0', name: 'calico', type: 'calico' }),
    '09-flannel.conflist': list('flannel', { type: 'portmap' }),
  });
  t.match(clusterListIn(folder), { file: '08-calico.json', list: { name: 'calico' } });
  t.equal(clusterListIn(join(folder, 'none')), undefined);
  t.equal(clusterListIn(join(folder, '06-folder.conflist')), undefined);
});

t.test('ours names it by its path on the node, and asks for the capabilities of its plugins', async (t) => {
  const capable = { type: 'portmap', capabilities: { portMappings: true, bandwidth: false } };
  const folder = t.testdir({
    capable: { 'a.conflist': list('a', capable, { disableCheck: true }) },
    plain: { 'b.conf': JSON.stringify({ cniVersion: '0.4.0', name: 'b', type: 'ptp', capabilities: 'none' }) },
  });
  const textOf = (name: string) => {
    const found = clusterListIn(join(folder, name));
    return found === undefined ? '' : frontListText(found, '/etc/cni/net.d');
  };
  t.strictSame(JSON.parse(textOf('capable')), {
    cniVersion: '1.0.0',
    name: 'waymark',
    disableCheck: true,
    plugins: [
      { type: 'multi-network', clusterNetwork: '/etc/cni/net.d/a.conflist', capabilities: { portMappings: true } },
    ],
  });
  t.equal(
    textOf('plain'),
    `{
  "cniVersion": "0.4.0",
  "name": "waymark",
  "plugins": [
    {
      "type": "multi-network",
      "clusterNetwork": "/etc/cni/net.d/b.conf"
    }
  ]
}
`,
  );
});
