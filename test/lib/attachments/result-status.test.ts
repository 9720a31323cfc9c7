import t from 'tap';
import type { PodLink } from '../../../lib/attachments/links.ts';
import { entriesOfResult } from '../../../lib/attachments/result-status.ts';

// What Multus writes into network-status from such results (netutils.CreateNetworkStatuses of the client library).

const link = (name: string, more: Partial<PodLink> = {}): PodLink => ({
  ...{ name, altnames: [], mac: '02:00:00:00:00:09', mtu: 1450, addresses: [] },
  ...more,
});
const POD = '/run/netns/pod';
const result = (more: object = {}) => ({
  cniVersion: '1.0.0',
  interfaces: [
    { name: 'br0', mac: '02:00:00:00:00:01' },
    { name: 'eth0', mac: '02:00:00:00:00:02', sandbox: POD },
  ],
  ips: [
    { address: '10.1.0.5/24', gateway: '10.1.0.1', interface: 1 },
    { address: 'fd00::5/64', interface: 1 },
  ],
  routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.1' }, { dst: '10.9.0.0/16', gw: '10.1.0.9' }, { dst: '::/0' }],
  ...more,
});

const ENTRY = {
  name: 'a/blue',
  interface: 'eth0',
  ips: ['10.1.0.5', 'fd00::5'],
  mac: '02:00:00:00:00:02',
  mtu: 1450,
  dns: {},
  gateway: ['10.1.0.1'],
};

t.test('an interface in the pod has an entry, one of the node has none', async (t) => {
  t.strictSame(entriesOfResult(result(), 'a/blue', false, [link('eth0')]), [ENTRY]);
  t.strictSame(entriesOfResult(result(), 'a/blue', true, [link('eth0')]), [{ ...ENTRY, default: true }]);
});

t.test('what the result does not say is taken from the link, and left out where there is none', async (t) => {
  const silent = result({ interfaces: [{ name: 'br0' }, { name: 'eth0', sandbox: POD }], routes: [] });
  const { gateway: _, ...rest } = ENTRY;
  t.strictSame(entriesOfResult(silent, 'a/blue', false, [link('eth0')]), [{ ...rest, mac: '02:00:00:00:00:09' }]);
  const { mac, mtu, ...least } = rest;
  t.strictSame(entriesOfResult(silent, 'a/blue', false, []), [least]);
  const interfaces = [{ name: 'br0' }, { name: 'eth0', sandbox: POD, mac, mtu: 9000 }];
  t.strictSame(entriesOfResult(result({ interfaces, routes: [] }), 'a/blue', false, [link('eth0')]), [
    { ...rest, mtu: 9000 },
  ]);
});

t.test('a link by two names has one entry, with the addresses of both', async (t) => {
  const interfaces = [
    { name: 'green', sandbox: POD, mac: '02:00:00:00:00:02' },
    { name: 'eth0', sandbox: POD, mac: '02:00:00:00:00:02' },
  ];
  const links = [link('green', { altnames: ['eth0'] })];
  t.strictSame(entriesOfResult(result({ interfaces }), 'a/blue', false, links), [{ ...ENTRY, interface: 'green' }]);
});

t.test(
  'of several interfaces the one with the gateway is the default, and loose addresses are the last one’s',
  async (t) => {
    const interfaces = [
      { name: 'net1', sandbox: POD },
      { name: 'net2', sandbox: POD },
    ];
    const ofNode = { address: '10.3.0.1/24', gateway: '10.3.0.9', interface: 0 };
    const behind = [ofNode, { address: '10.1.0.5/24', gateway: '10.1.0.1', interface: 2 }];
    const further = { interfaces: [{ name: 'br0' }, ...interfaces], ips: behind, routes: [] };
    t.strictSame(
      entriesOfResult(result(further), 'a/blue', true, []).map((entry) => [entry.interface, entry.default]),
      [
        ['net1', undefined],
        ['net2', true],
      ],
      'a gateway of an interface of the node does not count',
    );
    const ips = [{ address: '10.1.0.5/24', gateway: '10.1.0.1', interface: 1 }, { address: '10.2.0.5/24' }];
    const entries = entriesOfResult(result({ interfaces, ips, routes: [] }), 'a/blue', true, []);
    t.strictSame(entries, [
      { name: 'a/blue', interface: 'net1', dns: {} },
      { name: 'a/blue', interface: 'net2', ips: ['10.1.0.5', '10.2.0.5'], default: true, dns: {} },
    ]);
  },
);
