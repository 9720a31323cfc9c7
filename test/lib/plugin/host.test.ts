import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { definePlugin } from '../../../lib/plugin/define.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';

const descriptors = () => readdirSync('/proc/self/fd').length;

t.test('a verb that looked at the node leaves nothing of it open', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  let looks = 0;
  const curious = definePlugin({
    ...staticRoute.definition,
    plan: (asked) => {
      asked.host();
      looks += 1;
      return staticRoute.definition.plan(asked);
    },
  });
  const dataDir = join(scratchFolder(t), 'data');
  const config = { cniVersion: '1.1.0', name: 'net', type: 'any', dataDir, routes: [{ dst: '10.1.0.0/16' }] };
  const ask = async (verb: string) => success(await call(curious, variables(verb, pod.path), config));
  await ask('ADD');
  const before = descriptors();
  // The second DEL has no journal, so it looks for what ADD would have made.
  for (const verb of ['ADD', 'CHECK', 'DEL', 'DEL']) {
    await ask(verb);
    t.equal(descriptors(), before, verb);
  }
  t.ok(looks >= 4, `it looked ${looks} times`);
});
