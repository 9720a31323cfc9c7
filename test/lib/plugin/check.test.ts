import { join } from 'node:path';
import t from 'tap';
import { definePlugin } from '../../../lib/plugin/define.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';

t.test('CHECK tells everything that is not as it should be, at once', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const routes = ['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16'].map((dst) => ({ dst, gw: '10.244.1.1' }));
  const config = { cniVersion: '1.1.0', name: 'net', type: 'any', dataDir: join(scratchFolder(t), 'data'), routes };
  const ask = (verb: string, keys: object = {}, plugin = staticRoute) =>
    call(plugin, variables(verb, pod.path), { ...config, ...keys });
  success(await ask('ADD'));
  t.match(await ask('CHECK'), { code: 0, stdout: '' });

  pod.ip('route del 10.1.0.0/16');
  const missing = 'routes[0]: route 10.1.0.0/16 via 10.244.1.1 dev eth0 is missing';
  t.match((await ask('CHECK')).document, { code: 106, msg: `the pod is not as it should be: ${missing}` });
  pod.ip('route replace 10.2.0.0/16 via 10.244.1.9');
  const { document } = await ask('CHECK');
  t.match(document, { code: 106, details: missing });
  const [wanted, found] = ['10.244.1.1', '10.244.1.9'].map((gw) => `10.2.0.0/16 via ${gw} dev eth0`);
  t.match(document, { details: `routes[1]: expected ${wanted}, found ${found}` });
  t.notMatch(document, { details: '10.3.0.0/16' });
  t.match(await ask('CHECK', { skipcheck: true }), { code: 0, stdout: '' });

  // As a plugin does whose routes come from a file: one that is not in it any more must not be there.
  const { definition } = staticRoute;
  const followed = definePlugin({
    ...definition,
    plan: (input) => ({ ...definition.plan(input), completeFor: 'routes[2]' }),
  });
  const rest = { routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }] };
  const [stale, never] = ['10.3.0.0/16', '10.9.0.0/16'].map((dst) => `route ${dst} via 10.244.1.1 dev eth0`);
  const said = (await ask('CHECK', rest, followed)).document;
  t.match(said, { code: 106, details: `routes[2]: not wanted any more: add ${stale}` });
  t.match(said, { details: `routes[0]: ${never} is missing` });
  t.notMatch((await ask('CHECK', {}, followed)).document, { details: 'not wanted any more' });
  pod.ip('route del 10.3.0.0/16');
  t.notMatch((await ask('CHECK', rest, followed)).document, { details: 'not wanted any more' });
});
