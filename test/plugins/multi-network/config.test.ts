import t from 'tap';
import { cniDirOf, isMaster, isolationOf, parseMultiNetworkConfig } from '../../../plugins/multi-network/config.ts';

const read = (keys: object = {}) => parseMultiNetworkConfig({ cniVersion: '1.0.0', name: 'net', ...keys }).config;

/** What is said of a config that is wrong, a line for each problem. */
function problems(keys: object): string {
  try {
    read(keys);
    return '';
  } catch (error) {
    const { message, details } = error as { message: string; details?: string };
    return details ?? message;
  }
}

t.test('what is not given is as with Multus', async (t) => {
  t.match(read(), {
    ...{ defaultNetworks: [], namespaceIsolation: false, globalNamespaces: ['default'] },
    ...{ systemNamespaces: ['kube-system'], multusNamespace: 'kube-system', interfaceNames: 'numbered' },
    ...{ binDir: '/opt/cni/bin', cniDir: '/var/lib/cni/multus', confDir: '/etc/cni/multus/net.d' },
  });
  for (const key of ['delegates', 'clusterNetwork', 'kubeconfig', 'readinessindicatorfile'] as const)
    t.equal(read()[key], undefined, key);
});

t.test('namespaces are a list, or a text with commas', async (t) => {
  t.strictSame(read({ globalNamespaces: ['a', 'b'] }).globalNamespaces, ['a', 'b']);
  t.strictSame(read({ globalNamespaces: ' a,b , ,' }).globalNamespaces, ['a', 'b']);
  t.equal(isolationOf(read({ globalNamespaces: 'a' })), undefined, 'all may be used');
  t.strictSame(isolationOf(read({ namespaceIsolation: true, globalNamespaces: 'a,b' })), new Set(['a', 'b']));
});

const WRONG: [keys: object, problem: string | RegExp][] = [
  [{ delegates: [{}] }, /delegates\[0\]\.type: is missing$/],
  [{ delegates: [{ type: 'bridge' }, { type: 7 }] }, /delegates\[1\]\.type: must be the name of a plugin$/],
  ...['', '.', '..', 'a/b', 'a\0b'].map((type): [object, RegExp] => [
    { delegates: [{ type }] },
    /delegates\[0\]\.type: must be the name of a plugin$/,
  ]),
  [{ delegates: [{ plugins: [] }] }, /delegates\[0\]\.plugins: must be a list of plugins$/],
  [{ delegates: [{ plugins: {} }] }, /delegates\[0\]\.plugins: must be a list of plugins$/],
  [{ delegates: [{ plugins: [{ type: 'a' }, null] }] }, /delegates\[0\]\.plugins\[1\]\.type: is missing$/],
  [
    {
      delegates: [
        { type: 'a', masterPlugin: true },
        { type: 'b', masterplugin: true },
        { type: 'c', masterPlugin: true },
      ],
    },
    'delegates[1].masterPlugin: only one delegate can be the one for eth0\n' +
      'delegates[2].masterPlugin: only one delegate can be the one for eth0',
  ],
  [{ kubeconfig: 'relative' }, /kubeconfig: must be an absolute path$/],
  [{ readinessindicatorfile: 'relative' }, /readinessindicatorfile: must be an absolute path$/],
  [{ binDir: 'relative' }, /binDir: must be an absolute path$/],
  [{ defaultNetworks: [''] }, /defaultNetworks\[0\]: must not be empty$/],
  [{ multusNamespace: '' }, /multusNamespace: must not be empty$/],
];

for (const [keys, problem] of WRONG) {
  t.test(`refuses ${JSON.stringify(keys)}`, async (t) => {
    if (typeof problem === 'string') t.equal(problems(keys), problem);
    else t.match(problems(keys), problem);
  });
}

t.test('takes what Multus takes', async (t) => {
  for (const keys of [
    { delegates: [{ type: 'bridge', anything: 1 }, { plugins: [{ type: 'a' }] }] },
    {
      delegates: [
        { type: 'a', masterPlugin: false },
        { type: 'b', masterPlugin: true },
      ],
    },
    { kubeconfig: '', readinessindicatorfile: '' },
    { kubeconfig: '/etc/kubeconfig', readinessindicatorfile: '/run/ready' },
  ])
    t.equal(problems(keys), '', JSON.stringify(keys));
});

t.test('all keys are the operator’s', async (t) => {
  for (const key of ['delegates', 'binDir', 'kubeconfig', 'interfaceNames'])
    t.match(problems({ args: { cni: { [key]: 'x' } } }), new RegExp(`args\\.cni\\.${key}: `));
});

t.test('the folder of records is read of a config that is wrong, too', async (t) => {
  t.equal(cniDirOf({ cniDir: '/x', binDir: 7 }), '/x');
  t.equal(cniDirOf({ cniDir: 'x' }), '/var/lib/cni/multus');
  t.equal(cniDirOf({}), '/var/lib/cni/multus');
});

t.test('the delegate for eth0 is marked by either spelling, and by true alone', async (t) => {
  const marks = [{ masterPlugin: true }, { masterplugin: true }, { masterPlugin: 'true' }, { masterPlugin: false }, {}];
  t.strictSame(marks.map(isMaster), [true, true, false, false, false]);
});
