import t from 'tap';
import type { Result } from '../../../lib/cni/result.ts';
import { type DefaultRouteConfig, planDefaultRoute } from '../../../lib/default-route/plan.ts';
import { type Route, routeVia } from '../../../lib/netlink/route.ts';
import type { PlanInput } from '../../../lib/plugin/plan.ts';
import { observed } from '../../support/plugins/observed.ts';
import { planRequest } from '../../support/plugins/plan-request.ts';

const NETNS = '/run/netns/pod';
const via = (gw: string, link: number, dst = gw.includes(':') ? '::/0' : '0.0.0.0/0'): Route =>
  routeVia(gw, { dst, family: gw.includes(':') ? 6 : 4, link, protocol: 3 });
/** As ours: `proto 87`, and for IPv6 before those of others. */
const ours = (gw: string, link = 3): Route => ({
  ...via(gw, link),
  protocol: 87,
  priority: gw.includes(':') ? 512 : 0,
});

const [ETH0, ETH0_V6] = [via('10.0.0.1', 2), via('fd00::1', 2)];
const PREVIOUS: Result = {
  interfaces: [{ name: 'net1', sandbox: NETNS }],
  routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }, { dst: '10.9.0.0/16' }],
};

function plan(
  config: Partial<DefaultRouteConfig>,
  routes: Route[] = [ETH0, ETH0_V6],
  previous: Result | undefined = PREVIOUS,
) {
  const links = { lo: [], eth0: ['10.0.0.5/24'], net1: ['10.1.0.5/24'] };
  const input = {
    request: planRequest({ name: 'net', cniVersion: '1.1.0' }, NETNS, 'net1'),
    config: { gateways: [], yields: [], ...config },
    previous,
    observed: observed(links, routes),
    host: () => {
      throw new Error('the node is none of its business');
    },
  } as unknown as PlanInput<DefaultRouteConfig>;
  const { changes, conflicts, result } = planDefaultRoute(input);
  t.strictSame(conflicts, []);
  const lines = changes.map(({ change, source }) => ({ source, ...change }));
  return { lines, result };
}

t.test('a gateway takes the place of the default routes of its family, and the result says so', async (t) => {
  const { lines, result } = plan({ gateways: ['10.1.0.1'] });
  t.strictSame(lines, [
    { source: 'default-route[0]', op: 'delete-route', route: ETH0 },
    { source: 'default-route[0]', op: 'add-route', route: ours('10.1.0.1') },
  ]);
  t.strictSame(result.routes, [{ dst: '::/0' }, { dst: '10.9.0.0/16' }, { dst: '0.0.0.0/0', gw: '10.1.0.1' }]);
});

t.test('the second gateway is of the second place', async (t) => {
  const { lines, result } = plan({ gateways: ['10.1.0.1', 'fd01::1'] });
  t.strictSame(
    lines.map(({ source }) => source),
    ['default-route[0]', 'default-route[0]', 'default-route[1]', 'default-route[1]'],
  );
  t.strictSame(lines[3], { source: 'default-route[1]', op: 'add-route', route: ours('fd01::1') });
  t.strictSame(result.routes, [
    { dst: '10.9.0.0/16' },
    { dst: '0.0.0.0/0', gw: '10.1.0.1' },
    { dst: '::/0', gw: 'fd01::1', priority: 512 },
  ]);
});

t.test(
  'what is there as wanted is not deleted first, nor is what is no default route or of another table',
  async (t) => {
    const others = [via('10.0.0.1', 2, '10.5.0.0/16'), { ...ETH0, table: 100 }];
    const { lines } = plan({ gateways: ['10.1.0.1'] }, [ours('10.1.0.1'), ...others]);
    t.strictSame(lines, [{ source: 'default-route[0]', op: 'add-route', route: ours('10.1.0.1') }]);
  },
);

t.test('what yields loses its own default routes only', async (t) => {
  const own = via('10.1.0.1', 3);
  const shared = { ...own, priority: 5, hops: [...own.hops, { gw: '10.0.0.1', oif: 2 }] };
  const { lines, result } = plan({ yields: [4] }, [ETH0, own, shared, via('fd01::1', 3)]);
  t.strictSame(lines, [{ source: 'yields IPv4', op: 'delete-route', route: own }]);
  t.strictSame(result.routes, [{ dst: '::/0' }, { dst: '10.9.0.0/16' }]);
});

t.test('both at once, of different families', async (t) => {
  const { lines } = plan({ gateways: ['10.1.0.1'], yields: [6] }, [via('fd01::1', 3)]);
  t.strictSame(
    lines.map(({ op }) => op),
    ['add-route', 'delete-route'],
  );
});

t.test('nothing to do leaves the result as it is, and asks for no interface', async (t) => {
  const previous = { interfaces: [{ name: 'net9', sandbox: NETNS }] };
  const { lines, result } = plan({}, [], previous);
  t.strictSame(lines, []);
  t.equal(result, previous);
});

t.test('a result without routes gets none by yielding, and without a result there is what was seen', async (t) => {
  const { routes: _, ...bare } = PREVIOUS;
  t.equal(plan({ yields: [4] }, [], bare).result.routes?.length ?? 0, 0);
  t.throws(() => plan({ gateways: ['10.1.0.1'] }, [], { interfaces: [{ name: 'net9', sandbox: NETNS }] }), {
    code: 100,
  });
});
