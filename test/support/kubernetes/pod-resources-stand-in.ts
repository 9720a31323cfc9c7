import { join } from 'node:path';
import { loadPackageDefinition, Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

// A stand-in for the kubelet's pod-resources API: devices that a test makes up, served by the gRPC library of its authors
// with the published messages. The real kubelet is asked in test/cluster.

export const POD_RESOURCES_PROTO = join(import.meta.dirname, 'pod-resources.proto');

/** What a container was given, as the kubelet says it. */
export type Given = {
  readonly namespace: string;
  readonly pod: string;
  readonly resource: string;
  readonly devices: string[];
};

/** See the top of this file. */
export class PodResourcesStandIn {
  given: Given[] = [];
  calls = 0;
  readonly #server = new Server();

  async start(socket: string): Promise<void> {
    const loaded = loadPackageDefinition(loadSync(POD_RESOURCES_PROTO, { keepCase: true })) as unknown as {
      v1: { PodResourcesLister: { service: ServiceDefinition } };
    };
    this.#server.addService(loaded.v1.PodResourcesLister.service, {
      List: (_: unknown, answer: (error: null, value: object) => void) => {
        this.calls++;
        answer(null, { pod_resources: this.given.map(podOf) });
      },
    });
    const credentials = ServerCredentials.createInsecure();
    await new Promise<void>((resolve, reject) => {
      this.#server.bindAsync(`unix:${socket}`, credentials, (error) => (error ? reject(error) : resolve()));
    });
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

function podOf({ namespace, pod, resource, devices }: Given): object {
  const containers = [
    { name: 'side', cpu_ids: [1, 2], devices: [] },
    { name: 'main', cpu_ids: [3], devices: [{ resource_name: resource, device_ids: devices }] },
  ];
  return { name: pod, namespace, containers };
}
