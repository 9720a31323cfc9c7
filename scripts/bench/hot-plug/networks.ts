import type { Cluster } from '../../cluster/cluster.ts';
import { definitionOf } from '../../cluster/objects.ts';

// As the peer's own suite has them, but on a bridge: macvlan of one parent does not let two nodes of one machine share it.

const ipam = { type: 'host-local', ranges: [[{ subnet: '10.77.0.0/16' }]] };
const PLAIN = { cniVersion: '0.4.0', name: 'plain', type: 'bridge', bridge: 'br-plain', ipam };

/** A bridge with an address that the selection brings, and a plugin after it. */
export const TENANT = {
  cniVersion: '0.4.0',
  name: 'tenant',
  plugins: [
    { type: 'bridge', bridge: 'br-tenant', capabilities: { ips: true }, ipam: { type: 'static' } },
    { type: 'tuning', capabilities: { mac: true } },
  ],
} as const;

/** Defines the networks that pods are attached to. */
export function define(cluster: Cluster): void {
  cluster.apply([PLAIN, TENANT].map((config) => definitionOf(config.name, config)));
}
