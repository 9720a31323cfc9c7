import {
  ADD_NET1,
  ADD_TWO,
  adds,
  CRDS,
  DEL_NET1,
  NETS,
  networks,
  ports,
  refuses,
  type Scenario,
  TYPES,
  text,
  WEAVE,
} from './scenario.ts';

// Of pkg/types: configs, and what reaches a plugin.

export const CONFIGS: readonly Scenario[] = [
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
