import t from 'tap';
import { describe } from '../../../lib/change/change.ts';
import type { Request } from '../../../lib/cni/request.ts';
import type { Result } from '../../../lib/cni/result.ts';
import type { Route } from '../../../lib/netlink/route.ts';
import type { Observation } from '../../../lib/observation/observation.ts';
import { NotYet } from '../../../lib/plugin/plan.ts';
import { parseSeamlessGatewayConfig } from '../../../plugins/seamless-gateway/config.ts';
import { gatewaysOf, hostState, planSeamlessGateway } from '../../../plugins/seamless-gateway/plan.ts';
import { observed } from '../../support/plugins/observed.ts';
import { planRequest } from '../../support/plugins/plan-request.ts';

const NETNS = '/run/netns/pod';

function defaultRoute(family: 4 | 6, oif: number): Route {
  const dst = family === 4 ? '0.0.0.0/0' : '::/0';
  const gw = family === 4 ? '10.0.32.1' : 'fd00:32::1';
  const priority = family === 4 ? 0 : 1024;
  return { family, dst, type: 'unicast', table: 254, priority, protocol: 3, scope: 0, hops: [{ gw, oif }] };
}

// The links have the indices 1, 2, 3.
const DEFAULTS = [defaultRoute(4, 2), defaultRoute(6, 2)];
const HOST_LINKS = {
  lo: ['127.0.0.1/8', '::1/128 link'],
  uplink0: ['10.0.32.2/24', '10.0.32.3/24 secondary', 'fe80::2/64', 'fd00:32::2/64'],
  uplink1: ['10.0.33.2/24', 'fd00:33::2/64'],
};
const HOST = observed(HOST_LINKS, DEFAULTS);
const POD = observed({ lo: ['127.0.0.1/8'], eth0: ['10.131.0.5/23', 'fe80::1/64', 'fd00:131::5/64'], net1: [] });

type More = { host?: Observation; pod?: Observation; previous?: Result | undefined; ifname?: string };

function plan(keys: object = {}, { host = HOST, pod = POD, previous, ifname = 'eth0' }: More = {}) {
  const document = { name: 'net', cniVersion: '1.1.0', ...keys };
  const request = planRequest(document, NETNS, ifname);
  const { config } = parseSeamlessGatewayConfig(document);
  return planSeamlessGateway({ request, config, previous, observed: pod, host: () => host });
}

/** The routes as `10.0.32.2 via 10.131.0.1`. */
function routes(keys: object = {}, more: More = {}): string[] {
  const { pod = POD } = more;
  return plan(keys, more).changes.map(({ change }) => {
    const line = describe(change, pod);
    const [, host, gw] = /^add route (\S+)\/(?:32|128) via (\S+) dev eth0$/.exec(line) ?? [];
    return host === undefined ? line : `${host} via ${gw}`;
  });
}

const podWith = (...eth0: string[]) => observed({ eth0 });
const hostWith = (...uplink0: string[]) => observed({ lo: [], uplink0 }, DEFAULTS);
const FOUR = '10.0.32.2 via 10.131.0.1';
const SIX = 'fd00:32::2 via fd00:131::1';

const cases: [title: string, wanted: string[], keys?: object, more?: More][] = [
  ['of both families where both sides have both', [FOUR, SIX]],
  ['of IPv4 where the pod has no other', [FOUR], {}, { pod: podWith('10.131.0.5/23', 'fe80::1/64') }],
  ['of IPv6 where the host has no other', [SIX], {}, { host: hostWith('fd00:32::2/64') }],
  ['of the families that are asked for', [SIX], { families: ['ipv6'] }],
  ['in the order IPv4, IPv6, whatever order is requested', [FOUR, SIX], { families: ['ipv6', 'ipv4'] }],
  [
    'of the IPv4 default route’s interface, where IPv6’s is another',
    [FOUR, SIX],
    {},
    {
      host: observed(HOST_LINKS, [defaultRoute(6, 3), defaultRoute(4, 2)]),
    },
  ],
  [
    'of the IPv6 default route’s interface, where IPv4 has none',
    ['10.0.33.2 via 10.131.0.1', 'fd00:33::2 via fd00:131::1'],
    {},
    {
      host: observed(HOST_LINKS, [defaultRoute(6, 3)]),
    },
  ],
  [
    'of the interface that is named',
    ['10.0.33.2 via 10.131.0.1', 'fd00:33::2 via fd00:131::1'],
    { hostInterface: 'uplink1' },
  ],
  [
    'of the interface that is named, without a default route',
    [FOUR, SIX],
    { hostInterface: 'uplink0' },
    { host: observed(HOST_LINKS) },
  ],
  ['but no secondary one', [FOUR], {}, { host: hostWith('10.0.32.9/24 secondary', '10.0.32.2/24') }],
  [
    'but no temporary one, which is IPv6’s secondary',
    [SIX],
    {},
    { host: hostWith('fd00:32::9/64 secondary', 'fd00:32::2/64') },
  ],
  [
    'but no deprecated one',
    [FOUR, SIX],
    {},
    { host: hostWith('10.0.9.2/24 deprecated', '10.0.32.2/24', 'fd00:9::2/64 deprecated', 'fd00:32::2/64') },
  ],
  ['but no tentative one', [SIX], {}, { host: hostWith('fd00:9::2/64 tentative', 'fd00:32::2/64') }],
  [
    'of IPv4, where only the pod’s IPv6 address is tentative and the host has none',
    [FOUR],
    {},
    { host: hostWith('10.0.32.2/24'), pod: podWith('10.131.0.5/23', 'fd00:131::5/64 tentative') },
  ],
  [
    'of IPv4, where IPv4 is asked for and the IPv6 address is tentative',
    [FOUR],
    { families: ['ipv4'] },
    { pod: podWith('10.131.0.5/23', 'fd00:131::5/64 tentative') },
  ],
  [
    'of IPv4, where duplicate address detection has failed for IPv6',
    [FOUR],
    {},
    { pod: podWith('10.131.0.5/23', 'fd00:131::5/64 tentative dadfailed') },
  ],
  [
    'of both, where the IPv6 address is tentative but in use',
    [FOUR, SIX],
    {},
    { pod: podWith('10.131.0.5/23', 'fd00:131::5/64 tentative optimistic') },
  ],
  ['but no link-local one', [FOUR], {}, { host: hostWith('fe80::2/64', '169.254.0.2/16 link', '10.0.32.2/24') }],
  [
    'through the gateway of the pod’s primary address',
    [FOUR, SIX],
    {},
    {
      pod: podWith(
        '10.9.0.5/24 deprecated',
        '10.8.0.5/24 link',
        '10.131.0.5/23',
        '10.7.0.5/24',
        'fd00:9::5/64 tentative',
        'fd00:131::5/64',
      ),
    },
  ],
  [
    'that are written',
    ['192.0.2.1 via 10.131.0.1', '2001:db8::1 via fd00:131::1', '192.0.2.2 via 10.131.0.1'],
    {
      hostAddresses: ['192.0.2.1', '2001:DB8:0::1', '192.0.2.2'],
    },
  ],
  [
    'that are written and of the families that are asked for',
    ['2001:db8::1 via fd00:131::1'],
    {
      hostAddresses: ['192.0.2.1', '2001:db8::1'],
      families: ['ipv6'],
    },
  ],
  [
    'that are written, on a host without any',
    ['192.0.2.1 via 10.131.0.1'],
    { hostAddresses: ['192.0.2.1'] },
    { host: observed({}) },
  ],
  [
    'none, where those that are written are of other families',
    [],
    { hostAddresses: ['192.0.2.1'], families: ['ipv6'] },
  ],
];

t.test('routes to the host’s addresses', async (t) => {
  for (const [title, wanted, keys, more] of cases) t.strictSame(routes(keys, more), wanted, title);
});

t.test('the host is not inspected if the config has its addresses', async (t) => {
  const never = () => {
    throw new Error('the host must not be inspected');
  };
  const { config } = parseSeamlessGatewayConfig({ name: 'net', hostAddresses: ['192.0.2.1'] });
  const request = { ifname: 'eth0', netns: NETNS } as Request;
  t.equal(planSeamlessGateway({ request, config, previous: undefined, observed: POD, host: never }).changes.length, 1);
});

t.test('of the host, a config depends on the addresses that it is routed to', async (t) => {
  t.equal(hostState({}, HOST), '10.0.32.2 fd00:32::2');
  t.equal(hostState({ hostInterface: 'uplink1' }, HOST), '10.0.33.2 fd00:33::2');
  t.equal(hostState({ hostAddresses: ['192.0.2.1'] }, HOST), undefined, 'on nothing, if it has them');
  t.equal(hostState({ hostInterface: 'absent' }, HOST), undefined, 'while the interface is not there');
  t.equal(hostState({}, hostWith('fe80::2/64')), undefined, 'or has no address');
  const broken = {
    linkNamed: () => {
      throw new TypeError('ours');
    },
  } as unknown as Observation;
  t.throws(() => hostState({ hostInterface: 'uplink0' }, broken), TypeError);
});

const gateways: [gateway: unknown, four: string, six: string, pod?: Observation][] = [
  [undefined, '10.131.0.1', 'fd00:131::1'],
  ['first', '10.131.0.1', 'fd00:131::1'],
  ['last', '10.131.1.254', 'fd00:131::ffff:ffff:ffff:ffff'],
  [{ offset: 7 }, '10.131.0.7', 'fd00:131::7'],
  [{ offset: 256 }, '10.131.1.0', 'fd00:131::100'],
  [{ offset: -2 }, '10.131.1.254', 'fd00:131::ffff:ffff:ffff:fffe'],
  [{ ipv4: '10.131.0.9', ipv6: 'FD00:131::0009' }, '10.131.0.9', 'fd00:131::9'],
  [{ ipv4: '192.0.2.1', ipv6: 'fe80::9' }, '192.0.2.1', 'fe80::9'],
  [{ ipv4: 'last' }, '10.131.1.254', 'fd00:131::1'],
  [{ ipv6: { offset: 9 } }, '10.131.0.1', 'fd00:131::9'],
  [{}, '10.131.0.1', 'fd00:131::1'],
  ['first', '10.1.1.1', 'fd00::1', podWith('10.1.1.2/30', 'fd00::2/126')],
  ['last', '10.1.1.2', 'fd00::3', podWith('10.1.1.1/30', 'fd00::1/126')],
  [{ offset: 0 }, '10.1.1.2', 'fd00::2', podWith('10.1.1.3/31', 'fd00::3/127')],
  [{ ipv4: '169.254.1.1', ipv6: 'fe80::1' }, '169.254.1.1', 'fe80::1', podWith('10.1.1.3/32', 'fd00::3/128')],
];

t.test('the gateway is', async (t) => {
  for (const [gateway, four, six, pod = POD] of gateways) {
    const keys = gateway === undefined ? {} : { gateway };
    const title = `${JSON.stringify(gateway)} of ${pod.addresses(pod === POD ? 2 : 1).map(({ prefix }) => `/${prefix.length}`)}`;
    t.strictSame(
      gatewaysOf(plan(keys, { pod })).map(({ address }) => address),
      [four, six],
      title,
    );
  }
});

t.test('two host addresses of one family have one gateway', async (t) => {
  t.strictSame(gatewaysOf(plan({ hostAddresses: ['192.0.2.1', '192.0.2.2'] })), [{ link: 2, address: '10.131.0.1' }]);
});

type Refusal = [
  title: string,
  error: { code: number; message: string | RegExp; details?: string },
  keys: object,
  more?: More,
];

const four = { families: ['ipv4'] };
const six = { families: ['ipv6'] };
const podTentative = podWith('10.131.0.5/23', 'fd00:131::5/64 tentative');
const hostTentative = hostWith('10.0.32.2/24', 'fd00:32::2/64 tentative');
const waitHint = 'duplicate address detection takes a second or two; set "waitSeconds" to wait for it';

const refusals: Refusal[] = [
  [
    'a pod without the interface',
    { code: 100, message: 'the pod has no interface "eth9"', details: 'the pod has lo, eth0, net1' },
    { interface: 'eth9' },
  ],
  [
    'a host without the interface',
    {
      code: 100,
      message: 'hostInterface: the host has no interface "eth9"',
      details: 'the host has lo, uplink0, uplink1',
    },
    { hostInterface: 'eth9' },
  ],
  [
    'a host without a default route',
    {
      code: 101,
      message: 'the host has no default route; set "hostInterface"',
    },
    {},
    { host: observed(HOST_LINKS) },
  ],
  [
    'a family that the host lacks',
    { code: 101, message: /^the host's interface "uplink0" has no IPv6 address$/ },
    { families: ['ipv4', 'ipv6'] },
    { host: hostWith('10.0.32.2/24', 'fe80::2/64') },
  ],
  [
    'a family that the pod lacks',
    { code: 101, message: 'the pod\'s interface "eth0" has no IPv4 address' },
    four,
    { pod: podWith('fd00:131::5/64') },
  ],
  [
    'a family that the pod lacks, of a written address',
    { code: 101, message: 'the pod\'s interface "eth0" has no IPv6 address' },
    { hostAddresses: ['192.0.2.1', '2001:db8::1'] },
    { pod: podWith('10.131.0.5/23') },
  ],
  [
    'no family in common',
    { code: 101, message: 'the host\'s interface "uplink0" and the pod\'s "eth0" have no addresses of one family' },
    {},
    { host: hostWith('10.0.32.2/24'), pod: podWith('fd00:131::5/64') },
  ],
  ['a pod without addresses', { code: 101, message: /have no addresses of one family/ }, {}, { pod: podWith() }],
  [
    'an IPv6 address of the pod that is tentative, beside IPv4 ones',
    {
      code: 101,
      message: 'the pod\'s interface "eth0" has no IPv6 address yet: fd00:131::5 is tentative',
      details: waitHint,
    },
    {},
    { pod: podTentative },
  ],
  [
    'an IPv6 address of the host that is tentative, beside IPv4 ones',
    {
      code: 101,
      message: 'the host\'s interface "uplink0" has no IPv6 address yet: fd00:32::2 is tentative',
      details: waitHint,
    },
    {},
    { host: hostTentative },
  ],
  [
    'a tentative address of a family that is asked for',
    { code: 101, message: /fd00:131::5 is tentative/ },
    six,
    { pod: podTentative },
  ],
  [
    'a tentative address, for a written address of the host',
    { code: 101, message: /fd00:131::5 is tentative/ },
    { hostAddresses: ['2001:db8::1'] },
    { pod: podTentative },
  ],
  ...['10.1.1.3/31', '10.1.1.3/32'].map(
    (address): Refusal => [
      address,
      { code: 102, message: `the pod's subnet ${address} has no address for a gateway; name it with "gateway"` },
      four,
      { pod: podWith(address) },
    ],
  ),
  ...['fd00::3/127', 'fd00::3/128'].map(
    (address): Refusal => [
      address,
      { code: 102, message: `the pod's subnet ${address} has no address for a gateway; name it with "gateway"` },
      six,
      { pod: podWith(address) },
    ],
  ),
  [
    '"last" of a /31',
    { code: 102, message: /no address for a gateway/ },
    { ...four, gateway: 'last' },
    { pod: podWith('10.1.1.2/31') },
  ],
  [
    'the pod as its own gateway',
    {
      code: 102,
      message: 'the gateway of the pod\'s subnet 10.1.1.1/24 would be the pod itself; name another with "gateway"',
    },
    four,
    { pod: podWith('10.1.1.1/24') },
  ],
  [
    'the pod as its own gateway, IPv6',
    { code: 102, message: /fd00::1\/64 would be the pod itself/ },
    six,
    { pod: podWith('fd00::1/64') },
  ],
  [
    'the pod as its own gateway, by "last"',
    { code: 102, message: /would be the pod itself/ },
    { ...four, gateway: 'last' },
    { pod: podWith('10.1.1.254/24') },
  ],
  [
    'the pod as its own gateway, by number',
    { code: 102, message: /would be the pod itself/ },
    { ...four, gateway: { offset: 5 } },
  ],
  [
    'the pod as its own gateway, by address',
    { code: 102, message: /would be the pod itself/ },
    { ...six, gateway: 'fd00:131:0::5' },
  ],
  [
    'a number beyond the subnet',
    { code: 102, message: 'gateway.offset: 10.131.0.5/23 has no address number 512' },
    { ...four, gateway: { offset: 512 } },
  ],
  [
    'a gateway of the other family',
    {
      code: 102,
      message: "gateway 10.131.0.9 is not of the family of the pod's subnet fd00:131::5/64; name one for each family",
    },
    { gateway: '10.131.0.9' },
  ],
];

t.test('a plan is refused for', async (t) => {
  for (const [title, error, keys, more] of refusals) t.throws(() => plan(keys, more), error, title);
});

t.test('what may still appear is distinguished from what is wrong', async (t) => {
  const thrown = refusals.map(([, { code }, keys, more]) => {
    try {
      plan(keys, more);
      return t.fail();
    } catch (error) {
      return [code, (keys as { interface?: string }).interface, error instanceof NotYet];
    }
  });
  for (const [code, podInterface, isNotYet] of thrown as [number, string | undefined, boolean][]) {
    t.equal(isNotYet, code === 101 || (code === 100 && podInterface === undefined), `${code}`);
  }
});

t.test('the place that is named in errors', async (t) => {
  const sources = (keys: object) => plan(keys).changes.map(({ source }) => source);
  t.strictSame(sources({}), ['host address 10.0.32.2', 'host address fd00:32::2']);
  t.strictSame(sources({ hostAddresses: ['192.0.2.1', '2001:db8::1'] }), ['hostAddresses[0]', 'hostAddresses[1]']);
  t.strictSame(
    sources({ hostAddresses: ['192.0.2.1', '2001:db8::1'], ...six }),
    ['hostAddresses[1]'],
    'as it is written',
  );
});

t.test('a route has our protocol, and the one of the config', async (t) => {
  const protocols = (keys: object) =>
    plan({ ...four, ...keys }).changes.map(({ change }) => change.op === 'add-route' && change.route.protocol);
  t.strictSame(protocols({}), [87]);
  t.strictSame(protocols({ protocol: 200 }), [200]);
});

t.test('the result', async (t) => {
  const previous: Result = {
    interfaces: [{ name: 'br0' }, { name: 'eth0', mac: '02:00:00:00:00:01', sandbox: NETNS }],
    ips: [{ address: '10.131.0.5/23', gateway: '10.131.0.1', interface: 1 }],
    routes: [{ dst: '0.0.0.0/0' }],
    dns: { nameservers: ['10.1.0.1'] },
  };

  t.test('is the previous one with the routes added', async (t) => {
    t.strictSame(plan({}, { previous }).result, {
      ...previous,
      routes: [
        { dst: '0.0.0.0/0' },
        { dst: '10.0.32.2/32', gw: '10.131.0.1' },
        { dst: 'fd00:32::2/128', gw: 'fd00:131::1' },
      ],
    });
  });

  t.test('is the previous one itself if there is nothing to add', async (t) => {
    t.equal(plan({ hostAddresses: ['192.0.2.1'], ...six }, { previous }).result, previous);
  });

  t.test('does not have a route that gives way to another', async (t) => {
    const obstacle: Route = { ...defaultRoute(4, 1), dst: '10.0.32.2/32', hops: [{ gw: '10.131.0.9', oif: 1 }] };
    const pod = observed({ eth0: ['10.131.0.5/23'] }, [obstacle]);
    const { changes, conflicts, result } = plan({ onConflict: 'keep' }, { pod, previous });
    t.strictSame([changes, conflicts], [[], []]);
    t.equal(result, previous);
    t.match(plan({}, { pod, previous }).conflicts, [{ source: 'host address 10.0.32.2' }]);
  });

  t.test('says, unchained, what was seen of the interface', async (t) => {
    t.strictSame(plan(four, { ifname: 'net7' }).result, {
      interfaces: [{ name: 'eth0', sandbox: NETNS }],
      ips: [
        { address: '10.131.0.5/23', interface: 0 },
        { address: 'fd00:131::5/64', interface: 0 },
      ],
      routes: [{ dst: '10.0.32.2/32', gw: '10.131.0.1' }],
    });
  });
});
