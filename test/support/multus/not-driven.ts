// Multus' tests that are not among SCENARIOS, by `file: title`, and why. Every one of test/golden/multus-tests.json must be
// either here or there.

export const NOT_DRIVEN: readonly (readonly [what: RegExp, why: string])[] = [
  [/^pkg\/logging\//, 'Multus’ own log'],
  [/: checks if log(File|Options)/, 'Multus’ own log'],
  [/^pkg\/cmdutils\//, 'copies files when Multus is installed'],
  [/^pkg\/server\//, 'Multus’ daemon, and the config that it writes for itself'],
  [
    /: executes clusterNetwork delegate with a shared informer/,
    'the agent’s watches: test/agent/cached-cluster.test.ts',
  ],
  [/^pkg\/(checkpoint|kubeletclient)\//, 'devices of device plugins: the kubelet’s side'],
  [
    /: (assigns (deviceID|pciBusID)|LoadDelegateNetConfFromConfList re-syncs)/,
    'devices of device plugins: test/plugins/multi-network/devices.test.ts',
  ],
  [
    /^pkg\/draclient\/|k8sclient_test\.go: should /,
    'devices of dynamic resource allocation, which Waymark does not support',
  ],
  [
    /^pkg\/netutils\/|GatewayRequest|can set the default-gateway/,
    '"default-route": test/plugins/multi-network/default-route.test.ts',
  ],
  [/: populates CNINetworkConfigList|populates CNINetworkConfigList for fast path/, 'a cache of Multus’ own'],
  [/: (can|cannot) ?loadnetworkstatus/, 'functions of Multus without an effect of their own'],
  [
    /: (Returns proper error message|uses cached delegates when|prevResult with no errors)/,
    'functions of Multus without an effect of their own',
  ],
  [
    /: (has defaults|honors overrides) for network readiness|: has defaults set for/,
    'reads a key; test/plugins/multi-network waits for the file',
  ],
  [
    /[Ss]et(s)? (pod )?network (status|annotations)|Skips network status/,
    'the status annotation: test/chain/beside-multus.test.ts',
  ],
  [
    /^e2e\/test-(simple|static)/,
    'on a cluster: test/cluster/multi-network.test.ts, and static pods in test/controller',
  ],
  [/^e2e\/test-default-route1/, '"default-route": test/plugins/multi-network/default-route.test.ts'],
  [/^e2e\/test-dra/, 'devices of dynamic resource allocation, which Waymark does not support'],
  [/^e2e\/test-(connection-limit|node-density)/, 'load on Multus’ daemon; test/cluster starts forty pods at once'],
  [/^e2e\/test-subdirectory/, 'CNI’s loading of plugins from folders, which the container runtime does'],
];
