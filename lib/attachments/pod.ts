import { isJsonObject, type JsonObject } from '../cni/json.ts';
import type { KubeObject } from '../kubernetes/object.ts';
import { NETWORKS_ANNOTATION } from './selection.ts';
import { STATUS_ANNOTATION } from './status.ts';

/** What is kept of a pod of this node: what decides about its networks. */
export type Pod = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The kubelet's own UID of it, by which the runtime knows the sandbox: another one for static pods. */
  readonly sandboxUid: string;
  readonly resourceVersion: string;
  /** Its containers run, or have run: it has a sandbox, and is not about to lose it. */
  readonly isRunning: boolean;
  readonly isOnHostNetwork: boolean;
  /** Its first address, once it has one. A sandbox that takes the place of another has an address of its own. */
  readonly address: string | undefined;
  /** The annotation with the selections; undefined: none. */
  readonly networks: string | undefined;
  /** kactus' annotation with selections; undefined: none. */
  readonly kactusNetworks: string | undefined;
  /** The annotation that puts another network in the place of the cluster's; undefined: none. */
  readonly defaultNetwork: string | undefined;
  /** The annotation with the status; undefined: none. */
  readonly status: string | undefined;
};

/** Multus' annotation with the network for a pod's `eth0`. */
export const DEFAULT_NETWORK_ANNOTATION = 'v1.multus-cni.io/default-network';

/** kactus' annotation with the networks that a pod wants; see kactus.ts. */
export const KACTUS_ANNOTATION = 'networks';

/** Put by the kubelet on a static pod's mirror in the API. */
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

/** `namespace/name`, by which a pod is known here. */
export function podKey({ namespace, name }: Pick<Pod, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`;
}

/** Reads a pod of the API. */
export function podOf({ metadata, spec, status }: KubeObject): Pod {
  const { namespace = 'default', name, uid, resourceVersion, annotations = {}, deletionTimestamp } = metadata;
  const { hostNetwork } = object(spec);
  const { phase, podIP } = object(status);
  return {
    namespace,
    name,
    uid,
    sandboxUid: annotations[MIRROR_ANNOTATION] ?? uid,
    resourceVersion,
    isRunning: phase === 'Running' && deletionTimestamp === undefined,
    isOnHostNetwork: hostNetwork === true,
    address: typeof podIP === 'string' ? podIP : undefined,
    networks: annotations[NETWORKS_ANNOTATION],
    kactusNetworks: annotations[KACTUS_ANNOTATION],
    defaultNetwork: annotations[DEFAULT_NETWORK_ANNOTATION],
    status: annotations[STATUS_ANNOTATION],
  };
}

function object(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}
