import t from 'tap';
import * as z from 'zod/mini';
import { DEFAULT_PROTOCOL, routePolicyKeys } from '../../../lib/plugin/route-policy.ts';

const keys = z.object(routePolicyKeys);

t.test('routes have protocol 87, fail on a conflict, and follow edits, unless the config says otherwise', async (t) => {
  t.strictSame(z.parse(keys, {}), { onConflict: 'fail', protocol: 87, reconcile: 'update' });
  t.equal(DEFAULT_PROTOCOL, 87);
});

t.test('what may be said', async (t) => {
  const isValid = (config: object) => z.safeParse(keys, config).success;
  for (const protocol of [5, 87, 255]) t.ok(isValid({ protocol }), `${protocol}`);
  for (const protocol of [-1, 0, 4, 256, 5.5, '87']) t.notOk(isValid({ protocol }), `${protocol}`);
  for (const onConflict of ['fail', 'replace', 'keep']) t.ok(isValid({ onConflict }), onConflict);
  for (const reconcile of ['update', 'heal', 'off']) t.ok(isValid({ reconcile }), reconcile);
  t.notOk(isValid({ onConflict: '' }));
  t.notOk(isValid({ reconcile: '' }));
});
