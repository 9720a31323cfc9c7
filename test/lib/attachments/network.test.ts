import t from 'tap';
import { checkTypes, inputOf, networkOf, prepare, resourceOf } from '../../../lib/attachments/network.ts';
import { podOf } from '../../../lib/attachments/pod.ts';
import { parseSelections } from '../../../lib/attachments/selection.ts';

const definition = (config: unknown, annotations = {}) => ({
  metadata: { name: 'blue', namespace: 'shop', uid: 'u', resourceVersion: '1', annotations },
  spec: { config: typeof config === 'string' ? config : JSON.stringify(config) },
});
const pod = podOf({
  metadata: {
    name: 'web',
    namespace: 'shop',
    uid: 'api',
    resourceVersion: '1',
    annotations: { 'kubernetes.io/config.mirror': 'static' },
  },
  status: { phase: 'Running' },
});
const place = { containerID: 'c1', netns: '/run/netns/c1', ifname: 'net1' };

t.test('makes a list of a definition, with its name where the config has none', async (t) => {
  t.match(networkOf(definition({ cniVersion: '1.0.0', type: 'bridge' })), {
    name: 'blue',
    cniVersion: '1.0.0',
    plugins: [{ type: 'bridge' }],
  });
  t.match(networkOf(definition({ name: 'own', plugins: [{ type: 'bridge' }, { type: 'tuning' }] })), {
    name: 'own',
    plugins: [{}, {}],
  });
});

t.test('puts cni-args into every plugin, over what the definition has', async (t) => {
  const config = {
    cniVersion: '1.0.0',
    plugins: [{ type: 'a', args: { cni: { x: 1, y: 1 }, other: 1 } }, { type: 'b' }],
  };
  t.strictSame(
    networkOf(definition(config), { y: 2 }).plugins.map(({ args }) => args),
    [{ cni: { x: 1, y: 2 }, other: 1 }, { cni: { y: 2 } }],
  );
});

const WRONG: [config: unknown, reason: RegExp][] = [
  ['', /no "config"/],
  ['{', /is not JSON/],
  ['[1]', /not a network configuration/],
  [`{"type":"a","x":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, /not a network configuration/],
  [{ plugins: [] }, /no plugins/],
  [{ name: '../x', type: 'a' }, /"name"/],
  [{ plugins: [{}] }, /no "type"/],
];

t.test('says what is wrong with a definition', async (t) => {
  for (const [config, reason] of WRONG)
    t.throws(() => networkOf(definition(config)), { message: reason }, String(reason));
});

t.test('takes a config of 32 levels, and none of 33', async (t) => {
  const config = (levels: number) => `{"type":"a","x":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
  t.equal(networkOf(definition(config(32))).plugins.length, 1);
  t.throws(() => networkOf(definition(config(33))), /not a network configuration/);
});

t.test('makes a list of kactus’ Network: the plugin, with the keys of its config', async (t) => {
  const config = '{"cniVersion":"0.3.1","name":"blue-net","type":"vlan","vlanId":43}';
  const network = (spec: object) => ({ ...definition(''), apiVersion: 'kaloom.com/v1', kind: 'Network', spec });
  const plugins = [{ type: 'vlan', vlanId: 43 }];
  t.match(networkOf(network({ plugin: 'vlan', config })), { name: 'blue-net', cniVersion: '0.3.1', plugins });
  const bare = '{"cniVersion":"0.3.1","vlanId":43}';
  t.match(
    networkOf(network({ plugin: 'vlan', config: bare })),
    { name: 'blue', plugins },
    'as kactus’ examples may be',
  );
  t.throws(() => networkOf(network({ config: bare })), /no "type"/);
  t.throws(() => networkOf(network({ plugin: 'vlan' })), /no "config"/);
  t.throws(
    () => networkOf({ ...network({ plugin: 'vlan', config: bare }), apiVersion: 'k8s.cni.cncf.io/v1' }),
    /no "type"/,
  );
});

t.test('leaves an IPAM claim to the provider of the network: no plugin gets it, as with Multus', async (t) => {
  const text = '[{"name":"blue","ipam-claim-reference":"vm.blue"}]';
  const [selection] = parseSelections(text, 'shop').selections;
  if (selection === undefined) throw new Error('it is refused');
  const { input, list } = prepare(definition({ type: 'a' }), selection, pod, place, undefined, undefined);
  t.strictSame(input.capabilityArgs, {});
  t.notMatch(JSON.stringify([input, list]), /claim|vm\.blue/);
});

t.test('a device goes where Multus puts it: into every plugin, twice, and into the capability', async (t) => {
  const resource = { 'k8s.v1.cni.cncf.io/resourceName': 'vendor/vf' };
  t.equal(resourceOf(definition({}, resource)), 'vendor/vf');
  t.equal(resourceOf(definition({})), undefined);
  const [selection] = parseSelections('blue', 'shop').selections;
  if (selection === undefined) throw new Error('it is refused');
  const config = { plugins: [{ type: 'sriov' }, { type: 'tuning' }] };
  const given = prepare(definition(config, resource), selection, pod, place, undefined, undefined, '0000:03:02.4');
  t.match(given.list.plugins, [
    { type: 'sriov', deviceID: '0000:03:02.4', pciBusID: '0000:03:02.4' },
    { type: 'tuning', deviceID: '0000:03:02.4', pciBusID: '0000:03:02.4' },
  ]);
  t.match(JSON.parse(given.list.source), { plugins: [{ deviceID: '0000:03:02.4' }, {}] });
  t.strictSame(given.input.capabilityArgs, { deviceID: '0000:03:02.4' });
});

t.test('gives plugins what Multus gives them', async (t) => {
  const [selection] = parseSelections(
    '[{"name":"blue","ips":["10.1.1.7/24"],"mac":"02:00:00:00:00:01","bandwidth":{"ingressRate":1}}]',
    'shop',
  ).selections;
  const { args, capabilityArgs } = inputOf(selection?.request ?? {}, pod, place);
  t.strictSame(args, [
    ['IgnoreUnknown', 'true'],
    ['K8S_POD_NAMESPACE', 'shop'],
    ['K8S_POD_NAME', 'web'],
    ['K8S_POD_INFRA_CONTAINER_ID', 'c1'],
    ['K8S_POD_UID', 'static'],
    ['MAC', '02:00:00:00:00:01'],
    ['IP', '10.1.1.7/24'],
  ]);
  t.strictSame(capabilityArgs, { mac: '02:00:00:00:00:01', ips: ['10.1.1.7/24'], bandwidth: { ingressRate: 1 } });
  t.strictSame(
    inputOf({}, pod, place, '02:00:00:00:00:02').capabilityArgs,
    { mac: '02:00:00:00:00:02' },
    'the address before a swap',
  );
});

t.test('refuses what it cannot do, and plugins that are not allowed', async (t) => {
  const attempt = (selection: object, annotations = {}) => {
    const [read] = parseSelections(JSON.stringify([{ name: 'blue', ...selection }]), 'shop').selections;
    if (read === undefined) throw new Error('refused before');
    return prepare(definition({ type: 'a' }, annotations), read, pod, place, undefined, undefined);
  };
  const resource = { 'k8s.v1.cni.cncf.io/resourceName': 'vendor/vf' };
  t.throws(() => attempt({}, resource), /needs a device of vendor\/vf, and nobody allocates one/);
  t.strictSame(attempt({ deviceID: '0000:03:02.4' }, resource).input.capabilityArgs, { deviceID: '0000:03:02.4' });
  const list = networkOf(definition({ plugins: [{ type: 'bridge', ipam: { type: 'host-local' } }] }));
  checkTypes(list, undefined);
  checkTypes(list, new Set(['bridge', 'host-local']));
  t.throws(() => checkTypes(list, new Set(['bridge'])), /"host-local" is not among/);
  t.throws(() => checkTypes(list, new Set(['host-local'])), /"bridge" is not among/);
});
