import t from 'tap';
import { parseStaticRouteConfig } from '../../../plugins/static-route/config.ts';
import { outlineStaticRoutes } from '../../../plugins/static-route/outline.ts';

const outline = (keys: object) =>
  outlineStaticRoutes(parseStaticRouteConfig({ cniVersion: '1.1.0', name: 'net', ...keys }).config);
const route = (keys: object) => outline({ routes: [{ dst: '10.0.0.0/8', ...keys }] }).join();

const ROUTES: [keys: object, line: string][] = [
  [{ gw: '10.1.1.1' }, 'add route 10.0.0.0/8 via 10.1.1.1'],
  [{ gw: '10.1.1.1', dev: 'net1', onlink: true }, 'add route 10.0.0.0/8 via 10.1.1.1 dev net1 onlink'],
  [{ dev: 'net1' }, 'add route 10.0.0.0/8 dev net1'],
  [{}, 'add route 10.0.0.0/8 via the gateway of the previous result, else on the link'],
  [
    { gw: 'auto' },
    "add route 10.0.0.0/8 via the gateway of the previous result, else the first address of the pod's subnet",
  ],
  [
    { gw: 'auto', dev: 'net1' },
    "add route 10.0.0.0/8 via the gateway of the previous result, else the first address of the pod's subnet dev net1",
  ],
  [{ type: 'blackhole' }, 'add route blackhole 10.0.0.0/8'],
  [
    { nexthops: [{ gw: '10.1.1.1', weight: 3 }, { dev: 'net1' }] },
    'add route 10.0.0.0/8 nexthop via 10.1.1.1 weight 3 nexthop dev net1 weight 1',
  ],
  [
    { gw: '10.1.1.1', table: 7, src: '10.1.1.2', priority: 5, mtu: 1400, advmss: 1300 },
    'add route 10.0.0.0/8 via 10.1.1.1 table 7 src 10.1.1.2 metric 5 mtu 1400 advmss 1300',
  ],
];

for (const [keys, line] of ROUTES) t.test(JSON.stringify(keys), async (t) => t.equal(route(keys), line));

t.test('what else there is, in the order in which it is done', async (t) => {
  t.strictSame(outline({}), []);
  const vrf = { a: { subnets: { '10.1.0.0/16': { gw: '10.1.0.1' }, '10.2.0.0/16': { gw: '10.2.0.1' } } } };
  const lines = outline({
    delroutes: [{ dst: 'default' }, { dst: '10.5.0.0/16', gw: '10.1.1.9' }],
    ...{ flushgateway: true, flushroutes: true, topology: { vrf }, rules: [{ from: '10.0.0.5', table: 7 }] },
    addroutes: [{ dst: '11.0.0.0/8' }],
  });
  t.strictSame(lines, [
    'delete route 0.0.0.0/0, if it is there',
    'delete route 10.5.0.0/16 via 10.1.1.9, if it is there',
    'delete the default routes',
    'delete every route but those on the link and link-local ones',
    'add route 11.0.0.0/8 on the link',
    'add the routes that follow from a map of 2 subnets',
    'add rule priority 20000 from 10.0.0.5/32 lookup 7',
  ]);
  t.equal(outline({ sourceRouting: true }).length > 0, true);
});
