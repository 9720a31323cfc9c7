// What a node's services are configured with.

/** The image that sandboxes are kept up by; stands in for the one that some manifests name, too. */
export const PAUSE_IMAGE = 'registry.k8s.io/pause:3.10';

/** containerd's configuration. The paths are the node's. */
export const CONTAINERD_CONFIG = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing"
]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${PAUSE_IMAGE}"
# Root may lack CAP_SYS_RESOURCE here, without which no score can be lowered.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
`;

/**
 * The kubelet's configuration: https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 * Without `cpuLimits` containers may use as much of the processor as there is, whatever their limits say.
 */
export function kubeletConfig({ cpuLimits }: { cpuLimits: boolean }): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: '/etc/kubernetes/ca.crt' },
    },
    authorization: { mode: 'Webhook' },
    // No systemd, and the containers' own limits are enough.
    cgroupDriver: 'cgroupfs',
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    localStorageCapacityIsolation: false,
    oomScoreAdj: 0,
    cpuCFSQuota: cpuLimits,
    // What is killed again and again comes back at once.
    featureGates: {
      KubeletCrashLoopBackOffMax: true,
      // Without groups of pods there is nothing to resize, and the kubelet crashes when it believes that it must.
      InPlacePodVerticalScaling: false,
    },
    crashLoopBackOff: { maxContainerRestartPeriod: '1s' },
    resolvConf: '/etc/resolv.conf',
    // There is no DNS. Without an address every pod would have events about it.
    clusterDNS: ['10.96.0.10'],
    // The disk and memory are the machine's: what others fill is no reason to evict.
    evictionHard: {
      'memory.available': '0%',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
      'imagefs.inodesFree': '0%',
    },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    maxPods: 200,
    // A log stays whole.
    containerLogMaxSize: '1Gi',
    // All events are wanted, also those of fifty pods at once.
    eventRecordQPS: 0,
    nodeStatusUpdateFrequency: '5s',
  };
}

/** The network list of the node's pods. */
export function networkList(subnet: string): object {
  return {
    cniVersion: '1.0.0',
    name: 'cluster',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        hairpinMode: true,
        ipam: { type: 'host-local', ranges: [[{ subnet }]], routes: [{ dst: '0.0.0.0/0' }] },
      },
    ],
  };
}
