import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Configs of static-route that are refused, with the code and the paths that the error must name.

/** Text, bytes or JSON for stdin, and the code and the paths of the problems that it is refused with. */
export type Case = readonly [title: string, stdin: unknown, code: number, ...paths: string[]];

/** The data folder of the configs below. None of them is right, so it is never made. */
export const FOLDER = join(tmpdir(), `waymark-test-never-made-${process.pid}`);

/** A route that is right, and a next hop. */
export const ROUTE = { dst: '10.9.0.0/16', gw: '10.244.1.1' };
export const HOP = { gw: '10.244.1.1' };
const RULE = { to: '10.9.0.0/16', table: 100 };

/** What is not a network config at all. */
export const NOT_A_CONFIG: readonly Case[] = [
  ['nothing', '', 6],
  ['white space', ' \n\t ', 6],
  ['text', 'hello', 6],
  ['half an object', '{"cniVersion":"1.1.0","name":"net"', 6],
  ['two objects', '{"name":"a"}{"name":"b"}', 6],
  ['a comma too many', '{"cniVersion":"1.1.0","name":"net",}', 6],
  ['a comment', '{/* */"name":"net"}', 6],
  ['single quotes', "{'name':'net'}", 6],
  ['NaN', '{"cniVersion":"1.1.0","name":"net","protocol":NaN}', 6],
  ['10 MB of white space', Buffer.alloc(10 << 20, ' '), 6],
  ['10 MB of a config', `{"name":"net","x":"${'x'.repeat(10 << 20)}"}`, 6],
  ['NUL bytes', Buffer.alloc(100), 6],
  ['a NUL byte after the config', '{"cniVersion":"1.1.0","name":"net"}\0', 6],
  ['a NUL byte within a string', '{"cniVersion":"1.1.0","name":"n\0et"}', 6],
  ['UTF-8 that breaks off', Buffer.from([...Buffer.from('{"name":"n'), 0xc3, 0x22, 0x7d]), 6],
  ['an overlong form of "/"', Buffer.from([...Buffer.from('{"name":"'), 0xc0, 0xaf, 0x22, 0x7d]), 6],
  ['a surrogate in UTF-8', Buffer.from([...Buffer.from('{"name":"'), 0xed, 0xa0, 0x80, 0x22, 0x7d]), 6],
  ['UTF-16', Buffer.from('{"name":"net"}', 'utf16le'), 6],
  ['a byte order mark', '\ufeff{"cniVersion":"1.1.0","name":"net"}', 6],
  ['an array', '[]', 6],
  ['an array with a config', '[{"cniVersion":"1.1.0","name":"net"}]', 6],
  ['null', 'null', 6],
  ['true', 'true', 6],
  ['a number', '5', 6],
  ['a string', '"net"', 6],
  ['arrays nested 10,000 deep', nested(10_000, '[', ']'), 6],
  ['objects nested 10,000 deep', `{"name":"net","x":${'{"x":'.repeat(10_000)}1${'}'.repeat(10_000)}}`, 6],
  ['a config with arrays nested 10,000 deep', `{"name":"net","routes":${nested(10_000, '[', ']')}}`, 6],
  ['a config with arrays nested 65 deep', `{"name":"net","x":${nested(65, '[', ']')}}`, 6],
  ['an opening bracket a million times', '['.repeat(1_000_000), 6],
  ['no name', { cniVersion: '1.1.0' }, 7],
  ['an empty object', {}, 7],
];

/** Values of other types than the one that a key wants. */
const WRONG: { readonly [type: string]: readonly unknown[] } = {
  string: [null, 5, true, [], {}, ['x']],
  level: [null, 11, -1, 1.5, '11', true, [], {}, ['info']],
  integer: [null, '5', true, [], {}, 1.5, -1, 1e300, 1e-9],
  boolean: [null, 'true', 1, 0, [], {}],
  list: [null, 'x', 5, true, {}],
  number: [null, true, [], {}, 1.5, -1, 1e300, 'x', ''],
  choice: [null, 'x', 5, []],
  object: [null, 'x', 5, true, []],
};

const KEYS: readonly [key: string, type: string][] = [
  ['interface', 'string'],
  ['dataDir', 'string'],
  ['logFile', 'string'],
  ['logLevel', 'level'],
  ['skipcheck', 'boolean'],
  ['routes', 'list'],
  ['onConflict', 'string'],
  ['missingFamily', 'string'],
  ['protocol', 'integer'],
  ['rules', 'list'],
  ['reconcile', 'string'],
  ['sourceRouting', 'choice'],
];

const RULE_KEYS: readonly [key: string, type: string][] = [
  ['from', 'string'],
  ['to', 'string'],
  ['iif', 'string'],
  ['oif', 'string'],
  ['fwmark', 'number'],
  ['ipproto', 'number'],
  ['sport', 'number'],
  ['dport', 'number'],
  ['table', 'integer'],
  ['priority', 'integer'],
  ['action', 'string'],
];

const ROUTE_KEYS: readonly [key: string, type: string][] = [
  ['dst', 'string'],
  ['gw', 'string'],
  ['dev', 'string'],
  ['src', 'string'],
  ['nexthops', 'list'],
  ['priority', 'integer'],
  ['table', 'integer'],
  ['scope', 'integer'],
  ['mtu', 'integer'],
  ['advmss', 'integer'],
  ['onlink', 'boolean'],
  ['type', 'string'],
];

const HOP_KEYS: readonly [key: string, type: string][] = [
  ['gw', 'string'],
  ['dev', 'string'],
  ['weight', 'integer'],
];

/** Every key with every type that is not its own, alone and within `args.cni`. */
export const WRONG_TYPES: readonly Case[] = [
  ...KEYS.flatMap(([key, type]) => (WRONG[type] ?? []).map((value) => wrong(key, { [key]: value }))),
  ...KEYS.slice(4).flatMap(([key, type]) =>
    (WRONG[type] ?? []).map((value) => wrong(`args.cni.${key}`, { args: { cni: { [key]: value } } })),
  ),
  ...(WRONG.object ?? []).map((value) => wrong('routes[1]', { routes: [ROUTE, value] })),
  ...ROUTE_KEYS.flatMap(([key, type]) =>
    (WRONG[type] ?? []).map((value) => wrong(`routes[0].${key}`, { routes: [{ ...ROUTE, [key]: value }] })),
  ),
  ...(WRONG.object ?? []).map((value) => wrong('rules[1]', { rules: [RULE, value] })),
  ...RULE_KEYS.flatMap(([key, type]) =>
    (WRONG[type] ?? []).map((value) => wrong(`rules[0].${key}`, { rules: [{ ...RULE, [key]: value }] })),
  ),
  ...HOP_KEYS.flatMap(([key, type]) =>
    (WRONG[type] ?? []).map((value) =>
      wrong(`routes[0].nexthops[1].${key}`, {
        routes: [{ dst: '10.9.0.0/16', nexthops: [HOP, { ...HOP, [key]: value }] }],
      }),
    ),
  ),
];

/** What has the right type and is wrong all the same. */
export const WRONG_VALUES: readonly Case[] = [
  ['a route without destination', config({ routes: [{}] }), 7, 'routes[0].dst'],
  [
    'host bits',
    config({ routes: [{ dst: '10.9.0.1/16' }, { dst: 'fd00::1/64' }] }),
    7,
    'routes[0].dst',
    'routes[1].dst',
  ],
  ['a gateway of the other family', config({ routes: [{ dst: '10.9.0.0/16', gw: 'fd00::1' }] }), 7, 'routes[0].gw'],
  ['the same the other way round', config({ routes: [{ dst: 'fd00:9::/48', gw: '10.0.0.1' }] }), 7, 'routes[0].gw'],
  ['the unspecified gateway', config({ routes: [{ dst: '10.9.0.0/16', gw: '0.0.0.0' }] }), 7, 'routes[0].gw'],
  ['the unspecified gateway of IPv6', config({ routes: [{ dst: 'fd00:9::/48', gw: '::' }] }), 7, 'routes[0].gw'],
  ['the unspecified source', config({ routes: [{ ...ROUTE, src: '0.0.0.0' }] }), 7, 'routes[0].src'],
  ['a source of the other family', config({ routes: [{ ...ROUTE, src: 'fd00::1' }] }), 7, 'routes[0].src'],
  [
    'next hops of the other family',
    config({ routes: [{ dst: 'default', nexthops: [HOP, { gw: 'fd00::1' }] }] }),
    7,
    'routes[0].nexthops[1].gw',
  ],
  ['no prefix length', config({ routes: [{ dst: '10.9.0.0' }] }), 7, 'routes[0].dst'],
  ...[
    '10.9.0.0/33',
    '10.9.0.0/-1',
    '10.9.0.0/016',
    '10.9.0/16',
    '10.9.0.0/16/16',
    '256.0.0.0/8',
    '::/129',
    'fe80::%eth0/64',
    '',
    ' ',
    '/',
    '10.9.0.0/16 ',
    '\u0661\u0660.0.0.0/8',
    'x'.repeat(100_000),
  ].map((dst): Case => [`the destination ${dst.slice(0, 30)}`, config({ routes: [{ dst }] }), 7, 'routes[0].dst']),
  ...['10.244.1', '10.244.1.1/24', 'fe80::1%eth0', 'gateway', '', '0x0af40101', '10.244.1.1\0'].map(
    (gw): Case => [`the gateway ${gw}`, config({ routes: [{ dst: '10.9.0.0/16', gw }] }), 7, 'routes[0].gw'],
  ),
  ...(
    [
      ['priority', 4_294_967_296],
      ['table', 0],
      ['table', 4_294_967_296],
      ['scope', 256],
      ['mtu', 0],
      ['mtu', 65_521],
      ['mtu', 4_294_967_296],
      ['advmss', 0],
      ['advmss', 65_496],
      ['type', 'local'],
      ['dev', 'a/b'],
      ['dev', '1234567890123456'],
      ['dev', '..'],
    ] as const
  ).map(([key, value]): Case => {
    return [`${key} ${value}`, config({ routes: [{ ...ROUTE, [key]: value }] }), 7, `routes[0].${key}`];
  }),
  ...[0, 257].map((weight): Case => {
    const routes = [{ dst: '10.9.0.0/16', nexthops: [{ ...HOP, weight }] }];
    return [`weight ${weight}`, config({ routes }), 7, 'routes[0].nexthops[0].weight'];
  }),
  ...[0, 4, 256].map((protocol): Case => [`protocol ${protocol}`, config({ protocol }), 7, 'protocol']),
  ['a scope for IPv6', config({ routes: [{ dst: 'fd00:9::/48', scope: 253 }] }), 7, 'routes[0].scope'],
  ['no next hops', config({ routes: [{ dst: '10.9.0.0/16', nexthops: [] }] }), 7, 'routes[0].nexthops'],
  [
    'next hops beside a gateway and a device',
    config({ routes: [{ ...ROUTE, dev: 'eth0', nexthops: [HOP] }] }),
    7,
    'routes[0].gw',
    'routes[0].dev',
  ],
  ['onlink without gateway', config({ routes: [{ dst: '10.9.0.0/16', onlink: true }] }), 7, 'routes[0].onlink'],
  [
    'a blackhole with next hops',
    config({ routes: [{ ...ROUTE, type: 'blackhole', dev: 'eth0', onlink: false, nexthops: [HOP] }] }),
    7,
    'routes[0].gw',
    'routes[0].dev',
    'routes[0].nexthops',
    'routes[0].onlink',
  ],
  ['the same route twice', config({ routes: [ROUTE, ROUTE] }), 7, 'routes[1]'],
  [
    'the same destination with two gateways',
    config({ routes: [ROUTE, { ...ROUTE, gw: '10.244.1.2' }] }),
    7,
    'routes[1]',
  ],
  [
    'the same route in two spellings',
    config({ routes: [{ dst: 'fd00:9::/48' }, { dst: 'FD00:0009:0::/48' }] }),
    7,
    'routes[1]',
  ],
  ['default beside 0.0.0.0/0', config({ routes: [{ dst: 'default' }, ROUTE, { dst: '0.0.0.0/0' }] }), 7, 'routes[2]'],
  ['the main table by its number', config({ routes: [ROUTE, { ...ROUTE, table: 254 }] }), 7, 'routes[1]'],
  ['the priority that IPv4 has', config({ routes: [ROUTE, { ...ROUTE, priority: 0 }] }), 7, 'routes[1]'],
  [
    'the priority that IPv6 has',
    config({
      routes: [{ dst: 'fd00:9::/48' }, { dst: 'fd00:9::/48', priority: 1024 }, { dst: 'fd00:9::/48', priority: 0 }],
    }),
    7,
    'routes[1]',
    'routes[2]',
  ],
  ['an unknown onConflict', config({ onConflict: 'Fail' }), 7, 'onConflict'],
  ['an unknown missingFamily', config({ missingFamily: '' }), 7, 'missingFamily'],
  ['an unknown log level', config({ logLevel: 'loud' }), 7, 'logLevel'],
  ['an interface name that no link can have', config({ interface: 'a b' }), 7, 'interface'],
  ...['data', './data', '', '~/data', '/tmp/../etc', '/tmp/..', '/..', '/tmp/a\0b'].map(
    (dataDir): Case => [`the data folder ${dataDir}`, config({ dataDir }), 7, 'dataDir'],
  ),
  ...['waymark.log', '', '/var/log/../../etc/passwd'].map(
    (logFile): Case => [`the log file ${logFile}`, config({ logFile }), 7, 'logFile'],
  ),
  [
    'args.cni with keys of the node',
    config({ args: { cni: { dataDir: '/tmp/x', logLevel: 'info', logFile: '/tmp/x.log' } } }),
    7,
    'args.cni.dataDir',
    'args.cni.logLevel',
    'args.cni.logFile',
  ],
  [
    'args.cni with wrong routes in place of right ones',
    config({ routes: [ROUTE], args: { cni: { routes: [{ dst: 'x' }] } } }),
    7,
    'args.cni.routes[0].dst',
  ],
  [
    'unknown keys in a route and a next hop',
    config({
      routes: [
        { ...ROUTE, via: '10.0.0.1' },
        { dst: 'fd00:9::/48', nexthops: [{ gw: 'fd00::1', wieght: 2 }] },
      ],
    }),
    7,
    'routes[0].via',
    'routes[1].nexthops[0].wieght',
  ],
  [
    '__proto__ in a route',
    '{"cniVersion":"1.1.0","name":"net","routes":[{"dst":"10.9.0.0/16","__proto__":{}}]}',
    7,
    'routes[0].__proto__',
  ],
  [
    'everything at once',
    config({
      route: [],
      onConflict: 'x',
      protocol: 1,
      skipcheck: 'no',
      routes: [{ dst: '10.9.0.1/16' }, { dst: 'fd00::/48', gw: '10.0.0.1' }, { gw: 'auto', mtu: -1 }],
      args: { cni: { logLevel: 'info' } },
    }),
    7,
    'route',
    'onConflict',
    'protocol',
    'skipcheck',
    'routes[0].dst',
    'routes[1].gw',
    'routes[2].dst',
    'routes[2].mtu',
    'args.cni.logLevel',
  ],
];

/** A key that is nearly one of ours, and the one that is suggested. */
export const MISSPELT: readonly [key: string, meant: string][] = [
  ['route', 'routes'],
  ['Routes', 'routes'],
  ['roots', 'routes'],
  ['onconflict', 'onConflict'],
  ['missing_family', 'missingFamily'],
  ['protocoll', 'protocol'],
  ['interfaces', 'interface'],
  ['datadir', 'dataDir'],
  ['logfile', 'logFile'],
  ['skipCheck', 'skipcheck'],
];

function wrong(path: string, keys: object): Case {
  return [`${path} in ${JSON.stringify(keys)}`, config(keys), 7, path];
}

/** A value nested so deep, as JSON. */
export function nested(depth: number, open: string, close: string): string {
  return open.repeat(depth) + close.repeat(depth);
}

/** A whole config with these keys. */
export function config(keys: object): object {
  return { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir: FOLDER, ...keys };
}
