import { GrpcClient } from '../cri/grpc.ts';
import { type Fields, messagesIn, parseFields, textIn } from '../cri/protobuf.ts';

/** The field numbers of k8s.io/kubelet/pkg/apis/podresources/v1/api.proto that are used; a test compares them. */
export const FIELDS = {
  ListPodResourcesResponse: { pod_resources: 1 },
  PodResources: { name: 1, namespace: 2, containers: 3 },
  ContainerResources: { devices: 2 },
  ContainerDevices: { resource_name: 1, device_ids: 2 },
} as const;

/** The kubelet's pod-resources API: which devices of device plugins are whose. */
export class PodResources {
  readonly #client: GrpcClient;

  /** `socket` is the path of the kubelet's socket, as we reach it. */
  constructor(socket: string, timeoutMs?: number) {
    this.#client = new GrpcClient(socket, timeoutMs);
  }

  close(): void {
    this.#client.close();
  }

  /** The ids of the devices of a resource, as `vendor/vf`, that a pod's containers were given, sorted. Throws GrpcError. */
  async devicesOf(pod: { readonly namespace: string; readonly name: string }, resource: string): Promise<string[]> {
    const answer = await this.#client.call('/v1.PodResourcesLister/List', Buffer.alloc(0));
    const ids = messagesIn(parseFields(answer), FIELDS.ListPodResourcesResponse.pod_resources)
      .filter((item) => {
        const { name, namespace } = FIELDS.PodResources;
        return textIn(item, name) === pod.name && textIn(item, namespace) === pod.namespace;
      })
      .flatMap((item) => messagesIn(item, FIELDS.PodResources.containers))
      .flatMap((container) => messagesIn(container, FIELDS.ContainerResources.devices))
      .filter((devices) => textIn(devices, FIELDS.ContainerDevices.resource_name) === resource)
      .flatMap(idsOf);
    return [...new Set(ids)].sort();
  }
}

function idsOf(devices: Fields): string[] {
  return (devices.get(FIELDS.ContainerDevices.device_ids) ?? []).map(String);
}
