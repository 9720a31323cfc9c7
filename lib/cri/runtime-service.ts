import { GrpcError, NOT_FOUND } from './errors.ts';
import { GrpcClient } from './grpc.ts';
import { type Fields, field, mapIn, messagesIn, numberIn, parseFields, textIn } from './protobuf.ts';

/** A pod's sandbox on this node, as the container runtime lists it. */
export type Sandbox = {
  /** CNI_CONTAINERID. */
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  /** The kubelet's: of a static pod another one than its mirror in the API has. */
  readonly uid: string;
  /** Counts the sandboxes of this pod, from 0. */
  readonly attempt: number;
  readonly isReady: boolean;
};

/** The field numbers of k8s.io/cri-api/pkg/apis/runtime/v1/api.proto that are used; a test compares them. */
export const FIELDS = {
  ListPodSandboxRequest: { filter: 1 },
  PodSandboxFilter: { state: 2, label_selector: 3 },
  PodSandboxStateValue: { state: 1 },
  ListPodSandboxResponse: { items: 1 },
  PodSandbox: { id: 1, metadata: 2, state: 3 },
  PodSandboxMetadata: { name: 1, uid: 2, namespace: 3, attempt: 4 },
  PodSandboxStatusRequest: { pod_sandbox_id: 1, verbose: 2 },
  PodSandboxStatusResponse: { info: 2 },
} as const;

/** PodSandboxState. */
const SANDBOX_READY = 0;

/** The kubelet puts it on every sandbox. */
const UID_LABEL = 'io.kubernetes.pod.uid';

const SERVICE = '/runtime.v1.RuntimeService';

/** The calls of the Container Runtime Interface that say where a pod's network namespace is. Each throws GrpcError. */
export class RuntimeService {
  readonly #client: GrpcClient;

  /** `socket` is the path of containerd's or CRI-O's socket. */
  constructor(socket: string, timeoutMs?: number) {
    this.#client = new GrpcClient(socket, timeoutMs);
  }

  close(): void {
    this.#client.close();
  }

  /** The sandboxes of the node, or those of one pod by the kubelet's UID; also those that are stopped. */
  async sandboxes(uid?: string): Promise<Sandbox[]> {
    const answer = await this.#client.call(`${SERVICE}/ListPodSandbox`, listRequest(uid));
    const items = messagesIn(parseFields(answer), FIELDS.ListPodSandboxResponse.items);
    return items.map(sandboxOf).filter((sandbox) => uid === undefined || sandbox.uid === uid);
  }

  /**
   * The path of a sandbox's network namespace, as the node sees it; undefined if the sandbox does not exist any more, or
   * is in the node's own network. Throws GrpcError also where the runtime does not say.
   */
  async networkNamespace(id: string): Promise<string | undefined> {
    const { pod_sandbox_id, verbose } = FIELDS.PodSandboxStatusRequest;
    const request = Buffer.concat([field(pod_sandbox_id, id), field(verbose, true)]);
    let answer: Buffer;
    try {
      answer = await this.#client.call(`${SERVICE}/PodSandboxStatus`, request);
    } catch (error) {
      if (error instanceof GrpcError && error.code === NOT_FOUND) return undefined;
      throw error;
    }
    const info = mapIn(parseFields(answer), FIELDS.PodSandboxStatusResponse.info).get('info');
    return namespaceIn(id, info);
  }
}

function listRequest(uid: string | undefined): Buffer {
  if (uid === undefined) return Buffer.alloc(0);
  const label = Buffer.concat([field(1, UID_LABEL), field(2, uid)]);
  return field(FIELDS.ListPodSandboxRequest.filter, field(FIELDS.PodSandboxFilter.label_selector, label));
}

function sandboxOf(item: Fields): Sandbox {
  const { id, metadata, state } = FIELDS.PodSandbox;
  const [about = new Map()] = messagesIn(item, metadata);
  const of = FIELDS.PodSandboxMetadata;
  return {
    id: textIn(item, id),
    name: textIn(about, of.name),
    namespace: textIn(about, of.namespace),
    uid: textIn(about, of.uid),
    attempt: numberIn(about, of.attempt),
    isReady: numberIn(item, state) === SANDBOX_READY,
  };
}

type Info = {
  readonly runtimeSpec?: { readonly linux?: { readonly namespaces?: readonly { type?: string; path?: string }[] } };
};

// Not part of the interface, but containerd and CRI-O both give the container's OCI config in their verbose answer.
function namespaceIn(id: string, info: string | undefined): string | undefined {
  let namespaces: readonly { type?: string; path?: string }[] | undefined;
  try {
    namespaces = (JSON.parse(info ?? 'null') as Info | null)?.runtimeSpec?.linux?.namespaces;
  } catch (error) {
    throw new GrpcError(`the runtime's information on sandbox ${id} is not JSON`, undefined, error);
  }
  if (!Array.isArray(namespaces)) throw new GrpcError(`the runtime does not say the namespaces of sandbox ${id}`);
  return namespaces.find(({ type }) => type === 'network')?.path || undefined;
}
