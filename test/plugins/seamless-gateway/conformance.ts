import type { Conformance } from '../../support/plugins/conformance.ts';

// Always with host addresses: in the process of the tests, the host is the machine.
export const conformance: Conformance = {
  config: { hostAddresses: ['10.0.32.2'] },
  idle: { hostAddresses: ['10.0.32.2'], families: ['ipv6'] },
  adds: {
    config: { hostAddresses: ['10.0.32.2', 'fd00:32::2'] },
    routes: [
      { dst: '10.0.32.2/32', gw: '10.244.1.1' },
      { dst: 'fd00:32::2/128', gw: 'fd00:244:1::1' },
    ],
  },
};
