import t from 'tap';
import { findLink } from '../../../lib/netlink/link.ts';
import type { Route } from '../../../lib/netlink/route.ts';
import { addRouteRequest, deleteRouteRequest } from '../../../lib/netlink/route-message.ts';
import { listRoutes } from '../../../lib/netlink/routes.ts';
import { noNamespaces, scratchPod } from '../../support/namespaces/namespace.ts';
import { socketIn } from '../../support/namespaces/transport.ts';

t.test('the real kernel', { skip: noNamespaces }, async (t) => {
  const describe = (index: number) => `add route ${index}`;
  const COUNT = 2000;
  /** Every seventh has a gateway that is not on the link. */
  const isBad = (i: number) => i % 7 === 6;
  const routes = (oif: number, family: 4 | 6) =>
    Array.from({ length: COUNT }, (_, i): Route => {
      const dst = family === 4 ? `10.${100 + (i >> 8)}.${i & 255}.0/24` : `fd99:${i.toString(16)}::/32`;
      const good = family === 4 ? '10.244.1.1' : 'fd00:244:1::1';
      const gw = isBad(i) ? (family === 4 ? '192.0.2.1' : '2001:db8::1') : good;
      return { family, dst, type: 'unicast', table: 254, priority: 77, protocol: 87, scope: 0, hops: [{ gw, oif }] };
    });

  for (const family of [4, 6] as const) {
    for (const sliceBytes of [60, 1000, 60_000, 150_000]) {
      t.test(
        `takes all but every 7th of 2,000 IPv${family} routes, reported one by one, in slices of ${sliceBytes}`,
        async (t) => {
          const pod = scratchPod(t);
          const socket = socketIn(t, pod);
          const before = pod.routes();
          const list = routes(findLink(socket, 'eth0')?.index ?? 0, family);
          const outcome = await socket.change(list.map(addRouteRequest), describe, { sliceBytes, keepGoing: true });
          t.equal(outcome.sent, COUNT);
          const bad = [...list.keys()].filter(isBad);
          t.strictSame(
            outcome.refusals.map(({ index }) => index),
            bad,
          );
          const [message, code] =
            family === 4 ? ['Nexthop has invalid gateway', 'ENETUNREACH'] : [undefined, 'EHOSTUNREACH'];
          const unlike = outcome.refusals.filter(
            ({ index, error }) =>
              error.code !== code || error.kernelMessage !== message || error.operation !== describe(index),
          );
          t.strictSame(unlike, []);
          const there = pod.ipJson(`-${family} route show proto 87`).map(({ dst }) => dst);
          const good = list.filter((_, i) => !isBad(i));
          t.strictSame(
            new Set(there),
            new Set(good.map(({ dst }) => (family === 6 ? dst.replace(':0::', '::') : dst))),
          );
          t.equal(
            listRoutes(socket, family, { table: 254 }).filter(({ protocol }) => protocol === 87).length,
            good.length,
          );

          const deleted = await socket.change(good.map(deleteRouteRequest), describe, { sliceBytes });
          t.strictSame(deleted, { sent: good.length, refusals: [] });
          t.equal(pod.routes(), before);
        },
      );
    }
  }

  t.test('is sent nothing after the slice in which one was refused', async (t) => {
    const pod = scratchPod(t);
    const socket = socketIn(t, pod);
    const list = routes(findLink(socket, 'eth0')?.index ?? 0, 4);
    const { sent, refusals } = await socket.change(list.map(addRouteRequest), describe, { sliceBytes: 200 });
    t.ok(sent >= 7 && sent < 20);
    t.strictSame(
      refusals.map(({ index }) => index),
      [...Array(sent).keys()].filter(isBad),
    );
    t.equal(pod.ipJson('route show proto 87').length, sent - refusals.length);
  });

  t.test('refuses with errno name and its own words', async (t) => {
    const pod = scratchPod(t);
    const socket = socketIn(t, pod);
    const oif = findLink(socket, 'eth0')?.index ?? 0;
    const base: Route = {
      family: 4,
      dst: '10.99.0.0/16',
      type: 'unicast',
      table: 254,
      priority: 0,
      protocol: 87,
      scope: 0,
      hops: [{ gw: '10.244.1.1', oif }],
    };
    const before = pod.routes();
    const cases: [what: string, route: Partial<Route>, code: string, kernelMessage: string | undefined][] = [
      [
        'a gateway that is not on the link',
        { hops: [{ gw: '192.0.2.1', oif }] },
        'ENETUNREACH',
        'Nexthop has invalid gateway',
      ],
      ['a link that is not there', { scope: 253, hops: [{ oif: 9999 }] }, 'ENODEV', undefined],
      ['a source that is not ours', { src: '192.0.2.1' }, 'EINVAL', 'Invalid prefsrc address'],
      ['host bits', { dst: '10.99.0.1/16' }, 'EINVAL', 'Invalid prefix for given prefix length'],
      [
        'an IPv6 gateway of our own',
        { family: 6, dst: 'fd99::/64', hops: [{ gw: 'fd00:244:1::5', oif }] },
        'EINVAL',
        'Gateway can not be a local address',
      ],
    ];
    for (const [what, change, code, kernelMessage] of cases) {
      const { refusals } = await socket.change([addRouteRequest({ ...base, ...change })], () => `add ${what}`);
      const found = refusals.map(({ index, error }) => [index, error.code, error.kernelMessage, error.operation]);
      t.strictSame(found, [[0, code, kernelMessage, `add ${what}`]], what);
    }
    t.equal(pod.routes(), before);
  });

  t.test('is not sent a slice that no socket takes: EMSGSIZE, and nothing is changed', async (t) => {
    const pod = scratchPod(t);
    const socket = socketIn(t, pod);
    const list = routes(findLink(socket, 'eth0')?.index ?? 0, 4);
    const many = [...list, ...list, ...list, ...list].map(addRouteRequest);
    const { refusals } = await socket.change(many, describe, { sliceBytes: 1e9 });
    t.equal(refusals.filter(({ error }) => error.code === 'EMSGSIZE').length, many.length);
    t.strictSame(pod.ipJson('route show proto 87'), []);
  });
});
