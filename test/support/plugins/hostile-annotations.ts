// What a pod's author may write into `args.cni` (Multus' `cni-args`) to lead its packets elsewhere: when it starts
// (test/agent/protect.test.ts), and while it runs (test/controller/hostile-edits.test.ts).

/** Service, node and pod networks of both families. */
export const PROTECTED: readonly string[] = ['10.96.0.0/12', '192.168.10.0/24', 'fd00:96::/108', '10.244.0.0/16'];

/** A gateway that the pod has. */
export const VIA = { gw: '10.244.1.1' };
/** `args.cni` with one route. */
export const route = (dst: string, more: object = {}): { routes: object[] } => ({ routes: [{ dst, ...VIA, ...more }] });
/** `args.cni` with one rule. */
export const rule = (keys: object): { rules: object[] } => ({ rules: [{ table: 100, ...keys }] });

/** What is asked for, of which plugin, and the places in it that must be refused. */
export const HOSTILE: readonly [what: string, plugin: string, cni: object, ...places: string[]][] = [
  ['the service network', 'static-route', route('10.96.0.0/12'), 'routes[0]'],
  ['one service', 'static-route', route('10.96.0.1/32'), 'routes[0]'],
  ['one half of it', 'static-route', route('10.104.0.0/13'), 'routes[0]'],
  ['what covers it', 'static-route', route('10.0.0.0/8'), 'routes[0]'],
  [
    'everything, in two halves',
    'static-route',
    {
      routes: [
        { dst: '0.0.0.0/1', ...VIA },
        { dst: '128.0.0.0/1', ...VIA },
      ],
    },
    'routes[0]',
    'routes[1]',
  ],
  ['with a better metric', 'static-route', route('10.96.0.0/16', { priority: 1 }), 'routes[0]'],
  ['in another table', 'static-route', route('10.96.0.0/16', { table: 100 }), 'routes[0]'],
  ['nowhere', 'static-route', { routes: [{ dst: '10.96.0.10/32', type: 'blackhole' }] }, 'routes[0]'],
  [
    'back to the main table',
    'static-route',
    { routes: [{ dst: '10.96.0.0/12', type: 'throw', table: 9 }] },
    'routes[0]',
  ],
  ['on the link', 'static-route', { routes: [{ dst: '10.96.0.1/32', dev: 'eth0' }] }, 'routes[0]'],
  [
    'over several next hops',
    'static-route',
    { routes: [{ dst: '10.96.0.0/12', nexthops: [VIA, { gw: '10.244.1.2' }] }] },
    'routes[0]',
  ],
  ['a node', 'static-route', route('192.168.10.7/32'), 'routes[0]'],
  ['IPv6 services', 'static-route', { routes: [{ dst: 'fd00:96::a/128' }] }, 'routes[0]'],
  ['IPv6 services, covered', 'static-route', { routes: [{ dst: 'fc00::/7' }] }, 'routes[0]'],
  ['in another spelling', 'static-route', { routes: [{ dst: 'FD00:0096:0:0::/112' }] }, 'routes[0]'],
  [
    'among innocent ones',
    'static-route',
    {
      routes: [
        { dst: '172.16.0.0/12', ...VIA },
        { dst: '10.97.0.0/16', ...VIA },
      ],
    },
    'routes[1]',
  ],
  ['as route-override has it', 'static-route', { addroutes: [{ dst: '10.96.0.0/12' }] }, 'addroutes[0]'],
  ['by taking the better route away', 'static-route', { delroutes: [{ dst: '10.100.0.0/16' }] }, 'delroutes[0]'],
  ['by taking all routes away', 'static-route', { flushroutes: true }, 'flushroutes'],
  [
    'by a map',
    'static-route',
    {
      topology: {
        vrf: { a: { subnets: { '10.244.1.0/24': { gw: '10.244.1.1' }, '10.96.0.0/16': { gw: '10.96.0.1' } } } },
      },
    },
    'topology',
  ],
  ['by a rule', 'static-route', rule({ to: '10.96.0.0/12' }), 'rules[0]'],
  ['by a rule that covers it', 'static-route', rule({ to: '10.0.0.0/8' }), 'rules[0]'],
  ['by a rule for all destinations', 'static-route', rule({ from: '10.244.1.5' }), 'rules[0]'],
  ['by a rule for a port', 'static-route', rule({ ipproto: 'tcp', dport: 443 }), 'rules[0]', 'rules[0]'],
  ['by a rule for a mark', 'static-route', rule({ fwmark: 1, to: '::/0' }), 'rules[0]'],
  ['by a rule that drops', 'static-route', { rules: [{ to: '10.96.0.10', action: 'blackhole' }] }, 'rules[0]'],
  ['by source routing', 'static-route', { sourceRouting: true }, 'sourceRouting'],
  ['a node, through a gateway of its choice', 'seamless-gateway', { gateway: '10.244.1.9' }, 'hostAddresses[0]'],
  ['a service, as if it was the node', 'seamless-gateway', { hostAddresses: ['10.96.0.1'] }, 'hostAddresses[0]'],
  ['by another interface', 'seamless-gateway', { interface: 'eth0' }, 'hostAddresses[0]'],
  ['by replacing what is there', 'seamless-gateway', { onConflict: 'replace' }, 'hostAddresses[0]'],
  [
    'everything of IPv6, in two halves',
    'static-route',
    { routes: [{ dst: '::/1' }, { dst: '8000::/1' }] },
    'routes[1]',
  ],
  [
    'a service, by an address more specific than its network',
    'static-route',
    route('10.96.0.1/32', { priority: 4 }),
    'routes[0]',
  ],
  ['a pod of the cluster', 'static-route', route('10.244.7.9/32'), 'routes[0]'],
  ['IPv4 services, mapped into IPv6', 'static-route', { routes: [{ dst: '::ffff:10.96.0.1/128' }] }, 'routes[0]'],
  ['IPv4 services, mapped and covered', 'static-route', { routes: [{ dst: '::ffff:0.0.0.0/96' }] }, 'routes[0]'],
  ['by a rule to a mapped address', 'static-route', rule({ to: '::ffff:10.96.0.10' }), 'rules[0]'],
  [
    'by source routing with a table and priority',
    'static-route',
    { sourceRouting: { table: 77, priority: 5 } },
    'sourceRouting',
  ],
];
