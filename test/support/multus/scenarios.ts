// Multus' own unit tests, as they can be asked of an executable: what the entry's config and the cluster are, what the plugins
// answer, and which plugins are called with what. The titles are Multus'; `in` names the files of its tests that have one of
// that title. See test/golden/multus-tests.json for all of them.

type Json = { readonly [key: string]: unknown };

/** One call of the entry. */
export type Called = {
  readonly verb: string;
  /** `VERB interface plugin`, in their order. */
  readonly calls?: readonly string[];
  readonly fails?: RegExp;
  readonly code?: number;
  /** Not JSON. */
  readonly stdin?: string;
  readonly netns?: string;
  /** Done before it. */
  readonly first?: 'the pod is removed' | 'the record is removed';
};

export type Scenario = {
  readonly title: string;
  readonly in: readonly string[];
  /** Where we do something else: what, and why. */
  readonly differs?: string;
  /** Over `{ cniVersion, name, type, delegates: [weave1] }`. */
  readonly config?: Json;
  readonly pod?: { readonly annotations?: { readonly [name: string]: string }; readonly uid?: string };
  /** The pod does not exist, or nobody is asked. */
  readonly isAlone?: boolean;
  readonly isMissing?: boolean;
  readonly args?: string;
  readonly definitions?: { readonly [network: string]: string };
  /** Files of `confDir`. */
  readonly files?: { readonly [name: string]: string };
  /** What a plugin answers to a verb, in the place of an address of its own. */
  readonly answers?: { readonly [call: string]: Json };
  readonly run: readonly Called[];
  /** By plugin: what its last config had, and its last CNI_ARGS. */
  readonly configs?: { readonly [plugin: string]: Json };
  readonly cniArgs?: { readonly [plugin: string]: RegExp };
};

const FILES = { 20: '020', 40: '040', 100: '100' } as const;
const inVersions = (...versions: (keyof typeof FILES)[]) =>
  versions.map((version) => `pkg/multus/multus_cni${FILES[version]}_test.go`);
const CLIENT = ['pkg/k8sclient/k8sclient_test.go'];
const TYPES = ['pkg/types/conf_test.go'];

const networks = (text: string) => ({ annotations: { 'k8s.v1.cni.cncf.io/networks': text } });
const override = (text: string) => ({ annotations: { 'v1.multus-cni.io/default-network': text } });
const plugin = (name: string, type: string, more: Json = {}) => ({ name, type, ...more });
const text = (name: string, type: string, more: Json = {}) => JSON.stringify(plugin(name, type, more));
const NETS = {
  'test/net1': text('net1', 'mynet'),
  'test/net2': text('net2', 'mynet2'),
  'test/net3': text('net3', 'mynet3'),
};
const CRDS = { 'kube-system/crd1': '{"type": "mynet"}', 'kube-system/crd2': '{"type": "mynet2"}' };
const ports = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] };

const WEAVE = plugin('weave1', 'weave-net');
const TWO = { delegates: [WEAVE, plugin('other1', 'other-plugin')] };
const LISTS = {
  delegates: [
    { name: 'weave1', plugins: [{ type: 'weave-net' }] },
    { name: 'other1', plugins: [{ type: 'other-plugin' }] },
  ],
};
const ADD_TWO = { verb: 'ADD', calls: ['ADD eth0 weave-net', 'ADD net1 other-plugin'] };
const DEL_TWO = { verb: 'DEL', calls: ['DEL net1 other-plugin', 'DEL eth0 weave-net'] };
const CHECK_TWO = { verb: 'CHECK', calls: ['CHECK eth0 weave-net', 'CHECK net1 other-plugin'] };
const ADD_NET1 = { verb: 'ADD', calls: ['ADD eth0 weave-net', 'ADD net1 mynet'] };
const DEL_NET1 = { verb: 'DEL', calls: ['DEL net1 mynet', 'DEL eth0 weave-net'] };
const adds = (...calls: string[]) => [{ verb: 'ADD', calls: calls.map((call) => `ADD ${call}`) }];
const refuses = (fails: RegExp) => [{ verb: 'ADD', calls: [], fails }];

const OPERATIONS: readonly Scenario[] = [
  { title: 'executes delegates', in: inVersions(20, 40), config: TWO, isAlone: true, run: [ADD_TWO, DEL_TWO] },
  {
    title: 'executes delegates (plugin without interface)',
    in: inVersions(20, 40, 100),
    config: TWO,
    isAlone: true,
    answers: { 'ADD other-plugin': {} },
    run: [ADD_TWO, DEL_TWO],
  },
  {
    title: 'executes delegates given faulty namespace',
    in: inVersions(20, 40, 100),
    config: TWO,
    isAlone: true,
    run: [{ verb: 'ADD', netns: '/run/fsdadfad', calls: [], fails: /fsdadfad/ }],
  },
  {
    title: 'fails to load NetConf with bad json in CmdAdd/Del',
    in: inVersions(20, 40, 100),
    isAlone: true,
    run: ['ADD', 'DEL'].map((verb) => ({ verb, stdin: '{"name": "n",', calls: [], fails: /not valid JSON/, code: 6 })),
  },
  {
    title: 'executes delegates and cleans up on failure',
    in: inVersions(20, 40, 100),
    config: TWO,
    isAlone: true,
    answers: { 'ADD other-plugin': { code: 100, msg: 'expected plugin failure' } },
    run: [
      {
        verb: 'ADD',
        calls: [...ADD_TWO.calls, ...DEL_TWO.calls],
        fails: /network other1: .*expected plugin failure/,
      },
    ],
  },
  {
    title: 'executes delegates and cleans up on failure with missing name field',
    in: inVersions(20, 40, 100),
    differs: 'a delegate without a name has that of the entry’s config, as with kactus',
    config: { delegates: [WEAVE, plugin('', 'other-plugin')] },
    isAlone: true,
    run: [ADD_TWO, DEL_TWO],
    configs: { 'other-plugin': { name: 'node-cni-network' } },
  },
  {
    title: 'executes delegates with CNI Check',
    in: inVersions(40, 100),
    config: TWO,
    isAlone: true,
    run: [ADD_TWO, CHECK_TWO, DEL_TWO],
  },
  {
    title: 'returns the previous result using CmdCheck',
    in: inVersions(40, 100),
    config: LISTS,
    isAlone: true,
    run: [ADD_TWO, CHECK_TWO, DEL_TWO],
    configs: { 'other-plugin': { prevResult: { ips: [{ address: '1.1.1.2/24' }] } } },
  },
  {
    title: 'executes delegates with runtimeConfigs',
    in: inVersions(40, 100),
    pod: networks(
      JSON.stringify([
        { name: 'net1', mac: 'c2:11:22:33:44:66', ips: ['1.1.1.2'], bandwidth: { ingressRate: 2048 }, ...ports },
      ]),
    ),
    definitions: {
      'test/net1': text('net1', 'mynet', {
        capabilities: { mac: true, ips: true, bandwidth: true, portMappings: true },
      }),
    },
    run: [ADD_NET1],
    configs: {
      mynet: {
        runtimeConfig: {
          ips: ['1.1.1.2'],
          mac: 'c2:11:22:33:44:66',
          bandwidth: { ingressRate: 2048 },
          ...ports,
        },
      },
    },
  },
  {
    title: 'executes delegates and kubernetes networks',
    in: inVersions(40, 100),
    pod: networks('net1,net2'),
    definitions: NETS,
    run: adds('eth0 weave-net', 'net1 mynet', 'net2 mynet2'),
  },
  {
    title: 'executes delegates and kubernetes networks with events check',
    in: inVersions(20),
    pod: networks('net1,net2'),
    definitions: NETS,
    run: adds('eth0 weave-net', 'net1 mynet', 'net2 mynet2'),
  },
  {
    title: 'executes kubernetes networks and delete it after pod removal',
    in: inVersions(20, 40, 100),
    pod: networks('net1'),
    definitions: NETS,
    run: [ADD_NET1, { ...DEL_NET1, first: 'the pod is removed' }],
  },
  ...['ensure delegates get portmap runtime config', 'executes confListDel without error'].map((title) => ({
    title,
    in: title.startsWith('ensure') ? inVersions(40, 100) : inVersions(40),
    config: {
      delegates: [{ name: 'l', plugins: [{ type: 'weave-net', capabilities: { portMappings: true } }] }],
      runtimeConfig: ports,
    },
    isAlone: true,
    run: [...adds('eth0 weave-net'), { verb: 'DEL', calls: ['DEL eth0 weave-net'] }],
    configs: { 'weave-net': { runtimeConfig: ports } },
  })),
  {
    title: 'executes clusterNetwork delegate',
    in: inVersions(20, 40, 100),
    config: { delegates: undefined, clusterNetwork: 'crd1' },
    definitions: CRDS,
    run: [...adds('eth0 mynet'), { verb: 'DEL', calls: ['DEL eth0 mynet'] }],
  },
  {
    title: 'Verify the cache is created in dataDir',
    in: inVersions(20, 40, 100),
    pod: networks('net1'),
    definitions: NETS,
    run: [ADD_NET1, DEL_NET1],
  },
  {
    title: 'Delete pod without cache',
    in: inVersions(20, 40, 100),
    pod: networks('net1'),
    definitions: NETS,
    run: [ADD_NET1, { ...DEL_NET1, first: 'the record is removed' }],
  },
  {
    title: 'fails to save NetConf with bad filepath',
    in: inVersions(20),
    config: { ...TWO, cniDir: '/proc/version/none' },
    isAlone: true,
    run: refuses(/\/proc\/version/),
  },
  {
    title: 'fails when pod UID is provided and does not match Kube API pod UID',
    in: inVersions(40),
    args: 'K8S_POD_UID=another',
    run: refuses(/has UID testUID, and the runtime starts the one with another/),
  },
  ...[
    'executes delegates when runtime provides a matching pod UID',
    'executes delegate with pod UID when runtime provides a pod UID',
  ].map((title) => ({
    title,
    in: inVersions(40),
    args: 'K8S_POD_UID=testUID',
    run: adds('eth0 weave-net'),
    cniArgs: { 'weave-net': /K8S_POD_NAMESPACE=test;K8S_POD_NAME=testpod;.*K8S_POD_UID=testUID/ },
  })),
  {
    title: 'executes delegate with an empty pod UID when runtime does not provide a pod UID',
    in: inVersions(40),
    differs: 'plugins are told the UID that the API server has',
    run: adds('eth0 weave-net'),
    cniArgs: { 'weave-net': /K8S_POD_UID=testUID/ },
  },
  {
    title: 'returns empty add result using top-level cniVersion when pod is not found',
    in: inVersions(100),
    differs: 'the pod is refused, and tried again',
    isMissing: true,
    run: refuses(/pod test\/testpod does not exist/),
  },
  ...['propagates delegate STATUS errors', 'propagates CmdStatus errors for single plugin delegates'].map((title) => ({
    title,
    in: inVersions(100),
    config: { cniVersion: '1.1.0' },
    isAlone: true,
    answers: { 'STATUS weave-net': { code: 50, msg: 'status failed' } },
    run: [{ verb: 'STATUS', calls: ['STATUS  weave-net'], fails: /status failed/, code: 50 }],
  })),
  ...['executes delegates with CNI GC', 'executes single plugin delegates with CNI GC'].map((title) => ({
    title,
    in: inVersions(100),
    differs: 'every network gets GC, not only the pod’s own; valid are attachments of that network only',
    config: { ...TWO, cniVersion: '1.1.0', 'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }] },
    isAlone: true,
    run: [ADD_TWO, { verb: 'GC', calls: ['GC  weave-net', 'GC  other-plugin'] }],
    configs: { 'other-plugin': { 'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'net1' }] } },
  })),
];

const ANNOTATIONS: readonly Scenario[] = [
  {
    title: 'retrieves delegates from kubernetes using simple format annotation',
    in: CLIENT,
    pod: networks('net1,net2'),
    definitions: NETS,
    run: adds('eth0 weave-net', 'net1 mynet', 'net2 mynet2'),
  },
  {
    title: 'fails when the network does not exist',
    in: CLIENT,
    pod: networks('net1,net2'),
    definitions: { 'test/net3': NETS['test/net3'] },
    run: refuses(/cannot find a network-attachment-definition \(net1\) in namespace \(test\)/),
  },
  {
    title: 'retrieves delegates from kubernetes using JSON format annotation',
    in: CLIENT,
    pod: networks(
      '[{"name":"net1"},{"name":"net2","ipRequest":"1.2.3.4","macRequest":"aa:bb:cc:dd:ee:ff"},{"name":"net3","namespace":"other"}]',
    ),
    definitions: { ...NETS, 'other/net3': text('net3', 'mynet3') },
    run: adds('eth0 weave-net', 'net1 mynet', 'net2 mynet2', 'net3 mynet3'),
  },
  {
    title: 'fails when the JSON format annotation is invalid',
    in: CLIENT,
    pod: networks('[adsfasdfasdfasf]'),
    run: refuses(/it is not JSON/),
  },
  {
    title: 'retrieves delegates from kubernetes using on-disk config files',
    in: CLIENT,
    pod: networks('net1,net2'),
    definitions: { 'test/net1': '', 'test/net2': '' },
    files: { '10-net1.conf': NETS['test/net1'], '20-net2.conf': NETS['test/net2'] },
    run: adds('eth0 weave-net', 'net1 mynet', 'net2 mynet2'),
  },
  {
    title: 'injects network name into minimal thick plugin CNI config',
    in: CLIENT,
    pod: networks('net1'),
    definitions: { 'test/net1': '{"type": "mynet"}' },
    run: [ADD_NET1],
    configs: { mynet: { name: 'net1' } },
  },
  {
    title: 'fails when on-disk config file is not valid',
    in: CLIENT,
    pod: networks('net1,net2'),
    definitions: { 'test/net1': '', 'test/net2': '' },
    files: { '10-net1.conf': NETS['test/net1'], '20-net2.conf': 'asdfasdfasfdasfd' },
    run: refuses(/20-net2\.conf/),
  },
  {
    title: 'retrieves cluster network from CRD',
    in: CLIENT,
    config: { delegates: undefined, clusterNetwork: 'crd1' },
    definitions: CRDS,
    run: adds('eth0 mynet'),
    configs: { mynet: { name: 'crd1' } },
  },
  {
    title: 'retrieves default networks from CRD',
    in: CLIENT,
    config: { delegates: undefined, clusterNetwork: 'crd1', defaultNetworks: ['crd2'] },
    definitions: CRDS,
    run: adds('eth0 mynet', 'net1 mynet2'),
  },
  {
    title: 'ignore default networks from CRD in case of kube-system namespace',
    in: CLIENT,
    config: {
      delegates: undefined,
      clusterNetwork: 'crd1',
      defaultNetworks: ['crd2'],
      systemNamespaces: ['kube-system', 'test'],
    },
    definitions: CRDS,
    run: adds('eth0 mynet'),
  },
  ...[
    'retrieves cluster network from file',
    'retrieves cluster network from directory path',
    'retrieves cluster network from cni config path',
  ].map((title) => ({
    title,
    in: CLIENT,
    config: {
      delegates: undefined,
      clusterNetwork: title.endsWith('file')
        ? 'myFile1'
        : title.endsWith('directory path')
          ? 'CONF'
          : 'CONF/10-net1.conf',
    },
    files: { '10-net1.conf': text('myFile1', 'mynet') },
    run: adds('eth0 mynet'),
    configs: { mynet: { name: 'myFile1' } },
  })),
  {
    title: 'Error in case of CRD not found',
    in: CLIENT,
    config: { delegates: undefined, clusterNetwork: 'crd1' },
    run: refuses(/crd1/),
  },
  {
    title: 'overwrite cluster network when Pod annotation is set',
    in: CLIENT,
    config: { delegates: undefined, clusterNetwork: 'crd1' },
    pod: override('crd2'),
    definitions: CRDS,
    run: adds('eth0 mynet2'),
    configs: { mynet2: { name: 'crd2' } },
  },
  ...['fails with bad confdir', 'fails when netConf contains bad confDir'].map((title) => ({
    title,
    in: CLIENT,
    config: { delegates: undefined, clusterNetwork: 'crd1', confDir: '/garbage' },
    definitions: { 'kube-system/crd1': '' },
    run: refuses(/\/garbage/),
  })),
  {
    title: 'overwrite multus config when Pod annotation is set',
    in: CLIENT,
    pod: override('crd1'),
    definitions: CRDS,
    run: adds('eth0 mynet'),
  },
  {
    title: 'fails with no kubeclient and invalid kubeconfig',
    in: CLIENT,
    config: { kubeconfig: '/garbage' },
    pod: override('net1'),
    run: refuses(/kubeconfig/),
  },
  {
    title: 'fails with no kubeclient and no kubeconfig',
    in: CLIENT,
    config: { kubeconfig: '' },
    pod: override('net1'),
    run: refuses(/nobody can be asked for the networks of pod test\/testpod/),
  },
  {
    title: 'Errors when namespace isolation is violated',
    in: CLIENT,
    config: { namespaceIsolation: true },
    pod: networks('kube-system/crd1'),
    definitions: CRDS,
    run: refuses(/a pod in test may not use definitions in kube-system/),
  },
  {
    title: 'Properly allows a specified namespace reference when namespace isolation is enabled',
    in: CLIENT,
    config: { namespaceIsolation: true, globalNamespaces: 'kube-system,donkey-kong' },
    pod: networks('kube-system/crd1'),
    definitions: CRDS,
    run: adds('eth0 weave-net', 'net1 mynet'),
  },
  {
    title: 'fails when provided with bad format',
    in: CLIENT,
    args: 'K8S_POD_UID:testUID',
    run: refuses(/CNI_ARGS has "K8S_POD_UID:testUID", which is not KEY=VALUE/),
  },
  {
    title: 'failed to get a ResourceClient instance',
    in: CLIENT,
    pod: networks('net1'),
    definitions: { 'test/net1': 'RESOURCE' },
    run: refuses(/the kubelet: .*kubelet\.sock/),
  },
  ...[
    ['can\'t have more than 2 items separated by "/"', 'root@someIP/root@someOtherIP/root@thirdIP'],
    ['can\'t have more than 2 items separated by "@"', 'root@someIP/root@someOtherIP@garbagevalue'],
    ['not matching comma-delimited format', 'root@someIP/root@someOtherIP'],
    ['invalid network interface name space in netdev name', 'test/net1@myIfc Name'],
    ['invalid network interface name too long', 'test/net1@very_long_interface_name'],
  ].map(([title = '', value = '']) => ({
    title,
    in: CLIENT,
    pod: networks(value),
    definitions: NETS,
    run: refuses(/annotation cannot be honored/),
  })),
  ...[
    ['network without namespace', 'net1', 'net1'],
    ['network with namespace', 'test/net1', 'net1'],
    ['network with interface name', 'net1@my_interface', 'my_interface'],
    ['network with interface name and namespace', 'test/net1@my_interface', 'my_interface'],
  ].map(([title = '', value = '', ifname = '']) => ({
    title,
    in: CLIENT,
    pod: networks(value),
    definitions: NETS,
    run: adds('eth0 weave-net', `${ifname} mynet`),
  })),
  {
    title: 'Sets network status without error when pod UIDs match',
    in: CLIENT,
    args: 'K8S_POD_UID=testUID',
    run: adds('eth0 weave-net'),
  },
];

const CONFIGS: readonly Scenario[] = [
  {
    title: 'parses a valid multus configuration',
    in: TYPES,
    config: { delegates: [{ type: 'weave-net', capabilities: { portMappings: true } }], runtimeConfig: ports },
    run: adds('eth0 weave-net'),
    configs: { 'weave-net': { runtimeConfig: ports } },
  },
  {
    title: 'fails to load invalid multus configuration (bad json)',
    in: TYPES,
    isAlone: true,
    run: [{ verb: 'ADD', stdin: '{"delegates": [{]', calls: [], fails: /not valid JSON/, code: 6 }],
  },
  {
    title: 'properly sets namespace isolation using the default namespace',
    in: TYPES,
    config: { namespaceIsolation: true },
    pod: networks('default/net1'),
    definitions: { 'default/net1': NETS['test/net1'] },
    run: [ADD_NET1],
  },
  {
    title: 'properly sets namespace isolation using custom namespaces',
    in: TYPES,
    config: { namespaceIsolation: true, globalNamespaces: ' foo,bar ,default' },
    pod: networks('bar/net1'),
    definitions: { 'bar/net1': NETS['test/net1'] },
    run: [ADD_NET1],
  },
  {
    title: 'succeeds if only delegates are set',
    in: TYPES,
    config: { delegates: [{ type: 'weave-net' }, { type: 'other-plugin' }], kubeconfig: undefined },
    isAlone: true,
    run: [ADD_TWO],
  },
  ...['fails if no kubeconfig or delegates are set', 'fails if kubeconfig is present but no delegates are set'].map(
    (title) => ({
      title,
      in: TYPES,
      config: { delegates: undefined, ...(title.includes('no kubeconfig') && { kubeconfig: undefined }) },
      isAlone: true,
      run: refuses(/./),
    }),
  ),
  {
    title: 'fails when delegate field exists but fields are named incorrectly',
    in: TYPES,
    config: { delegates: [{ thejellyfish: 'weave-net' }] },
    isAlone: true,
    run: refuses(/delegates\[0\]\.type: is missing/),
  },
  {
    title: 'check CheckSystemNamespaces() works fine',
    in: TYPES,
    config: {
      delegates: undefined,
      clusterNetwork: 'crd1',
      defaultNetworks: ['crd2'],
      systemNamespaces: ['foobar'],
    },
    definitions: CRDS,
    run: adds('eth0 mynet', 'net1 mynet2'),
  },
  ...[
    'add cni-args in config',
    'add cni-args in conflist',
    'add cni-args in config which has cni args already (merge case)',
  ].map((title) => ({
    title,
    in: TYPES,
    pod: networks('[{"name": "net1", "cni-args": {"args1": "val1"}}]'),
    definitions: {
      'test/net1': title.includes('conflist')
        ? JSON.stringify({ name: 'net1', plugins: [{ type: 'mynet' }] })
        : text('net1', 'mynet', title.includes('merge') ? { args: { cni: { args0: 'val0', args1: 'val' } } } : {}),
    },
    run: [ADD_NET1],
    configs: { mynet: { args: { cni: { args1: 'val1', ...(title.includes('merge') && { args0: 'val0' }) } } } },
  })),
  {
    title: 'creates a valid CNI runtime config',
    in: TYPES,
    args: 'K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=testUID',
    run: adds('eth0 weave-net'),
    cniArgs: {
      'weave-net':
        /IgnoreUnknown=true;K8S_POD_NAMESPACE=test;K8S_POD_NAME=testpod;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=testUID/,
    },
  },
  {
    title: 'creates a valid CNI runtime config with K8s args passed via CNI_ARGS environment variable',
    in: TYPES,
    args: 'K8S_POD_UID=testUID;TEST_NAME=extra',
    run: adds('eth0 weave-net'),
    cniArgs: { 'weave-net': /TEST_NAME=extra/ },
  },
  {
    title: 'verify the network selection elements goes into delegateconf',
    in: TYPES,
    pod: networks('[{"name": "net1", "interface": "if1", "mac": "02:00:00:00:00:01", "ips": ["1.1.1.2"]}]'),
    definitions: { 'test/net1': text('net1', 'mynet', { capabilities: { mac: true, ips: true } }) },
    run: adds('eth0 weave-net', 'if1 mynet'),
    configs: { mynet: { runtimeConfig: { mac: '02:00:00:00:00:01', ips: ['1.1.1.2'] } } },
    cniArgs: { mynet: /MAC=02:00:00:00:00:01;IP=1\.1\.1\.2/ },
  },
  ...['test mergeCNIRuntimeConfig with masterPlugin', 'test mergeCNIRuntimeConfig with delegate plugin'].map(
    (title) => ({
      title,
      in: TYPES,
      config: { delegates: [{ ...WEAVE, capabilities: { portMappings: true } }], runtimeConfig: ports },
      pod: networks('net1'),
      definitions: { 'test/net1': text('net1', 'mynet', { capabilities: { portMappings: true } }) },
      run: [ADD_NET1],
      configs: { 'weave-net': { runtimeConfig: ports }, mynet: { runtimeConfig: ports } },
    }),
  ),
  ...['test DelegateConf Name is delivered', 'test DelegateConfList Name is delivered'].map((title) => ({
    title,
    in: TYPES,
    pod: networks('net1'),
    definitions: {
      'test/net1': title.includes('List') ? JSON.stringify({ plugins: [{ type: 'mynet' }] }) : '{"type": "mynet"}',
    },
    run: [ADD_NET1],
    configs: { mynet: { name: 'net1' } },
  })),
  {
    title: 'LoadDelegateNetConfFromConfList keeps appended plugins in CNINetworkConfigList',
    in: TYPES,
    pod: networks('net1'),
    definitions: { 'test/net1': JSON.stringify({ name: 'net1', plugins: [{ type: 'mynet' }, { type: 'mynet2' }] }) },
    run: [
      ...adds('eth0 weave-net', 'net1 mynet', 'net1 mynet2'),
      { verb: 'DEL', calls: ['DEL net1 mynet2', 'DEL net1 mynet', 'DEL eth0 weave-net'] },
    ],
  },
  ...[
    'LoadDelegateNetConfFromConfList preserves CNI-specific fields in CNINetworkConfigList',
    'PrepareDelegateForCache preserves CNI-specific fields in Bytes for cached DEL',
  ].map((title) => ({
    title,
    in: TYPES,
    pod: networks('net1'),
    definitions: { 'test/net1': JSON.stringify({ name: 'net1', plugins: [{ type: 'mynet', own: { deep: [1] } }] }) },
    run: title.startsWith('Prepare') ? [ADD_NET1, DEL_NET1] : [ADD_NET1],
    configs: { mynet: { own: { deep: [1] } } },
  })),
  {
    title: 'InjectCNIVersionInConfList sets cniVersion without dropping fields',
    in: TYPES,
    config: { delegates: [{ name: 'l', plugins: [{ type: 'weave-net', own: 1 }] }] },
    isAlone: true,
    run: adds('eth0 weave-net'),
    configs: { 'weave-net': { own: 1, cniVersion: '1.0.0' } },
  },
];

export const SCENARIOS: readonly Scenario[] = [...OPERATIONS, ...ANNOTATIONS, ...CONFIGS];
