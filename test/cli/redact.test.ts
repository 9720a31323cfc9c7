import t from 'tap';
import { podNamesRemover, redactedList, withoutSecrets } from '../../cli/redact.ts';

const redacted = (document: unknown) => JSON.parse(redactedList(JSON.stringify(document)));

t.test('of plugins that are not ours only the type is left, of ours all but secrets', async (t) => {
  const ours = { type: 'static-route', routes: [{ dst: '10.0.0.0/8' }], apiKey: 'x' };
  const theirs = { type: 'bridge', bridge: 'br0', anything: 'x' };
  t.strictSame(redacted({ cniVersion: '1.0.0', name: 'net', password: 'x', plugins: [ours, theirs, 'odd', null] }), {
    cniVersion: '1.0.0',
    name: 'net',
    password: '(removed)',
    plugins: [{ ...ours, apiKey: '(removed)' }, { type: 'bridge' }, '(removed)', '(removed)'],
  });
  t.strictSame(redacted({ name: 'net', ...ours }), { name: 'net', ...ours, apiKey: '(removed)' });
  t.strictSame(redacted({ name: 'net', ...theirs }), { name: 'net', type: 'bridge' });
  t.strictSame(redacted({ name: 'net', type: 7 }), { name: 'net', type: 7 });
  for (const document of [[], 'x', null, 7]) t.strictSame(redacted(document), '(removed)');
  t.equal(redactedList('{"token'), '(removed): not JSON, 7 characters\n');
});

t.test('keys that may name a secret are, at any depth and in any case', async (t) => {
  for (const key of [
    'token',
    'PASSWORD',
    'passwd',
    'clientSecret',
    'credentials',
    'authInfo',
    'privateKey',
    'kubeconfig',
    'api_key',
    'apikey',
  ])
    t.strictSame(withoutSecrets([{ a: { [key]: { b: 1 } } }]), [{ a: { [key]: '(removed)' } }], key);
  const harmless = { name: 'x', list: [1, null, { key: 'kept' }], flag: false };
  t.strictSame(withoutSecrets(harmless), harmless);
});

t.test('a pod has the same word everywhere, and a longer name is not cut by a shorter one', async (t) => {
  const status = '{"pod":"shop/till", "x":1, "pod" : "shop/till-0"}';
  const log = 'K8S_POD_NAMESPACE=bank;K8S_POD_NAME=atm;K8S_POD_UID=u and "pod":"shop/till"';
  const remove = podNamesRemover([status, log]);
  t.equal(remove(status), '{"pod":"pod-1", "x":1, "pod" : "pod-2"}');
  t.equal(remove('till-0, till and atm of bank/atm'), 'pod-2, pod-1 and pod-3 of pod-3');
  t.equal(podNamesRemover([])('nobody'), 'nobody');
});
