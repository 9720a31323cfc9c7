import t from 'tap';
import { observedOf } from '../../controller/observed.ts';
import type { RecordedAttachment } from '../../controller/records.ts';
import type { CachedCall } from '../../lib/attachments/caches.ts';

const link = (name: string, altnames: string[] = []) => ({
  ...{ name, altnames, mtu: 1500, addresses: ['10.1.0.1'] },
  mac: `02:00:00:00:00:0${name.at(-1)}`,
});
const LINKS = [link('lo'), link('eth0'), link('net1'), link('net2', ['alt2'])];

const recordOf = (...attachments: RecordedAttachment[]) => ({
  ...{ version: 1, containerID: 'c1', netns: '/n', attachments, defaults: [] },
  pod: { namespace: 'shop', name: 'web', uid: 'u' },
});
const resultOf = (...names: string[]) => ({ interfaces: names.map((name) => ({ name, sandbox: '/n' })) });
const cachedOf = (ifname: string, ...names: string[]): CachedCall => ({
  network: 'blue',
  config: { type: 'bridge' },
  input: { containerID: 'c1', netns: '/n', ifname, args: [], capabilityArgs: { mac: '02:00:00:00:00:aa' } },
  result: resultOf(...names),
});
const none = { record: undefined, entries: [], cached: () => [] };
const own = { network: 'shop/blue', request: {} } as const;

t.test('what we attached is as our record has it, with the kernel’s hardware address', async (t) => {
  const record = recordOf(
    { ...own, ifname: 'net1', state: 'attached', result: resultOf('net1') },
    { ...own, ifname: 'net7', state: 'attached', result: resultOf('net7') },
    { ...own, ifname: 'net8', state: 'pending', keepMac: '02:00:00:00:00:08' },
    { ...own, ifname: 'net2', state: 'attached', result: {} },
  );
  const { attachments, names } = observedOf(LINKS, { ...none, record: record as never });
  t.match(attachments, [
    { ifname: 'net1', origin: 'own', isBroken: false, mac: '02:00:00:00:00:01' },
    { ifname: 'net7', isBroken: true },
    { ifname: 'net8', state: 'pending', mac: '02:00:00:00:00:08' },
    { ifname: 'net2', links: ['net2'], isBroken: false },
  ]);
  t.strictSame(names, ['lo', 'eth0', 'net1', 'net2', 'alt2']);
});

t.test('what others attached is known by the status, with their cache or a link', async (t) => {
  const entries = [
    { name: 'cluster', interface: 'eth0', default: true },
    { name: 'shop/blue', interface: 'net1' },
    { name: 'shop/green', interface: 'net2' },
    { name: 'shop/red', interface: 'net9' },
    { name: 'node-wide', interface: 'lo2' },
    { name: 'shop/blue', interface: 'eth0' },
  ];
  const gateways = new Map([['net1', ['10.1.0.254']]]);
  const known = { record: undefined, entries, cached: () => [cachedOf('net1', 'net1')], gateways };
  t.match(observedOf(LINKS, known).attachments, [
    { ifname: 'net1', origin: 'birth', request: { mac: '02:00:00:00:00:aa' }, gateways: ['10.1.0.254'] },
    { ifname: 'net2', origin: 'birth', addresses: ['10.1.0.1'], gateways: [] },
  ]);
  t.equal(observedOf(LINKS, known).attachments.length, 2, 'neither a cache nor the kernel knows of net9');
  t.notOk('gateways' in (observedOf(LINKS, { ...known, gateways: undefined }).attachments[0] ?? {}));
});

t.test('an entry about what we attached is not somebody else’s; a renamed link is found by its name', async (t) => {
  const record = recordOf({ ...own, ifname: 'net1', state: 'attached', result: resultOf('net1') });
  const entries = [
    { name: 'shop/blue', interface: 'net1' },
    { name: 'shop/green', interface: 'net2' },
  ];
  const cached = () => [cachedOf('first', 'first', 'net2')];
  const { attachments } = observedOf(LINKS, { record: record as never, entries, cached });
  t.match(attachments, [
    { ifname: 'net1', origin: 'own' },
    { ifname: 'first', network: 'shop/green', origin: 'birth', links: ['first', 'net2'], isBroken: false },
  ]);
  t.equal(attachments.length, 2);
  const both = [...entries, { name: 'shop/red', interface: 'first' }];
  t.strictSame(
    observedOf(LINKS, { ...none, entries: both, cached }).attachments.map(({ ifname, network }) => [ifname, network]),
    [
      ['net1', 'shop/blue'],
      ['first', 'shop/green'],
    ],
    'once, where the status names it by both names',
  );
  const standard = [{ name: 'cluster', interface: 'first', default: true }, ...entries];
  t.strictSame(
    observedOf(LINKS, { ...none, entries: standard, cached }).attachments.map(({ ifname }) => ifname),
    ['net1'],
    'and not at all if it is the pod’s own',
  );
});

t.test('caches are not read where nothing asks for them', async (t) => {
  observedOf(LINKS, { record: undefined, entries: [], cached: () => t.fail('read') as never });
  t.pass('not read');
});
