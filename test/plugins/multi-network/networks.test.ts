import t from 'tap';
import { isMeta, networksOfDelegates } from '../../../plugins/multi-network/networks.ts';

const OWN = { cniVersion: '1.0.0', name: 'waymark' };
const networks = (...delegates: { [key: string]: unknown }[]) =>
  networksOfDelegates(delegates, OWN).map(({ name, list }) => ({
    name,
    version: list.cniVersion,
    plugins: list.plugins.map(({ type, config }) => ({
      type,
      marks: Object.keys(config ?? {}).filter((key) => /master/i.test(key)),
    })),
  }));

t.test(
  'the first delegate is the pod’s own network, or the one that is marked; the mark is not passed on',
  async (t) => {
    const [a, b, c] = ['a', 'b', 'c'].map((type) => ({ type, name: type }));
    const names = (...delegates: ({ [key: string]: unknown } | undefined)[]) =>
      networks(...delegates.filter((each) => each !== undefined)).map(({ name }) => name);
    t.strictSame(names(a, b, c), ['a', 'b', 'c']);
    t.strictSame(names(a, { ...b, masterPlugin: true }, c), ['b', 'a', 'c']);
    t.strictSame(names(a, b, { ...c, masterplugin: true }), ['c', 'a', 'b']);
    const [marked] = networksOfDelegates([{ ...a, masterPlugin: true, masterplugin: true }], OWN);
    t.notMatch(marked?.list.source, /master/i);
  },
);

t.test('what has no name or version has the config’s; a list keeps its own', async (t) => {
  t.match(networks({ type: 'a' }), [{ name: 'waymark', version: '1.0.0', plugins: [{ type: 'a' }] }]);
  t.match(networks({ type: 'a', name: '' }), [{ name: 'waymark' }]);
  t.match(networks({ type: 'a', name: 'own', cniVersion: '0.4.0' }), [{ name: 'own', version: '0.4.0' }]);
  const list = { name: 'list', cniVersion: '0.3.1', plugins: [{ type: 'a' }, { type: 'b' }] };
  t.match(networks(list), [{ name: 'list', version: '0.3.1', plugins: [{ type: 'a' }, { type: 'b' }] }]);
  t.match(networks({ cniVersions: ['0.3.1', '0.4.0'], plugins: [{ type: 'a' }] }), [
    { name: 'waymark', version: '0.4.0' },
  ]);
});

t.test('a delegate that is wrong is named by its place', async (t) => {
  t.throws(() => networks({ type: 'a', name: 'a' }, { type: 'b', name: '-' }), /delegates\[1\]/);
});

t.test('a plugin that runs the cluster’s network itself is known by its type, alone or in a list', async (t) => {
  for (const type of ['multi-network', 'multus', 'multus-shim', 'kactus']) {
    t.ok(isMeta({ type }), type);
    t.ok(isMeta({ plugins: [{ type: 'bridge' }, { type }] }), `a list with ${type}`);
  }
  for (const config of [{ type: 'bridge' }, {}, { plugins: [{ type: 'bridge' }, null] }, { plugins: [] }])
    t.notOk(isMeta(config), JSON.stringify(config));
});
