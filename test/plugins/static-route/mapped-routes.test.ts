import t from 'tap';
import { parseStaticRouteConfig } from '../../../plugins/static-route/config.ts';
import { mappedRoutes, mapSource } from '../../../plugins/static-route/mapped-routes.ts';
import { observed } from '../../support/plugins/observed.ts';

const SUBNETS = {
  red: {
    subnets: {
      '10.1.0.0/16': { gw: '10.1.0.1' },
      '10.1.5.0/24': { gw: '10.1.5.1' },
      '10.2.0.0/16': { gw: '10.2.0.1' },
      'fd00:1::/64': { gw: 'fd00:1::1' },
      'fd00:2::/64': { gw: 'fd00:2::1' },
    },
  },
  blue: { subnets: { '10.1.5.64/26': { gw: '10.1.5.65' }, '10.9.0.0/16': { gw: '10.9.0.1' } } },
};

const config = (keys: object) => parseStaticRouteConfig({ cniVersion: '1.1.0', name: 'net', ...keys }).config;

function routesOf(...addresses: string[]): string[] {
  const pod = observed({ lo: [], eth0: addresses });
  const link = pod.linkNamed('eth0');
  if (link === undefined) throw new Error('the pod has eth0');
  const wanted = mappedRoutes({ config: config({ topology: { vrf: SUBNETS }, protocol: 99 }), observed: pod, link });
  t.ok(wanted.every(({ route }) => route.protocol === 99 && route.table === 254));
  return wanted.map(
    ({ route: { dst, hops }, source }) => `${dst} via ${hops[0]?.gw} dev ${hops[0]?.oif} of ${source.split(': ')[1]}`,
  );
}

t.test('a pod is routed to the other subnets of the vrf with the most specific one that has its address', async (t) => {
  t.strictSame(routesOf('10.1.9.9/16'), [
    '10.1.5.0/24 via 10.1.0.1 dev 2 of vrf red',
    '10.2.0.0/16 via 10.1.0.1 dev 2 of vrf red',
  ]);
  t.strictSame(routesOf('10.1.5.9/24'), [
    '10.1.0.0/16 via 10.1.5.1 dev 2 of vrf red',
    '10.2.0.0/16 via 10.1.5.1 dev 2 of vrf red',
  ]);
  t.strictSame(routesOf('10.1.5.70/26'), ['10.9.0.0/16 via 10.1.5.65 dev 2 of vrf blue']);
  t.strictSame(routesOf('10.2.0.5/16', '10.1.5.9/24'), [
    '10.1.0.0/16 via 10.1.5.1 dev 2 of vrf red',
    '10.2.0.0/16 via 10.1.5.1 dev 2 of vrf red',
  ]);
});

t.test('each family by itself', async (t) => {
  t.strictSame(routesOf('10.9.0.5/16', 'fd00:2::5/64'), [
    '10.1.5.64/26 via 10.9.0.1 dev 2 of vrf blue',
    'fd00:1::/64 via fd00:2::1 dev 2 of vrf red',
  ]);
  t.strictSame(routesOf('10.77.0.5/16'), [], 'an address of no subnet');
});

t.test('without a map there are none, and without an address nobody can tell', async (t) => {
  const pod = observed({ lo: [], eth0: [], red: ['10.9.0.5/16'] }, [], { red: { master: 4 } });
  const [, eth0, red] = pod.links();
  if (eth0 === undefined || red === undefined) throw new Error('the pod has three links');
  t.strictSame(mappedRoutes({ config: config({}), observed: pod, link: eth0 }), []);
  const mapped = config({ topology: { vrf: SUBNETS } });
  t.throws(() => mappedRoutes({ config: mapped, observed: pod, link: eth0 }), {
    code: 101,
    message: 'interface "eth0" has no address',
  });
  const inVrf = observed({ lo: [], eth0: [], red: ['10.9.0.5/16'], vrf0: [] }, [], {
    red: { master: 4 },
    vrf0: { kind: 'vrf', vrfTable: 1001 },
  });
  t.match(mappedRoutes({ config: mapped, observed: inVrf, link: { ...red, master: 4 } }), [{ route: { table: 1001 } }]);
});

t.test('a map is known by its file, or a hash of its content, and the interface', async (t) => {
  const vrf = (gw: string) => ({ topology: { vrf: { a: { subnets: { '10.1.0.0/16': { gw } } } } } });
  // FNV-1a (32 bits) of what JSON makes of the subnets; of the empty list: by hand.
  t.equal(mapSource({ topology: undefined, topologyFile: undefined }), `topology ${fnv1a('[]')}`);
  const { topology, topologyFile } = config(vrf('10.1.0.1'));
  t.equal(mapSource({ topology, topologyFile }), `topology ${fnv1a(JSON.stringify(topology))}`);
  t.not(mapSource(config(vrf('10.1.0.1'))), mapSource(config(vrf('10.1.0.2'))));
  t.equal(mapSource({ topology, topologyFile: '/x' }), 'topologyFile /x');
  t.equal(mapSource({ topology, topologyFile: '/x', interface: 'net1' }), 'topologyFile /x, interface net1');
});

/** http://www.isthe.com/chongo/tech/comp/fnv/: the offset basis is 2166136261, the prime 16777619. */
function fnv1a(text: string): string {
  let hash = 2166136261n;
  for (const byte of Buffer.from(text)) hash = ((hash ^ BigInt(byte)) * 16777619n) % 2n ** 32n;
  return hash.toString(16).padStart(8, '0');
}
