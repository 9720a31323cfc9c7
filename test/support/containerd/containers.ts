import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerdNode } from './containerd.ts';
import type { ContainerConfig, ContainerStatus, NamespaceOptions } from './cri.ts';

// Containers of images, in pods in the node's network.

/**
 * A container: not privileged, with a read-only root, only the given capabilities, and the default seccomp profile.
 */
export type Container = {
  image: string;
  command?: string[];
  args?: string[];
  envs?: { key: string; value: string }[];
  mounts?: { containerPath: string; hostPath: string; readonly?: boolean }[];
  capabilities?: string[];
  user?: number;
  /** Kubernetes' `allowPrivilegeEscalation`. */
  mayEscalate?: boolean;
  /** Without an AppArmor profile, if the machine has AppArmor. */
  unconfined?: boolean;
  limits?: { cpus: number; bytes: number };
};

/** A pod whose containers have been started. */
export type ContainerPod = {
  status(container: string): Promise<ContainerStatus>;
  /** Its output so far. */
  log(container: string): string;
  /** Sends SIGTERM, then SIGKILL after so many seconds. Returns how it ended. */
  stop(container: string, seconds: number): Promise<ContainerStatus>;
  /** Removes the pod with everything that runs in it. */
  delete(): Promise<void>;
};

/** Starts a pod with these containers, in the node's network and, if asked, among the node's processes. */
export async function startContainers(
  node: ContainerdNode,
  podName: string,
  containers: { readonly [name: string]: Container },
  pid: NamespaceOptions['pid'] = 'CONTAINER',
): Promise<ContainerPod> {
  const { cri } = node;
  const namespaces: NamespaceOptions = { network: 'NODE', pid };
  const pod = node.podConfig(podName, 0, namespaces);
  mkdirSync(pod.logDirectory, { recursive: true });
  const podId = await cri.runPod(pod);
  const ids = new Map<string, string>();
  const idOf = (name: string) => ids.get(name) ?? '';
  try {
    for (const [name, container] of Object.entries(containers)) {
      const config = containerConfig(name, `${podName}-${name}.log`, container, namespaces);
      ids.set(name, await cri.createContainer(podId, config, pod));
      await cri.startContainer(idOf(name));
    }
  } catch (error) {
    await node.deletePod(podId);
    throw error;
  }
  return {
    status: (name) => cri.containerStatus(idOf(name)),
    log: (name) => readFileSync(join(pod.logDirectory, `${podName}-${name}.log`), 'utf8'),
    stop: async (name, seconds) => {
      await cri.stopContainer(idOf(name), seconds);
      return cri.containerStatus(idOf(name));
    },
    delete: () => node.deletePod(podId),
  };
}

let runs = 0;

/** Runs a container to its end, in a pod of its own. Returns how it ended, and its log. */
export async function runToEnd(node: ContainerdNode, container: Container): Promise<{ exitCode: number; log: string }> {
  const pod = await startContainers(node, `run-${++runs}`, { it: container });
  try {
    const hasEnded = async () => (await pod.status('it')).state === 'CONTAINER_EXITED';
    await node.until(hasEnded, 'the container has not come to its end');
    return { exitCode: (await pod.status('it')).exitCode, log: pod.log('it') };
  } finally {
    await pod.delete();
  }
}

const CPU_PERIOD_US = 100_000;

function containerConfig(
  name: string,
  logPath: string,
  { capabilities = [], user, mayEscalate = false, unconfined = false, limits, ...container }: Container,
  namespaceOptions: NamespaceOptions,
): ContainerConfig {
  return {
    metadata: { name, attempt: 0 },
    image: { image: container.image },
    ...(container.command && { command: container.command }),
    ...(container.args && { args: container.args }),
    envs: container.envs ?? [],
    mounts: container.mounts ?? [],
    logPath,
    linux: {
      ...(limits && {
        resources: {
          cpuPeriod: CPU_PERIOD_US,
          cpuQuota: limits.cpus * CPU_PERIOD_US,
          memoryLimitInBytes: limits.bytes,
        },
      }),
      securityContext: {
        capabilities: { addCapabilities: capabilities, dropCapabilities: ['ALL'] },
        privileged: false,
        readonlyRootfs: true,
        noNewPrivs: !mayEscalate,
        namespaceOptions,
        seccomp: { profileType: 'RuntimeDefault' },
        ...(unconfined && { apparmor: { profileType: 'Unconfined' } }),
        ...(user !== undefined && { runAsUser: { value: user } }),
      },
    },
  };
}
