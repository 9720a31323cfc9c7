import t from 'tap';
import { podKey, podOf } from '../../../lib/attachments/pod.ts';

const METADATA = { name: 'web', namespace: 'shop', uid: 'u', resourceVersion: '7' };

t.test('reads what decides about its networks', async (t) => {
  const annotations = {
    'k8s.v1.cni.cncf.io/networks': 'blue',
    networks: '[]',
    'v1.multus-cni.io/default-network': 'green',
    'k8s.v1.cni.cncf.io/network-status': '[]',
    'kubernetes.io/config.mirror': 'of the kubelet',
  };
  const pod = podOf({
    metadata: { ...METADATA, annotations },
    spec: { hostNetwork: true },
    status: { phase: 'Running', podIP: '10.0.0.5' },
  });
  t.strictSame(pod, {
    ...{ namespace: 'shop', name: 'web', uid: 'u', sandboxUid: 'of the kubelet', resourceVersion: '7' },
    ...{ isRunning: true, isOnHostNetwork: true, address: '10.0.0.5' },
    ...{ networks: 'blue', kactusNetworks: '[]', defaultNetwork: 'green', status: '[]' },
  });
  t.equal(podKey(pod), 'shop/web');
});

t.test('what is not there is undefined, and no mirror has the UID of the API', async (t) => {
  const { namespace: _, ...metadata } = METADATA;
  t.strictSame(podOf({ metadata }), {
    ...{ namespace: 'default', name: 'web', uid: 'u', sandboxUid: 'u', resourceVersion: '7' },
    ...{ isRunning: false, isOnHostNetwork: false, address: undefined },
    ...{ networks: undefined, kactusNetworks: undefined, defaultNetwork: undefined, status: undefined },
  });
});

t.test('it runs in phase Running, until its deletion is asked for', async (t) => {
  const isRunning = (phase: string, more = {}) =>
    podOf({ metadata: { ...METADATA, ...more }, status: { phase } }).isRunning;
  t.strictSame(
    ['Pending', 'Running', 'Succeeded', 'Failed'].map((phase) => isRunning(phase)),
    [false, true, false, false],
  );
  t.notOk(isRunning('Running', { deletionTimestamp: '2026-11-30T08:00:00Z' }));
});

t.test('only true means the host’s network, and only a text is an address', async (t) => {
  const pod = podOf({ metadata: METADATA, spec: { hostNetwork: 'true' }, status: { podIP: 7 } });
  t.strictSame([pod.isOnHostNetwork, pod.address], [false, undefined]);
});
