import t from 'tap';
import { plainLink } from '../../../lib/netlink/link.ts';
import { unchainedResult } from '../../../lib/plugin/unchained.ts';
import { observed } from '../../support/plugins/observed.ts';

t.test('a result without a previous one is the interface with its addresses', async (t) => {
  const pod = observed({ lo: ['127.0.0.1/8'], eth0: ['10.0.0.5/24', 'fd00::5/64', 'fe80::1/64'] }, []);
  const link = pod.linkNamed('eth0') ?? plainLink('none', 9);
  t.strictSame(unchainedResult({ ...link, mac: '02:00:00:00:00:01' }, '/n', pod), {
    interfaces: [{ name: 'eth0', mac: '02:00:00:00:00:01', sandbox: '/n' }],
    ips: [
      { interface: 0, address: '10.0.0.5/24' },
      { interface: 0, address: 'fd00::5/64' },
    ],
  });
  const { mac: _, ...without } = link;
  t.strictSame(unchainedResult(without, '/n', pod).interfaces, [{ name: 'eth0', sandbox: '/n' }]);
});
