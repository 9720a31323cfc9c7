import { join } from 'node:path';
import { type Client, credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

// A client of the Container Runtime Interface, like the kubelet.

export type PodConfig = {
  metadata: { name: string; uid: string; namespace: string; attempt: number };
  hostname: string;
  logDirectory: string;
  labels: { [name: string]: string };
  linux: { cgroupParent: string; securityContext: { namespaceOptions: NamespaceOptions } };
};
export type NamespaceOptions = { network: 'POD' | 'NODE'; pid: 'CONTAINER' | 'NODE' };

export type ContainerConfig = {
  metadata: { name: string; attempt: number };
  image: { image: string };
  command?: string[];
  args?: string[];
  envs?: { key: string; value: string }[];
  mounts?: { containerPath: string; hostPath: string; readonly?: boolean }[];
  logPath: string;
  linux: {
    resources?: { cpuPeriod: number; cpuQuota: number; memoryLimitInBytes: number };
    securityContext: {
      capabilities: { addCapabilities: string[]; dropCapabilities: string[] };
      privileged: boolean;
      readonlyRootfs: boolean;
      noNewPrivs: boolean;
      namespaceOptions: NamespaceOptions;
      seccomp: { profileType: 'RuntimeDefault' };
      apparmor?: { profileType: 'Unconfined' };
      runAsUser?: { value: number };
    };
  };
};

export type PodStatus = {
  id: string;
  metadata: PodConfig['metadata'];
  state: 'SANDBOX_READY' | 'SANDBOX_NOTREADY';
  network: { ip: string; additionalIps: { ip: string }[] } | null;
};

/** `info` contains JSON texts, whose form the runtime chooses. */
export type PodStatusAnswer = { status: PodStatus; info: { [key: string]: string } };

export type ContainerStatus = {
  state: 'CONTAINER_CREATED' | 'CONTAINER_RUNNING' | 'CONTAINER_EXITED' | 'CONTAINER_UNKNOWN';
  exitCode: number;
  reason: string;
  message: string;
};

type Method = (
  request: object,
  options: { deadline: number },
  done: (error: Error | null, answer: unknown) => void,
) => void;

/** A call that takes longer has failed. */
const CALL_SECONDS = 180;

const definition = loadSync(join(import.meta.dirname, 'cri.proto'), { longs: Number, enums: String, defaults: true });
const { runtime } = loadPackageDefinition(definition) as unknown as {
  runtime: { v1: { RuntimeService: ServiceClientConstructor } };
};

/** The calls of RuntimeService that the tests make. Each rejects with the runtime's own message. */
export class Cri {
  readonly #client: Client & { [method: string]: Method };

  /** `socket` is the path of the runtime's socket. */
  constructor(socket: string) {
    const service = runtime.v1.RuntimeService;
    this.#client = new service(`unix:${socket}`, credentials.createInsecure()) as never;
  }

  close(): void {
    this.#client.close();
  }

  status = () =>
    this.#call<{ status: { conditions: { type: string; status: boolean }[] }; info: { [key: string]: string } }>(
      'Status',
      { verbose: true },
    );
  runPod = async (config: PodConfig) =>
    (await this.#call<{ podSandboxId: string }>('RunPodSandbox', { config })).podSandboxId;
  stopPod = (podSandboxId: string) => this.#call<object>('StopPodSandbox', { podSandboxId });
  removePod = (podSandboxId: string) => this.#call<object>('RemovePodSandbox', { podSandboxId });
  podStatus = (podSandboxId: string) =>
    this.#call<PodStatusAnswer>('PodSandboxStatus', { podSandboxId, verbose: true });
  pods = async () => (await this.#call<{ items: PodStatus[] }>('ListPodSandbox', {})).items;
  createContainer = async (podSandboxId: string, config: ContainerConfig, sandboxConfig: PodConfig) =>
    (await this.#call<{ containerId: string }>('CreateContainer', { podSandboxId, config, sandboxConfig })).containerId;
  startContainer = (containerId: string) => this.#call<object>('StartContainer', { containerId });
  /** Kills it if it does not end within so many seconds. */
  stopContainer = (containerId: string, timeout: number) =>
    this.#call<object>('StopContainer', { containerId, timeout });
  removeContainer = (containerId: string) => this.#call<object>('RemoveContainer', { containerId });
  containerStatus = async (containerId: string) =>
    (await this.#call<{ status: ContainerStatus }>('ContainerStatus', { containerId })).status;

  #call<Answer>(method: string, request: object): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + CALL_SECONDS * 1000;
      this.#client[method]?.(request, { deadline }, (error, answer) =>
        error === null ? resolve(answer as Answer) : reject(error),
      );
    });
  }
}
