import type { Conformance } from '../../support/plugins/conformance.ts';

// In a chain, behind the plugins that make the pod's own network.
export const conformance: Conformance = { config: {}, idle: {} };
