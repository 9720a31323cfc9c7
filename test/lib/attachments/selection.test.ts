import t from 'tap';
import { canonicalMac, isolated, parseSelections } from '../../../lib/attachments/selection.ts';

const read = (value: unknown) => parseSelections(typeof value === 'string' ? value : JSON.stringify(value), 'shop');
const reasons = (value: unknown) => read(value).refusals.map(({ reason }) => reason);

t.test('reads both forms, and a missing annotation', async (t) => {
  t.strictSame(read('blue, other/green@net7 ,red@eth1').selections, [
    { network: 'shop/blue', namespace: 'shop', name: 'blue', request: {} },
    { network: 'other/green', interface: 'net7', namespace: 'other', name: 'green', request: {} },
    { network: 'shop/red', interface: 'eth1', namespace: 'shop', name: 'red', request: {} },
  ]);
  const all = {
    name: 'blue',
    namespace: 'other',
    interface: 'net1',
    ips: ['10.1.1.7/24', 'fd00::7'],
    mac: '02:00:00:00:00:01',
    'infiniband-guid': '02:00:00:00:00:00:00:01',
    'cni-args': { routes: [{ dst: 'default' }] },
    portMappings: [{ hostPort: 80 }],
    bandwidth: { ingressRate: 1 },
    deviceID: '0000:03:02.4',
    'default-route': ['10.1.1.1'],
    unknown: 'ignored, as Multus does',
  };
  t.strictSame(read([all]).selections, [
    {
      network: 'other/blue',
      interface: 'net1',
      namespace: 'other',
      name: 'blue',
      request: {
        ips: ['10.1.1.7/24', 'fd00::7'],
        mac: '02:00:00:00:00:01',
        infinibandGuid: '02:00:00:00:00:00:00:01',
        cniArgs: { routes: [{ dst: 'default' }] },
        portMappings: [{ hostPort: 80 }],
        bandwidth: { ingressRate: 1 },
        deviceID: '0000:03:02.4',
        defaultRoute: ['10.1.1.1'],
      },
    },
  ]);
  for (const nothing of [undefined, '', '  ', '[]']) {
    t.strictSame(parseSelections(nothing, 'shop'), { selections: [], refusals: [] });
  }
  t.strictSame(read([{ name: 'blue', ips: [], mac: '', ipam: null }]).selections[0]?.request, {}, 'empty is absent');
});

const WRONG: [value: unknown, reason: RegExp][] = [
  [{ name: 'Blue' }, /"name" is not a DNS name/],
  [{ name: '../../../etc' }, /"name"/],
  [{ name: 7 }, /"name"/],
  [{}, /"name"/],
  [{ name: 'blue', namespace: 'a.b' }, /"namespace" is not a DNS label/],
  [{ name: 'blue', interface: 'sixteencharacter' }, /"interface" is longer than 15 bytes/],
  [{ name: 'blue', interface: 'a/b' }, /"interface" contains/],
  [{ name: 'blue', interface: '..' }, /"interface" is/],
  [{ name: 'blue', interface: ['net1'] }, /"interface" is not a text/],
  [{ name: 'blue', ips: '10.1.1.7' }, /"ips" is not a list/],
  [{ name: 'blue', ips: ['10.1.1.777'] }, /"ips" has "10.1.1.777"/],
  [{ name: 'blue', ips: [7] }, /"ips" has 7/],
  [{ name: 'blue', mac: '02:00:00:00:00' }, /"mac" is not a hardware address/],
  [{ name: 'blue', mac: '02:00:00:00:00:01;IP=1' }, /"mac"/],
  [{ name: 'blue', 'cni-args': [1] }, /"cni-args" is not an object/],
  [{ name: 'blue', portMappings: [80] }, /"portMappings" has 80/],
  [{ name: 'blue', deviceID: 'a b' }, /"deviceID"/],
  [{ name: 'blue', ips: ['10.1.1.7'], 'ipam-claim-reference': 'claim' }, /exclude each other/],
  [{ name: 'blue', 'default-route': ['10.1.1.1/24'] }, /"default-route" has "10.1.1.1\/24"/],
  [{ name: 'blue', 'default-route': ['10.1.1.1', '10.1.1.2'] }, /"default-route" has several addresses of one family/],
  [null, /not an object/],
  [['blue'], /not an object/],
];

t.test('refuses what is wrong, each selection for itself, with all its problems', async (t) => {
  for (const [value, reason] of WRONG) {
    const { selections, refusals } = read([value, { name: 'green' }]);
    t.match(refusals, [{ reason }], JSON.stringify(value));
    t.strictSame(
      selections.map(({ name }) => name),
      ['green'],
      'the other one stays',
    );
  }
  t.match(reasons([{ name: 'B', mac: 'x', ips: 1 }]), [/"name".*"ips".*"mac"/]);
  t.match(reasons('a/b/c,blue'), [/not \[namespace\/\]name/]);
  t.match(reasons('blue@a@b'), [/not \[namespace\/\]name/]);
});

t.test('refuses both of two with one interface name', async (t) => {
  const { selections, refusals } = read('blue@net1,green,red@net1');
  t.strictSame(
    selections.map(({ name }) => name),
    ['green'],
  );
  t.match(refusals, [
    { network: 'shop/blue', interface: 'net1', reason: /more than once/ },
    { network: 'shop/red', interface: 'net1', reason: /more than once/ },
  ]);
});

t.test('refuses both of two that ask for the default route of one family, and not of two', async (t) => {
  const chosen = (name: string, ...gateways: string[]) => ({ name, 'default-route': gateways });
  const { selections, refusals } = read([
    chosen('blue', '10.1.1.1', 'fd00::1'),
    chosen('green', '10.2.1.1'),
    { name: 'red' },
  ]);
  t.strictSame(
    selections.map(({ name }) => name),
    ['red'],
  );
  t.match(refusals, [{ network: 'shop/blue', reason: /"default-route" of one family/ }, { network: 'shop/green' }]);
  t.equal(read([chosen('blue', '10.1.1.1'), chosen('green', 'fd00::1')]).selections.length, 2);
});

t.test('an annotation that is not a list, or too long, says nothing about what is wanted', async (t) => {
  t.match(read('{"name":"blue"}'), { selections: [], problem: /not a list/ });
  t.match(read('[{"name":'), { problem: /not JSON/ });
  t.equal(read(Array(100).fill({ name: 'blue' })).problem, undefined);
  t.match(read(Array(101).fill({ name: 'blue' })), { problem: /101 networks are selected/ });
  t.match(read(Array(5000).fill('blue').join(',')), { problem: /5000 networks/ });
});

t.test('takes hostile sizes in its stride', async (t) => {
  const begun = process.cpuUsage();
  const depth = 100_000;
  t.match(reasons(`[{"name":"blue","cni-args":{"a":${'['.repeat(depth)}${']'.repeat(depth)}}}]`), [
    /deeper than 16 levels/,
  ]);
  t.match(read('['.repeat(250_000)), { problem: /not JSON/ });
  t.match(read('@'.repeat(250_000)).refusals, [/.*/]);
  t.match(read(`"${'/'.repeat(250_000)}`), { problem: /not JSON/ });
  t.match(reasons([{ name: `${'a.'.repeat(125_000)}a` }]), [/"name"/]);
  t.match(reasons([{ name: 'blue', mac: '0'.repeat(250_000) }]), [/"mac"/]);
  t.match(reasons([{ name: 'blue', ips: Array(20_000).fill('x') }]), [/"ips"/]);
  const keys = JSON.stringify([{ name: 'blue', __proto__: 1, 'cni-args': JSON.parse('{"__proto__":{"polluted":1}}') }]);
  read(keys);
  t.equal(({} as { polluted?: number }).polluted, undefined);
  // Time of this process, whatever else the machine does.
  const { user, system } = process.cpuUsage(begun);
  t.ok(user + system < 10_000_000, 'and not in the square of their length');
});

t.test('namespace isolation allows the pod’s own namespace and the global ones', async (t) => {
  const all = read('blue,other/green,global/red');
  t.strictSame(isolated(all, 'shop', undefined), all);
  const { selections, refusals } = isolated(all, 'shop', new Set(['global']));
  t.strictSame(
    selections.map(({ name }) => name),
    ['blue', 'red'],
  );
  t.match(refusals, [{ network: 'other/green', reason: /namespace isolation/ }]);
});

t.test('hardware addresses are compared as the kernel prints them', async (t) => {
  for (const text of ['02:00:00:AB:cd:01', '02-00-00-ab-cd-01', '0200.00ab.cd01']) {
    t.equal(canonicalMac(text), '02:00:00:ab:cd:01');
  }
});

t.test('a name of a definition has 253 characters at most', async (t) => {
  const read = (length: number) => parseSelections('a'.repeat(length), 'shop');
  t.match(read(253), { selections: [{ name: 'a'.repeat(253) }], refusals: [] });
  t.match(read(254), { selections: [], refusals: [{ reason: '"name" is not a DNS name' }] });
});
