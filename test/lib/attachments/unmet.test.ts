import t from 'tap';
import type { NetworkRequest } from '../../../lib/attachments/selection.ts';
import { missingCapabilities, unmetRequests } from '../../../lib/attachments/unmet.ts';
import type { NetworkList } from '../../../lib/runtime/network.ts';

const listWith = (...capabilities: unknown[]) =>
  ({ plugins: capabilities.map((each) => ({ type: 'a', capabilities: each })) }) as unknown as NetworkList;

const ALL = {
  portMappings: [{ hostPort: 80 }],
  bandwidth: { ingressRate: 1 },
  deviceID: 'a',
  infinibandGuid: 'b',
} as unknown as NetworkRequest;

t.test('a capability that is asked for is missing unless a plugin has it', async (t) => {
  t.strictSame(missingCapabilities(ALL, listWith()), ['portMappings', 'bandwidth', 'deviceID', 'infinibandGUID']);
  t.strictSame(
    missingCapabilities(ALL, listWith(undefined, { bandwidth: true, deviceID: false }, { infinibandGUID: true })),
    ['portMappings', 'deviceID'],
  );
  t.strictSame(missingCapabilities({ ips: ['10.0.0.5'], mac: '02:00:00:00:00:01' }, listWith()), [], 'by CNI_ARGS too');
});

const RESULT = {
  cniVersion: '1.0.0',
  interfaces: [
    { name: 'br0', mac: '02:00:00:00:00:99' },
    { name: 'net1', mac: '02:00:00:00:00:01', sandbox: '/n' },
  ],
  ips: [{ address: '10.0.0.5/24' }, { address: 'fd00:0::5/64' }],
};

t.test('addresses and hardware addresses that the pod did not get are named', async (t) => {
  const unmet = (request: NetworkRequest, result = RESULT) => unmetRequests(request, result);
  t.strictSame(unmet({ ips: ['10.0.0.5/16', 'FD00::5'], mac: '02-00-00-00-00-01' }), []);
  t.strictSame(unmet({}), []);
  t.strictSame(unmet({ ips: ['10.0.0.6'] }), ['address 10.0.0.6 is asked for, and the pod got 10.0.0.5, fd00::5']);
  t.strictSame(unmet({ ips: ['10.0.0.6'] }, { ...RESULT, ips: [] }), [
    'address 10.0.0.6 is asked for, and the pod got none',
  ]);
  t.strictSame(unmet({ mac: '02:00:00:00:00:99' }), [
    'hardware address 02:00:00:00:00:99 is asked for, and the pod got 02:00:00:00:00:01',
  ]);
  t.strictSame(unmet({ mac: '02:00:00:00:00:99' }, { ...RESULT, interfaces: [] }), [], 'where none is told');
});
