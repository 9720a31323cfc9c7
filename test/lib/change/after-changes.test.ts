import t from 'tap';
import { afterChanges, describeInOrder } from '../../../lib/change/after-changes.ts';
import type { Change } from '../../../lib/change/change.ts';
import { apply } from '../../../lib/change/transaction.ts';
import { type Route, routeVia } from '../../../lib/netlink/route.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';
import { Observation } from '../../../lib/observation/observation.ts';
import { noNamespaces, scratchPod } from '../../support/namespaces/namespace.ts';
import { observed } from '../../support/plugins/observed.ts';

const via = (gw: string, dst: string, family: 4 | 6 = 4): Route => routeVia(gw, { dst, family, link: 0, protocol: 87 });
const on = (link: number, route: Route): Route => ({
  ...route,
  hops: route.hops.map((hop) => ({ ...hop, oif: link })),
});

t.test('what is foretold is what the kernel then has', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  pod.ip('link property add dev eth0 altname old');
  pod.ip('route add 10.7.0.0/16 via 10.244.1.1');
  pod.ip('rule add from 10.9.0.0/16 table 7 pref 50 proto static');
  pod.ip('rule add from 10.8.0.0/16 table 7 pref 50');
  const namespace = openNamespace(pod.path);
  const socket = RouteSocket.open(namespace);
  t.teardown(() => {
    socket.close();
    namespace.close();
  });
  const before = Observation.of(socket);
  const eth0 = before.linkNamed('eth0')?.index ?? 0;
  const [present] = before.routesLike(via('10.244.1.1', '10.7.0.0/16'));
  if (present === undefined) throw new Error('the route is not there');
  const presentRule = before.rulesIn(4).find(({ priority }) => priority === 50);
  if (presentRule === undefined) throw new Error('the rule is not there');
  const changes: Change[] = [
    { op: 'delete-altname', link: eth0, name: 'old' },
    { op: 'rename-link', link: eth0, from: 'eth0', to: 'blue' },
    { op: 'add-altname', link: eth0, name: 'eth0' },
    { op: 'delete-route', route: present },
    { op: 'add-route', route: on(eth0, via('10.244.1.2', '10.7.0.0/16')) },
    { op: 'add-route', route: on(eth0, via('10.244.1.3', '0.0.0.0/0')) },
    { op: 'add-route', route: { ...on(eth0, via('10.244.1.4', '10.7.0.0/16')), table: 100 } },
    { op: 'add-route', route: on(eth0, via('fd00:244:1::1', '2001:db8::/32', 6)) },
    { op: 'delete-rule', rule: presentRule },
    { op: 'add-rule', rule: { ...presentRule, table: 9, protocol: 87 } },
    { op: 'add-rule', rule: { family: 6, priority: 5, action: 'prohibit', table: 0, protocol: 87, to: 'fd09::/16' } },
  ];
  const foretold = afterChanges(before, changes);
  const pictures = (of: Observation) => ({
    links: of.links(),
    // The kernel's labels follow the name; nobody plans by them.
    addresses: of.addresses(eth0).map(({ label: _, ...address }) => address),
    tables: ([4, 6] as const).flatMap((family) =>
      [254, 100].map((table) => [...of.routesIn(family, table)].map((route) => JSON.stringify(route)).sort()),
    ),
    rules: [...of.rulesIn(4), ...of.rulesIn(6)],
    defaults: [...of.defaultRoutes(4), ...of.defaultRoutes(6)],
  });
  const told = pictures(foretold);
  await apply(socket, changes, before);
  const { tables, ...rest } = told;
  const real = pictures(Observation.of(socket));
  t.strictSame(rest, { links: real.links, addresses: real.addresses, defaults: real.defaults, rules: real.rules });
  t.strictSame(tables, real.tables);
  t.match(pod.ipJson('link show blue'), [{ ifname: 'blue', altnames: ['eth0'] }]);
});

t.test('no changes leave the observation itself', async (t) => {
  const pod = observed({ eth0: [] });
  t.equal(afterChanges(pod, []), pod);
});

t.test('what a few changes and what many leave of a table is told alike', async (t) => {
  const route = (index: number, gw = '10.0.0.1') => on(1, via(gw, `10.${index >> 8}.${index & 255}.0/24`));
  const present = Array.from({ length: 300 }, (_, index) => route(index));
  for (const count of [1, 99, 100, 101, 250]) {
    const changes: Change[] = present.slice(0, count).flatMap((old, index) => [
      { op: 'delete-route', route: old },
      { op: 'add-route', route: route(index, '10.0.0.9') },
    ]);
    const after = afterChanges(observed({ eth0: ['10.0.0.5/24'] }, present), changes);
    const like = Array.from({ length: 301 }, (_, index) => after.routesLike(route(index)));
    const wanted = present.map((old, index) => [index < count ? route(index, '10.0.0.9') : old]);
    t.strictSame(like, [...wanted, []], `${count} are replaced`);
    t.equal(after.routesIn(4, 254).length, 300);
  }
});

t.test('a route of another who has the same key stays', async (t) => {
  const others = { ...on(1, via('10.0.0.1', '10.7.0.0/16')), protocol: 3 };
  const pod = observed({ eth0: ['10.0.0.5/24'] }, [others]);
  const after = afterChanges(pod, [{ op: 'delete-route', route: { ...others, protocol: 87 } }]);
  t.strictSame(after.routesIn(4, 254), [others]);
  t.strictSame(after.routesLike(others), [others]);
  t.equal(after.routesLike(others), pod.routesLike(others), 'as it was, and no copy');
});

t.test('changes are described with the names that links will have by then', async (t) => {
  const pod = observed({ eth0: ['10.0.0.5/24'] });
  const route = on(1, via('10.0.0.1', '10.7.0.0/16'));
  t.strictSame(
    describeInOrder(
      [
        { op: 'add-route', route },
        { op: 'rename-link', link: 1, from: 'eth0', to: 'blue' },
        { op: 'add-altname', link: 1, name: 'eth0' },
        { op: 'delete-route', route },
      ],
      pod,
    ),
    [
      'add route 10.7.0.0/16 via 10.0.0.1 dev eth0',
      'rename interface eth0 to blue',
      'add altname eth0 to blue',
      'delete route 10.7.0.0/16 via 10.0.0.1 dev blue',
    ],
  );
});
