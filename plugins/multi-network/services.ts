import type { Slots } from '../../lib/attachments/slots.ts';
import type { Call } from '../../lib/cni/runner.ts';
import type { Through } from '../../lib/runtime/limited.ts';
import type { Cluster } from './cluster.ts';
import type { MultiNetworkConfig } from './config.ts';

/** What the plugin finds around it: in a process of its own nothing, in the agent what the agent has. */
export type Services = {
  /** Who answers about pods and definitions; undefined where nobody can be asked. */
  cluster(config: MultiNetworkConfig, call: Call): Promise<Cluster | undefined>;
  /** How the node's programs are reached; else they are run as they are. */
  readonly through?: Through | undefined;
  /** Bounds how many plugins run at the same time. */
  readonly slots?: Slots | undefined;
  /** Where the kubelet says which devices it has given to pods, on the node; by default its own. */
  readonly podResourcesSocket?: string;
  /** Keeps a status that could not be written until it can be; without it, such a pod does not start. */
  readonly mayPublishLater?: boolean;
};

/** In a process of its own. The client is loaded when it is used: it cannot be in the executables' start-up snapshot. */
export const ALONE: Services = {
  cluster: async (config, call) => {
    const { directCluster } = await import('./cluster.ts');
    return directCluster(config, call);
  },
};
