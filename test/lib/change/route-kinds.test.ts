import t from 'tap';
import { parseChange } from '../../../lib/change/change.ts';
import { addRoute, deleteRoute } from '../../../lib/change/route-kinds.ts';
import { type Route, routeVia } from '../../../lib/netlink/route.ts';
import { observed } from '../../support/plugins/observed.ts';

const pod = (routes: Route[] = []) => observed({ lo: [], eth0: ['10.0.0.5/24'] }, routes);
const V4 = routeVia('10.0.0.1', { dst: '10.1.0.0/16', family: 4, link: 2, protocol: 87 });
const V6 = routeVia('fd00::1', { dst: '2001:db8::/32', family: 6, link: 2, protocol: 87 });
const hops = (route: Route, ...gws: string[]): Route => ({ ...route, hops: gws.map((gw) => ({ gw, oif: 2 })) });
const [ADD, DELETE] = [
  { op: 'add-route', route: V4 },
  { op: 'delete-route', route: V4 },
] as const;

t.test('what each kind is', async (t) => {
  t.match(addRoute, { undoGivesBack: false, isChecked: true });
  t.match(deleteRoute, { undoGivesBack: true, isChecked: false });
  t.strictSame([addRoute.needsLook(ADD), deleteRoute.needsLook(DELETE)], [false, true]);
  t.equal(deleteRoute.needsLook({ ...DELETE, route: { ...V4, priority: 1 } }), false);
  t.strictSame([addRoute.isKnownByConfig(ADD, pod()), deleteRoute.isKnownByConfig(DELETE, pod())], [true, false]);
  t.strictSame([...addRoute.undoneBy], ['ENODEV', 'ENETUNREACH', 'EHOSTUNREACH', 'ENETDOWN', 'EEXIST']);
  t.strictSame([...deleteRoute.undoneBy], ['ESRCH', 'ENODEV', 'ENOENT']);
  t.strictSame([addRoute.inverse(ADD), deleteRoute.inverse(DELETE)], [DELETE, ADD]);
});

const ADDED: [what: string, route: Route, present: Route, holds: boolean][] = [
  ['the same', V4, V4, true],
  ['the same of another protocol', V4, { ...V4, protocol: 3 }, true],
  ['another metric of it', V4, { ...V4, mtu: 1400 }, false],
  ['another gateway', V4, hops(V4, '10.0.0.2'), false],
  ['IPv6 with a hop more', hops(V6, 'fd00::1'), hops(V6, 'fd00::1', 'fd00::2'), true],
  ['IPv6 with a hop less', hops(V6, 'fd00::1', 'fd00::2'), hops(V6, 'fd00::1'), false],
  ['IPv6 with a hop more, and another scope', V6, { ...hops(V6, 'fd00::1', 'fd00::2'), mtu: 1400 }, false],
  ['IPv4 with a hop more', hops(V4, '10.0.0.1'), hops(V4, '10.0.0.1', '10.0.0.2'), false],
  ['IPv4 with the hops in another order', hops(V4, '10.0.0.1', '10.0.0.2'), hops(V4, '10.0.0.2', '10.0.0.1'), true],
  ['IPv6 that leads nowhere, and one with a hop', { ...hops(V6), type: 'blackhole' }, V6, false],
];

for (const [what, route, present, holds] of ADDED) {
  t.test(`there as added: ${what}`, async (t) =>
    t.equal(addRoute.holds({ op: 'add-route', route }, pod([present])), holds),
  );
}

const DELETED: [what: string, route: Route, present: Route[], holds: boolean][] = [
  ['nothing', V4, [], true],
  ['the same', V4, [V4], false],
  ['the same with another metric', V4, [{ ...V4, mtu: 1400 }], false],
  ['one of another protocol', V4, [{ ...V4, protocol: 3 }], true],
  ['one of another type', V4, [{ ...hops(V4), type: 'blackhole' }], true],
  ['another gateway', V4, [hops(V4, '10.0.0.2')], true],
  ['IPv4 with a hop more', V4, [hops(V4, '10.0.0.1', '10.0.0.2')], true],
  ['IPv6 with one of its hops', hops(V6, 'fd00::1', 'fd00::2'), [hops(V6, 'fd00::2', 'fd00::9')], false],
  ['IPv6 with none of its hops', hops(V6, 'fd00::1', 'fd00::2'), [hops(V6, 'fd00::9')], true],
  ['IPv6 that leads nowhere', { ...hops(V6), type: 'blackhole' }, [{ ...hops(V6), type: 'blackhole' }], false],
];

for (const [what, route, present, holds] of DELETED) {
  t.test(`gone as deleted: ${what}`, async (t) => {
    t.equal(deleteRoute.holds({ op: 'delete-route', route }, pod(present)), holds);
  });
}

t.test('in words', async (t) => {
  const text = '10.1.0.0/16 via 10.0.0.1 dev eth0';
  t.strictSame(
    [addRoute.describe(ADD, pod()), addRoute.difference(ADD, pod())],
    [`add route ${text}`, `route ${text} is missing`],
  );
  t.strictSame(
    [deleteRoute.describe(DELETE, pod()), deleteRoute.difference(DELETE, pod())],
    [`delete route ${text}`, `route ${text} is still there`],
  );
});

t.test('what lacks a destination or hops is not known', async (t) => {
  for (const change of [ADD, DELETE]) {
    t.equal(parseChange(change), change);
    for (const route of [undefined, {}, { ...V4, dst: 7 }, { ...V4, hops: {} }])
      t.equal(parseChange({ ...change, route }), undefined);
  }
});
