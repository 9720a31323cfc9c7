import t from 'tap';
import type { Family } from '../../../lib/address/address.ts';
import type { Request } from '../../../lib/netlink/message.ts';
import { type Route, routeKey } from '../../../lib/netlink/route.ts';
import { addRouteRequest, deleteRouteRequest } from '../../../lib/netlink/route-message.ts';
import { listRoutes } from '../../../lib/netlink/routes.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { buildExampleState, ENCAPSULATED_ROUTES } from '../../support/namespaces/example-state.ts';
import {
  comparable,
  golden,
  type IpObject,
  indexByName,
  nameByIndex,
  printedRoute,
} from '../../support/namespaces/ip-json.ts';
import { noNamespaces, type Scratch, scratchNamespace } from '../../support/namespaces/namespace.ts';
import { done, fakeTransport, replay, socketIn } from '../../support/namespaces/transport.ts';

for (const family of [4, 6] as const) {
  t.test(`the recorded IPv${family} dump is decoded to what ip -j -d route printed of the same routes`, async (t) => {
    const { ip, received } = golden(`routes-ipv${family}`);
    const nameOf = nameByIndex(golden('links').ip);
    const routes = listRoutes(new RouteSocket(replay(received.all ?? [])), family);
    t.equal(routes.length, ip.length);
    for (const [i, printed] of ip.entries()) {
      const route = routes[i];
      t.strictSame(route && printedRoute(route, nameOf), comparable(printed), `${printed.dst}`);
      t.strictSame(JSON.parse(JSON.stringify(route)), route, `${printed.dst} survives JSON`);
    }
  });
}

t.test('a refusal', async (t) => {
  const list = (errno: number, filter: { table?: number }) =>
    listRoutes(new RouteSocket(fakeTransport(([sent]) => (sent ? [done(sent, errno)] : []))), 4, filter);
  t.test('with ENOENT means no routes where one table is asked for, and is thrown where all are', async (t) => {
    t.strictSame(list(2, { table: 4711 }), []);
    t.throws(() => list(2, {}), { name: 'NetlinkError', code: 'ENOENT' });
  });
  t.test('with another errno is thrown, with a table too', async (t) => {
    t.throws(() => list(13, { table: 4711 }), { name: 'NetlinkError', code: 'EACCES' });
  });
});

t.test('in a real namespace', { skip: noNamespaces }, async (t) => {
  const pod = scratchNamespace(t);
  buildExampleState(pod.ip);
  const socket = socketIn(t, pod);
  const links = pod.ipJson('link show');
  const nameOf = nameByIndex(links);
  const indexOf = indexByName(links);
  const refusalsOf = async (request: Request) => (await socket.change([request], () => 'change')).refusals;

  for (const family of [4, 6] as const) {
    const print = (filter: string) => pod.ipJson(`-d -${family} route show ${filter}`).map(comparable).map(timeless);
    const read = (filter?: { table?: number; oif?: number }) =>
      listRoutes(socket, family, filter).map((route) => timeless(printedRoute(route, nameOf)));

    t.test(`the IPv${family} routes of all tables are what ip -j -d route prints`, async (t) => {
      t.strictSame(read(), print('table all'));
    });

    for (const [number, name] of [
      [254, 'main'],
      [255, 'local'],
      [200, '200'],
      [5000, '5000'],
    ] as const) {
      t.test(`the IPv${family} routes of table ${name} are its own and no others`, async (t) => {
        const all = print('table all').filter(({ table }) => table === name);
        t.ok(all.length > 0);
        t.strictSame(read({ table: number }), all);
      });
    }

    t.test(
      `the IPv${family} routes out of one link are those with a hop on it, of all tables, and no others`,
      async (t) => {
        const uses = ({ dev, nexthops = [] }: IpObject) =>
          [dev, ...(nexthops as IpObject[]).map((hop) => hop.dev)].includes('br0');
        const all = print('table all').filter(uses);
        t.ok(all.length > 2);
        t.strictSame(read({ oif: indexOf('br0') }), all);
      },
    );

    t.test(`a table without IPv${family} routes has none, whether the kernel knows it or not`, async (t) => {
      t.strictSame(read({ table: 4711 }), []);
      t.strictSame(read({ table: 253 }), []);
    });
  }

  for (const family of [4, 6] as const) {
    t.test(
      `every IPv${family} route that is deleted and added again is the same to ip, and no other is touched`,
      async (t) => {
        if (family === 4) for (const command of ENCAPSULATED_ROUTES) pod.ip(command);
        const routes = alone(listRoutes(socket, family));
        t.ok(routes.length > 25);
        for (const route of routes) {
          const name = `${route.dst} of table ${route.table}`;
          const before = linesOf(pod, family);
          t.strictSame(await refusalsOf(deleteRouteRequest(route)), [], `${name} can be deleted`);
          const without = linesOf(pod, family);
          t.equal(without.length, before.length - 1, `${name} is gone, and only it`);
          t.ok(
            without.every((line) => before.includes(line)),
            `nothing else changed with ${name}`,
          );
          const copy = JSON.parse(JSON.stringify(route));
          t.strictSame(await refusalsOf(addRouteRequest(copy)), [], `${name} can be added`);
          t.strictSame(linesOf(pod, family), before, `${name} is back as it was`);
        }
      },
    );
  }
});

/**
 * Without the routes that only the kernel can make: several IPv6 ones with one key (`fe80::/64` of each link), and those
 * of metric 0 in the table local (one that is added gets 1024).
 */
function alone(routes: Route[]): Route[] {
  const keys = routes.map(routeKey);
  return routes.filter(
    ({ family, priority }, i) =>
      family === 4 || (priority !== 0 && keys.indexOf(keys[i] ?? '') === keys.lastIndexOf(keys[i] ?? '')),
  );
}

/** Without what counts down between two readings, but with the fact that it does. */
function timeless({ expires, ...route }: IpObject): IpObject {
  return expires === undefined ? route : { ...route, expires: (expires as number) > 99_000 };
}

/** The routes of all tables as text, which says more than JSON (`mtu lock`): one line each, in a fixed order. */
function linesOf(pod: Scratch, family: Family): string[] {
  const text = pod.ip(`-d -${family} route show table all`).replaceAll(/expires \d+sec/g, 'expires');
  return text.replaceAll('\n\t', ' | ').split('\n').filter(Boolean).sort();
}
