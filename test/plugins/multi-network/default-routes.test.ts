import t from 'tap';
import type { JsonObject } from '../../../lib/cni/json.ts';
import { chosenFamilies, withDefaultRoutes, withoutDefaults } from '../../../plugins/multi-network/default-routes.ts';
import type { Delegation } from '../../../plugins/multi-network/delegation.ts';
import type { Attached } from '../../../plugins/multi-network/networks.ts';

// Of which network the default routes are, in results. What the kernel has is in test/plugins/multi-network/default-route.test.ts.

const BOTH = [{ dst: '0.0.0.0/0', gw: '10.0.0.1' }, { dst: '::/0', gw: 'fd00::1' }, { dst: '10.9.0.0/16' }];

function attached(
  ifname: string,
  defaultRoute: string[] | undefined,
  routes: object[],
  cniVersion = '1.0.0',
): Attached {
  const network = {
    list: { name: ifname, cniVersion },
    input: { ifname },
    request: { ...(defaultRoute && { defaultRoute }) },
  };
  return { network, result: { cniVersion, routes } } as unknown as Attached;
}

/** Notes what it is asked for, and answers with a result that says so. */
function delegation() {
  const [set, remembered]: [string[], string[]] = [[], []];
  const asked = {
    setDefaultRoutes: async ({ input }: { input: { ifname: string } }, result: JsonObject) => {
      set.push(input.ifname);
      return { ...result, set: true };
    },
    remember: (_: unknown, { ifname }: { ifname: string }) => void remembered.push(ifname),
  };
  return { of: asked as unknown as Delegation, set, remembered };
}

const routesOf = ({ result }: Attached) => (result.routes as { dst: string }[]).map(({ dst }) => dst);

t.test('the families are those of the gateways that are chosen', async (t) => {
  t.strictSame(chosenFamilies([attached('eth0', undefined, BOTH)]), new Set());
  t.strictSame(
    chosenFamilies([attached('net1', ['10.1.0.1'], []), attached('net2', ['fd01::1'], [])]),
    new Set([4, 6]),
  );
});

t.test('without a choice nothing is set, remembered or changed', async (t) => {
  const { of, set, remembered } = delegation();
  const own = attached('eth0', undefined, BOTH);
  const [after] = await withDefaultRoutes(of, [own]);
  t.equal(after?.result, own.result);
  t.strictSame([set, remembered], [[], []]);
});

t.test('whoever chooses has the route, and the others lose theirs of that family only', async (t) => {
  const { of, set, remembered } = delegation();
  const all = await withDefaultRoutes(of, [
    attached('eth0', undefined, BOTH),
    attached('net1', ['10.1.0.1'], BOTH),
    attached('net2', undefined, [{ dst: '10.8.0.0/16' }]),
  ]);
  t.strictSame(set, ['net1']);
  t.strictSame(remembered, ['eth0', 'net1'], 'not what stays as it is');
  t.strictSame(all.map(routesOf), [['::/0', '10.9.0.0/16'], ['0.0.0.0/0', '::/0', '10.9.0.0/16'], ['10.8.0.0/16']]);
});

t.test('who chooses one family yields the other to whom chooses that', async (t) => {
  const { of } = delegation();
  const all = await withDefaultRoutes(of, [attached('net1', ['10.1.0.1'], BOTH), attached('net2', ['fd02::1'], BOTH)]);
  t.strictSame(all.map(routesOf), [
    ['0.0.0.0/0', '10.9.0.0/16'],
    ['::/0', '10.9.0.0/16'],
  ]);
});

t.test('a result stays in the version of its network', async (t) => {
  const { of } = delegation();
  const old = attached('eth0', undefined, [], '0.2.0');
  const ip4 = { ip: '10.0.0.5/24', routes: [{ dst: '0.0.0.0/0' }, { dst: '10.9.0.0/16' }] };
  const [after] = await withDefaultRoutes(of, [
    { ...old, result: { cniVersion: '0.2.0', ip4 } },
    attached('net1', ['10.1.0.1'], []),
  ]);
  t.match(after?.result, { cniVersion: '0.2.0', ip4: { ip: '10.0.0.5/24', routes: [{ dst: '10.9.0.0/16' }] } });
  t.strictSame((after?.result.ip4 as { routes?: object[] } | undefined)?.routes?.length, 1);
});

t.test('a result without routes, and no families, leave it as it is', async (t) => {
  const [bare, whole] = [{}, { routes: BOTH }];
  t.equal(withoutDefaults(bare, new Set([4])), bare);
  t.equal(withoutDefaults(whole, new Set()), whole);
  t.strictSame(withoutDefaults(whole, new Set([4, 6])), { routes: [{ dst: '10.9.0.0/16' }] });
});
