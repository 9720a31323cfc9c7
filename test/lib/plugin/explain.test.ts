import t from 'tap';
import type { Link } from '../../../lib/netlink/link.ts';
import { type Route, routeVia } from '../../../lib/netlink/route.ts';
import { explainAdd, outlineAdd } from '../../../lib/plugin/explain.ts';
import { unchainedResult } from '../../../lib/plugin/unchained.ts';
import { seamlessGateway } from '../../../plugins/seamless-gateway/main.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { observed } from '../../support/plugins/observed.ts';
import { planRequest } from '../../support/plugins/plan-request.ts';

const NETNS = '/run/netns/pod';
const via = (gw: string, dst: string): Route => routeVia(gw, { dst, family: 4, link: 2, protocol: 3 });
const pod = (routes: Route[] = []) => observed({ lo: [], eth0: ['10.0.0.5/24'] }, routes);
const GATEWAY = '10.0.0.1';

const explain = (keys: object, there: Route[] = [], prevResult?: object) => {
  const document = { name: 'net', cniVersion: '1.0.0', ...keys, ...(prevResult && { prevResult }) };
  const view = { observed: pod(there), host: () => pod() };
  return explainAdd(staticRoute.definition, planRequest(document, NETNS, 'eth0'), view);
};

t.test('what would be done, what is there, what gives way; and what the next plugin finds', async (t) => {
  const routes = ['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16'].map((dst) => ({ dst, gw: GATEWAY }));
  const there = [via(GATEWAY, '10.2.0.0/16'), via('10.0.0.9', '10.3.0.0/16')];
  const { explanation, result, observed } = await explain({ routes, onConflict: 'keep', mtu: 1 }, there);
  t.strictSame(explanation, {
    warnings: ['unknown key "mtu" is ignored'],
    waits: [],
    would: ['add route 10.1.0.0/16 via 10.0.0.1 dev eth0'],
    there: ['add route 10.2.0.0/16 via 10.0.0.1 dev eth0'],
    kept: ['add route 10.3.0.0/16 via 10.0.0.1 dev eth0'],
  });
  t.equal(observed.routesIn(4, 254).length, 3);
  t.match(result, { cniVersion: '1.1.0', routes: [{ dst: '10.1.0.0/16' }, { dst: '10.2.0.0/16' }] });
});

t.test('what is wrong is told as ADD would', async (t) => {
  await t.rejects(explain({ routes: 7 }), { code: 7 });
  await t.rejects(explain({ routes: [{ dst: '10.1.0.0/16', gw: GATEWAY }] }, [via('10.0.0.9', '10.1.0.0/16')]), {
    code: 103,
  });
  await t.rejects(explain({}, [], { ips: 7 }), { code: 7, message: /prevResult/ });
});

t.test('a result that is not changed is passed on to the letter, in the version that is asked for', async (t) => {
  const prevResult = { interfaces: [{ name: 'eth0', sandbox: NETNS, odd: 1 }], odd: 2 };
  t.strictSame((await explain({}, [], prevResult)).result, { cniVersion: '1.1.0', ...prevResult });
  const older = { ...prevResult, cniVersion: '0.4.0' };
  t.match((await explain({}, [], older)).result, { cniVersion: '1.1.0', interfaces: [{ name: 'eth0' }] });
});

t.test('what would be waited for is told where the config waits, and is an error where it does not', async (t) => {
  const host = observed({ lo: [], eth0: ['192.168.0.5/24'] });
  const ask = (keys: object) => {
    const document = { name: 'net', cniVersion: '1.0.0', prevResult: { ips: [] }, ...keys };
    return explainAdd(seamlessGateway.definition, planRequest(document, NETNS, 'eth0'), {
      observed: pod(),
      host: () => host,
    });
  };
  await t.rejects(ask({}), { code: 101, message: /the host has no default route/ });
  const { explanation, result } = await ask({ waitSeconds: 7 });
  t.strictSame(explanation.waits, ['up to 7 s: the host has no default route; set "hostInterface"']);
  t.strictSame([explanation.would, explanation.there], [[], []]);
  t.strictSame(result, { ips: [] });
  const verified = await ask({ hostInterface: 'eth0', verifyGateway: { timeoutSeconds: 3 } });
  t.strictSame(verified.explanation.would, [
    'make sure that gateway 10.0.0.1 answers within 3 s',
    'add route 192.168.0.5/32 via 10.0.0.1 dev eth0',
  ]);
  const unverified = await ask({ hostInterface: 'eth0' });
  t.strictSame(unverified.explanation.would, verified.explanation.would.slice(1));
});

t.test('without a pod, the config’s own words; a wrong result counts there too', async (t) => {
  const outline = (keys: object) =>
    outlineAdd(staticRoute.definition, planRequest({ name: 'net', cniVersion: '1.0.0', ...keys }, NETNS, 'eth0'));
  t.strictSame(await outline({ routes: [{ dst: '10.1.0.0/16', gw: GATEWAY }] }), {
    ...{ warnings: [], waits: [], there: [], kept: [] },
    would: ['add route 10.1.0.0/16 via 10.0.0.1'],
  });
  await t.rejects(outline({ prevResult: { ips: 7 } }), { code: 7 });
});

t.test('the result of a plugin that is alone has the link, and its addresses that lead further', async (t) => {
  const view = observed({ lo: [], eth0: ['10.0.0.5/24', 'fe80::5/64', '10.0.1.5/24 link', 'fd00::5/64'] });
  const [, eth0] = view.links() as [Link, Link];
  const ips = ['10.0.0.5/24', 'fd00::5/64'].map((address) => ({ interface: 0, address }));
  t.strictSame(unchainedResult(eth0, NETNS, view), { interfaces: [{ name: 'eth0', sandbox: NETNS }], ips });
  const mac = '02:00:00:00:00:01';
  t.strictSame(unchainedResult({ ...eth0, mac }, NETNS, view).interfaces, [{ name: 'eth0', mac, sandbox: NETNS }]);
});
