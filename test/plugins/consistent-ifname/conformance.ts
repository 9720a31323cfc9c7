import type { Conformance } from '../../support/plugins/conformance.ts';

export const conformance: Conformance = { config: {}, idle: { ifname: 'eth0' } };
