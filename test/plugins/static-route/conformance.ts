import type { Conformance } from '../../support/plugins/conformance.ts';

const routes = [
  { dst: '10.9.0.0/16', gw: '10.244.1.1' },
  { dst: 'fd00:9::/48', gw: 'fd00:244:1::1' },
];

export const conformance: Conformance = { config: {}, idle: { routes: [] }, adds: { config: { routes }, routes } };
