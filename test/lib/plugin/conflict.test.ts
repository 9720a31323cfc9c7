import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { definePlugin } from '../../../lib/plugin/define.ts';
import { consistentIfname } from '../../../plugins/consistent-ifname/main.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, variables } from '../../support/plugins/call.ts';

// What is in the way before ADD looks, and what comes in the way after it, as docs/errors.md explains 103.

const page = readFileSync(join(import.meta.dirname, '../../../docs/errors.md'), 'utf8');

const literally = (text: string) => text.replace(/[.?[\]]/g, '\\$&');

/** The messages in the table of the section on 103, as patterns: the page has `…` in the place of a route. */
const [isThere, cameLater] = [...page.matchAll(/^\| `(routes\[0\]: [^`]+)` \|/gm)].map(
  ([, text = '']) => new RegExp(`^${text.split('…').map(literally).join('.+')}$`),
);

const OTHER = '10.1.0.0/16 via 10.244.1.9 dev eth0';
const routes = [
  { dst: '10.2.0.0/16', gw: '10.244.1.1' },
  { dst: '10.1.0.0/16', gw: '10.244.1.1' },
];

function configIn(t: Test, keys: object): object {
  return { cniVersion: '1.1.0', name: 'net', type: 'any', dataDir: join(scratchFolder(t), 'data'), ...keys };
}

/** Somebody else's work, done between the moment when ADD looks and the one when it writes. */
function racing(pod: Scratch, command: string) {
  return { verify: async () => void pod.ip(command) };
}

t.test('a different route that exists already is 103, and nothing is changed', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  pod.ip(`route add ${OTHER}`);
  const before = pod.routes();
  const { document } = await call(
    staticRoute,
    variables('ADD', pod.path),
    configIn(t, { routes: routes.toReversed() }),
  );
  t.match(document, { code: 103, msg: isThere });
  t.equal(pod.routes(), before);
});

t.test(
  'a different route that is added while ADD runs is 103, and ADD is undone',
  { skip: noNamespaces },
  async (t) => {
    const pod = scratchPod(t);
    const raced = definePlugin({ ...staticRoute.definition, ...racing(pod, `route add ${OTHER}`) });
    const config = configIn(t, { routes: routes.toReversed() });
    const { document } = await call(raced, variables('ADD', pod.path), config);
    t.match(document, { code: 103, msg: cameLater });
    t.strictSame(pod.ipJson('route show proto 87'), []);
    t.match(pod.ipJson('route show 10.1.0.0/16'), [{ gateway: '10.244.1.9' }], 'the other route stays');
  },
);

t.test('a route that is the last to be raced takes those before it away again', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const raced = definePlugin({ ...staticRoute.definition, ...racing(pod, `route add ${OTHER}`) });
  const { document } = await call(raced, variables('ADD', pod.path), configIn(t, { routes }));
  t.match(document, { code: 103, msg: /^routes\[1\]: / });
  t.strictSame(pod.ipJson('route show proto 87'), []);
});

t.test('a name that is taken while ADD runs is 105, and the link keeps its name', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const raced = definePlugin({
    ...consistentIfname.definition,
    ...racing(pod, 'link property add dev lo altname taken'),
  });
  const { document } = await call(raced, variables('ADD', pod.path), configIn(t, { ifname: 'taken' }));
  t.match(document, { code: 105, msg: /EEXIST/ });
  t.match(pod.ipJson('link show eth0'), [{ ifname: 'eth0' }]);
});
