import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { NetlinkError } from '../../../lib/netlink/errors.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, type Env, success, variables } from '../../support/plugins/call.ts';

// What DEL removes, what it leaves alone, and what it cannot do anything about.

const ROUTES = [{ dst: '10.1.0.0/16', gw: '10.244.1.1' }];
const ENOBUFS = 105;

type Keys = { readonly [key: string]: unknown };

function worldOf(t: Test, keys: Keys = {}, pods: Scratch[] = [scratchPod(t)]) {
  const dataDir = join(scratchFolder(t), 'data');
  const folder = join(dataDir, 'static-route');
  const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, routes: ROUTES, ...keys };
  const [pod] = pods;
  if (pod === undefined) throw new Error('there is no pod');
  return {
    pod,
    folder,
    journal: join(folder, 'container-1-eth0.json'),
    ask: (verb: string, env: Env = {}, more: Keys = {}) =>
      call(staticRoute, variables(verb, pod.path, env), { ...config, ...more }),
  };
}

t.test(
  'a default route with a source address that is gone by then does not keep the pod',
  { skip: noNamespaces },
  async (t) => {
    const { pod, ask, folder } = worldOf(t, { routes: [], flushgateway: true });
    pod.ip('address add 10.244.1.77/24 dev eth0');
    pod.ip('route add default via 10.244.1.1 src 10.244.1.77');
    success(await ask('ADD'));
    t.strictSame(pod.ipJson('route show default'), []);
    pod.ip('address del 10.244.1.77/24 dev eth0');
    const answer = await ask('DEL');
    t.equal(answer.code, 0);
    t.match(answer.stderr, /"level":"warn".*cannot be given back: .*0\.0\.0\.0\/0.*EINVAL/);
    t.strictSame(readdirSync(folder), [], 'nothing is left to be tried for ever');
    success(await ask('DEL'));
  },
);

t.test('a journal of another namespace', { skip: noNamespaces }, async (t) => {
  const [a, b] = [scratchPod(t), scratchPod(t)];
  const { ask, folder } = worldOf(t, {}, [a]);
  success(await ask('ADD'));
  success(await ask('ADD', { CNI_CONTAINERID: 'container-2', CNI_NETNS: b.path }));
  const routesOfB = b.routes();
  t.test('is forgotten, and undoes nothing in the one that was given by mistake', async (t) => {
    success(await ask('DEL', { CNI_NETNS: b.path }));
    t.equal(b.routes(), routesOfB, 'the routes of the other container stay');
    t.strictSame(readdirSync(folder), ['container-2-eth0.json']);
    success(await ask('CHECK', { CNI_CONTAINERID: 'container-2', CNI_NETNS: b.path }));
  });

  t.test('without any, what another container has recorded in this namespace stays too', async (t) => {
    success(await ask('DEL', { CNI_CONTAINERID: 'container-3', CNI_NETNS: b.path }));
    t.equal(b.routes(), routesOfB);
    success(await ask('DEL', { CNI_CONTAINERID: 'container-2', CNI_NETNS: b.path }));
    t.strictSame(b.ipJson('route show proto 87'), []);
  });
});

t.test('IPv6 routes with several next hops', { skip: noNamespaces }, async (t) => {
  const hops = ['fd00:244:1::1', 'fd00:244:1::2', 'fd00:244:1::3'];
  const routes = [{ dst: '2001:db8:7::/48', nexthops: hops.map((gw) => ({ gw })) }];
  for (const [what, lost] of [
    ['that lost one', hops.slice(0, 1)],
    ['that lost all but one', hops.slice(1)],
    ['that lost all', hops],
  ] as const) {
    t.test(`${what} go whole, and the next ADD finds nothing in its way`, async (t) => {
      const { pod, ask } = worldOf(t, { routes });
      const before = pod.routes();
      success(await ask('ADD'));
      for (const gw of lost) pod.ip(`route del 2001:db8:7::/48 via ${gw} dev eth0`);
      success(await ask('DEL'));
      t.equal(pod.routes(), before);
      success(await ask('ADD'));
      success(await ask('DEL'));
      t.equal(pod.routes(), before);
    });
  }

  t.test('leave the hop that somebody else appended', async (t) => {
    const { pod, ask } = worldOf(t, { routes });
    success(await ask('ADD'));
    pod.ip(`route del 2001:db8:7::/48 via ${hops[0]} dev eth0`);
    pod.ip('route append 2001:db8:7::/48 via fd00:244:1::9 dev eth0 proto 87');
    success(await ask('DEL'));
    t.match(pod.ipJson('-6 route show 2001:db8:7::/48'), [{ gateway: 'fd00:244:1::9' }]);
  });
});

t.test(
  'an IPv4 route without a metric that is gone does not take one with a metric in its place',
  { skip: noNamespaces },
  async (t) => {
    const { pod, ask } = worldOf(t);
    success(await ask('ADD'));
    pod.ip('route del 10.1.0.0/16 proto 87');
    pod.ip('route add 10.1.0.0/16 via 10.244.1.1 metric 100 proto 87');
    success(await ask('DEL'));
    t.match(pod.ipJson('route show 10.1.0.0/16'), [{ metric: 100 }]);
  },
);

t.test('a journal of a newer build', { skip: noNamespaces }, async (t) => {
  const { pod, ask, journal } = worldOf(t);
  const before = pod.routes();
  success(await ask('ADD'));
  const later = '{"network":"net","change":{"op":"add-rule","rule":{"from":"10.244.1.5/32"}}}';
  writeFileSync(journal, readFileSync(journal, 'utf8').replace('\n]}', `,\n${later}\n]}`));

  t.test('keeps the change that this one does not know through a repeated ADD and a failed one', async (t) => {
    success(await ask('ADD'));
    t.match((await ask('ADD', {}, { routes: [...ROUTES, { dst: '10.9.0.0/16', gw: '10.99.0.1' }] })).document, {
      code: 104,
    });
    t.ok(readFileSync(journal, 'utf8').includes(later));
  });

  t.test('is undone as far as it is known, kept, and reported, however often DEL is called', async (t) => {
    for (const time of ['first', 'second']) {
      const answer = await ask('DEL');
      t.equal(answer.code, 0, time);
      t.match(answer.stderr, /"level":"warn".*changes of a newer version, which stay/);
      t.equal(pod.routes(), before);
      t.match(JSON.parse(readFileSync(journal, 'utf8')).entries, [JSON.parse(later)]);
    }
  });

  t.test('is not forgotten by GC either', async (t) => {
    success(await ask('GC', {}, { 'cni.dev/valid-attachments': [] }));
    t.ok(readFileSync(journal, 'utf8').includes(later));
  });
});

t.test('the log of a DEL', { skip: noNamespaces }, async (t) => {
  t.test('has no warning after an ADD that failed, nor when it is repeated', async (t) => {
    const { ask } = worldOf(t, { routes: [{ dst: '10.9.0.0/16', gw: '10.99.0.1' }] });
    t.match((await ask('ADD')).document, { code: 104 });
    for (const time of ['first', 'second']) t.equal((await ask('DEL')).stderr, '', time);
  });

  t.test('has none after an ADD whose config was refused', async (t) => {
    const { ask } = worldOf(t, { routes: 'nonsense' });
    t.match((await ask('ADD')).document, { code: 7 });
    t.equal((await ask('DEL')).stderr, '');
  });

  t.test('warns of a journal that is damaged', async (t) => {
    const { ask, journal } = worldOf(t);
    success(await ask('ADD'));
    writeFileSync(journal, readFileSync(journal, 'utf8').slice(0, -4));
    t.match((await ask('DEL')).stderr, /"level":"warn".*the journal is damaged/);
  });
});

// The kernel makes the changes, and its answer is lost, as when a receive buffer overflows.
function loseAnswers(t: Test): { count: number } {
  const { open } = RouteSocket;
  const lost = { count: 0 };
  RouteSocket.open = (...given) => {
    const socket = open(...given);
    const { change } = socket;
    socket.change = async (...asked) => {
      await change.apply(socket, asked);
      if (lost.count++ === 0) throw new NetlinkError('receive', ENOBUFS);
      return { sent: asked[0].length, refusals: [] };
    };
    return socket;
  };
  t.teardown(() => {
    RouteSocket.open = open;
  });
  return lost;
}

t.test('an answer of the kernel that is lost', { skip: noNamespaces }, async (t) => {
  t.test('fails ADD, which removes what it may have made', async (t) => {
    const { pod, ask, journal } = worldOf(t);
    const before = pod.routes();
    const lost = loseAnswers(t);
    t.match((await ask('ADD')).document, { code: 104, msg: /ENOBUFS/ });
    t.equal(lost.count, 2, 'one for the changes, one to undo them');
    t.equal(pod.routes(), before);
    t.notOk(existsSync(journal));
  });

  t.test('fails DEL with 104, and the journal stays until one succeeds', async (t) => {
    const { pod, ask, journal } = worldOf(t);
    const before = pod.routes();
    success(await ask('ADD'));
    loseAnswers(t);
    t.match((await ask('DEL')).document, { code: 104, msg: /ENOBUFS/ });
    t.ok(existsSync(journal));
    success(await ask('DEL'));
    t.notOk(existsSync(journal));
    t.equal(pod.routes(), before);
  });
});
