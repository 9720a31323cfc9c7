import { join } from 'node:path';
import { credentials, loadPackageDefinition, Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { ClusterNode } from '../../../scripts/cluster/node.ts';

// A device plugin: the real kubelet allocates its devices to pods, and tells by its pod-resources API whose they are.

type Answer = (error: Error | null, value?: object) => void;

type Api = {
  v1beta1: {
    DevicePlugin: { service: ServiceDefinition };
    Registration: new (
      address: string,
      by: unknown,
    ) => { Register(request: object, answer: Answer): void; close(): void };
  };
};

/** Registers devices of a resource, `vendor/name`, at a node's kubelet; what ends the plugin. */
export async function startDevicePlugin(
  node: ClusterNode,
  resource: string,
  ids: readonly string[],
): Promise<() => void> {
  const { v1beta1 } = loadPackageDefinition(
    loadSync(join(import.meta.dirname, 'device-plugin.proto'), { keepCase: true }),
  ) as unknown as Api;
  // By a short path: that of a socket has at most 107 characters.
  const folder = `/proc/${node.pid}/root/var/lib/kubelet/device-plugins`;
  const endpoint = 'waymark-test.sock';
  const server = new Server();
  server.addService(v1beta1.DevicePlugin.service, {
    GetDevicePluginOptions: (_: unknown, answer: Answer) => answer(null, {}),
    // The stream stays open: the kubelet takes its end for the plugin's.
    ListAndWatch: (stream: { write(value: object): void }) =>
      stream.write({ devices: ids.map((ID) => ({ ID, health: 'Healthy' })) }),
    Allocate: ({ request }: { request: { container_requests: unknown[] } }, answer: Answer) =>
      answer(null, { container_responses: request.container_requests.map(() => ({})) }),
  });
  await new Promise<void>((resolve, reject) => {
    const done = (error: Error | null) => (error ? reject(error) : resolve());
    server.bindAsync(`unix:${join(folder, endpoint)}`, ServerCredentials.createInsecure(), done);
  });
  const kubelet = new v1beta1.Registration(`unix:${join(folder, 'kubelet.sock')}`, credentials.createInsecure());
  const request = { version: 'v1beta1', endpoint, resource_name: resource };
  await new Promise<void>((resolve, reject) =>
    kubelet.Register(request, (error) => (error ? reject(error) : resolve())),
  );
  kubelet.close();
  return () => server.forceShutdown();
}
