import { join } from 'node:path';
import t from 'tap';
import { noNamespaces, scratchFolder } from '../../support/namespaces/namespace.ts';
import { success } from '../../support/plugins/call.ts';
import {
  address,
  DEFAULT_4,
  FOUR,
  ROUTE_4,
  SIX,
  USUAL,
  USUAL_6,
  via,
  world,
} from '../../support/plugins/gateway-world.ts';

t.test('the seed’s own case', { skip: noNamespaces }, async (t) => {
  const { ask, ours, pod, journals } = world(t, USUAL);
  const before = pod.routes();

  t.test('gives the route that its README shows, and no other', async (t) => {
    success(await ask('ADD'));
    t.strictSame(ours(), [ROUTE_4]);
    t.equal(pod.ip('route show 10.0.32.2'), `${ROUTE_4}proto 87 \n`, 'marked as ours');
    t.equal(pod.ipJson('route show').length, 2, 'beside the one of the subnet');
  });

  t.test('ADD again succeeds and changes nothing', async (t) => {
    const routes = pod.routes();
    success(await ask('ADD'));
    t.equal(pod.routes(), routes);
  });

  t.test('CHECK succeeds, and names the route once it is missing', async (t) => {
    success(await ask('CHECK'));
    pod.ip('route del 10.0.32.2');
    const { document } = await ask('CHECK');
    t.match(document, { code: 106, msg: /host address 10\.0\.32\.2: route .* is missing/ });
    success(await ask('ADD'));
  });

  t.test('DEL takes the route away, and succeeds again', async (t) => {
    success(await ask('DEL'));
    t.equal(pod.routes(), before);
    t.strictSame(journals(), []);
    success(await ask('DEL'));
    t.equal(pod.routes(), before);
  });

  t.test('unchained, as its 10-seamless.conf has it: name and type only, 0.2.0', async (t) => {
    const { document } = await ask('ADD', { cniVersion: '0.2.0', name: 'seamless-static-route-example' });
    t.strictSame(document, {
      cniVersion: '0.2.0',
      ip4: { ip: FOUR.pod, routes: [{ dst: '10.0.32.2/32', gw: '10.131.0.1' }] },
    });
    t.strictSame(ours(), [ROUTE_4]);
  });
});

t.test('the previous result is passed on with the routes added', { skip: noNamespaces }, async (t) => {
  const { ask, pod } = world(t, [...USUAL, ...USUAL_6], [FOUR.pod, SIX.pod]);
  const prevResult = {
    cniVersion: '1.1.0',
    interfaces: [{ name: 'pod0' }, { name: 'eth0', mac: '02:00:00:00:00:01', sandbox: pod.path }],
    ips: [{ address: FOUR.pod, gateway: '10.131.0.1', interface: 1 }],
    routes: [{ dst: '0.0.0.0/0' }],
    dns: { nameservers: ['10.1.0.1'] },
    'example.org/key': 1,
  };
  t.strictSame(success(await ask('ADD', { prevResult })), {
    ...prevResult,
    routes: [
      { dst: '0.0.0.0/0' },
      { dst: '10.0.32.2/32', gw: '10.131.0.1' },
      { dst: 'fd00:32::2/128', gw: 'fd00:131::1' },
    ],
  });
});

t.test('CHECK fails with 106 once the host’s address is another', { skip: noNamespaces }, async (t) => {
  const { ask, node, pod, ours } = world(t, USUAL);
  const before = pod.routes();
  success(await ask('ADD'));
  node.ip('address del 10.0.32.2/24 dev uplink0');
  node.ip(address('10.0.32.3/24'));
  node.ip(DEFAULT_4);
  const { document } = await ask('CHECK');
  t.match(document, { code: 106, msg: /host address 10\.0\.32\.3: route 10\.0\.32\.3\/32 via 10\.131\.0\.1/ });

  success(await ask('ADD'));
  t.strictSame(ours(), [ROUTE_4, via('10.0.32.3')], 'another ADD adds the route to it');
  success(await ask('DEL'));
  t.equal(pod.routes(), before, 'and DEL takes both away');
});

t.test('without a journal, DEL removes what ADD would have added', { skip: noNamespaces }, async (t) => {
  const { ask, pod } = world(t, USUAL);
  const before = pod.routes();
  success(await ask('ADD'));
  success(await ask('DEL', { dataDir: join(scratchFolder(t), 'other') }));
  t.equal(pod.routes(), before);
});

t.test('another route to the host’s address', { skip: noNamespaces }, async (t) => {
  const obstacle = '10.0.32.2 via 10.131.0.9 dev eth0';
  const scene = world(t, USUAL);
  scene.pod.ip(`route add ${obstacle}`);
  const before = scene.pod.routes();
  const { document } = await scene.ask('ADD');
  t.match(document, { code: 103, msg: `host address 10.0.32.2: 10.0.32.2/32 via 10.131.0.1 dev eth0 is wanted, but` });
  t.equal(scene.pod.routes(), before);

  const kept = success(await scene.ask('ADD', { onConflict: 'keep' }));
  t.equal(scene.pod.routes(), before, 'stays with "keep"');
  t.equal(kept.routes, undefined, 'and ours is not in the result');

  success(await scene.ask('ADD', { onConflict: 'replace' }));
  t.strictSame(scene.ours(), [ROUTE_4], 'goes with "replace"');
  success(await scene.ask('DEL'));
  t.equal(scene.pod.routes(), before, 'and DEL gives it back');
});
