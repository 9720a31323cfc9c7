import t, { type Test } from 'tap';
import { noNamespaces } from '../../support/namespaces/namespace.ts';
import { success } from '../../support/plugins/call.ts';
import {
  BOTH,
  FOUR,
  ROUTE_4,
  ROUTE_6,
  SIX,
  USUAL,
  USUAL_6,
  type World,
  world,
} from '../../support/plugins/gateway-world.ts';
import { until } from '../../support/until.ts';

t.test('verifyGateway', { skip: noNamespaces }, async (t) => {
  const families = [
    { family: 4, node: USUAL, gateway: '10.131.0.1/23', ...FOUR, route: ROUTE_4 },
    { family: 6, node: USUAL_6, gateway: 'fd00:131::1/64', ...SIX, route: ROUTE_6 },
  ];
  for (const { family, node, gateway, pod, via: gw, route } of families) {
    const neighbours = (scene: World) => scene.pod.ipJson(`neighbour show ${gw} nud all`);
    const verify = (scene: World, timeoutSeconds = 300) => scene.ask('ADD', { verifyGateway: { timeoutSeconds } });
    const unanswered = async (t: Test, scene: World) => {
      const before = scene.pod.routes();
      const { document } = await verify(scene, 1);
      t.match(document, { code: 107, msg: `gateway ${gw} did not answer within 1 s` });
      t.equal(scene.pod.routes(), before, 'no route');
      t.strictSame(scene.journals(), [], 'no journal');
      t.strictSame(neighbours(scene), [], 'no neighbour entry');
    };

    t.test(`IPv${family}: a gateway that answers`, async (t) => {
      const scene = world(t, [...node, `address add ${gateway} dev pod0`], [pod]);
      success(await verify(scene));
      t.strictSame(scene.ours(), [route]);
      t.match(neighbours(scene), [{ state: ['REACHABLE'] }]);
      success(await verify(scene));
    });

    t.test(`IPv${family}: a gateway that answers, and whose entry in the kernel is old`, async (t) => {
      const scene = world(t, [...node, `address add ${gateway} dev pod0`], [pod]);
      const mac = scene.node.ipJson('link show pod0')[0]?.address;
      scene.pod.ip(`neighbour add ${gw} lladdr ${mac} dev eth0 nud stale`);
      success(await verify(scene));
      t.match(neighbours(scene), [{ state: ['REACHABLE'] }]);
    });

    t.test(`IPv${family}: a gateway that does not answer is refused with 107`, async (t) => {
      await unanswered(t, world(t, node, [pod]));
    });

    t.test(`IPv${family}: a gateway that does not answer any more is refused with 107`, async (t) => {
      const scene = world(t, node, [pod]);
      scene.pod.ip(`neighbour add ${gw} lladdr 02:00:00:00:00:01 dev eth0 nud stale`);
      await unanswered(t, scene);
    });

    t.test(`IPv${family}: a gateway that answers late is waited for`, async (t) => {
      const scene = world(t, node, [pod]);
      const waiting = verify(scene);
      await until(() => neighbours(scene).some(({ state }) => /INCOMPLETE|FAILED/.test(String(state))));
      scene.node.ip(`address add ${gateway} dev pod0`);
      success(await waiting);
      t.strictSame(scene.ours(), [route]);
    });
  }

  t.test('of two gateways, one that does not answer is enough to refuse', async (t) => {
    const scene = world(t, [...USUAL, ...USUAL_6, 'address add 10.131.0.1/23 dev pod0'], BOTH);
    // Enough for the other one to answer on a busy machine.
    const { document } = await scene.ask('ADD', { verifyGateway: { timeoutSeconds: 5 } });
    t.match(document, { code: 107, msg: /^gateway fd00:131::1 / });
    t.strictSame(scene.ours(), []);
    t.strictSame(scene.journals(), []);
  });

  t.test('it is not asked where nothing is to be added', async (t) => {
    const scene = world(t, USUAL);
    const keys = { hostAddresses: [SIX.host], families: ['ipv4'], verifyGateway: { timeoutSeconds: 1 } };
    success(await scene.ask('ADD', keys));
    t.strictSame(scene.pod.ipJson('neighbour show'), []);
  });
});
