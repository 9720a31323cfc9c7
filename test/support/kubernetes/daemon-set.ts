import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerdNode } from '../containerd/containerd.ts';
import { type Container, type ContainerPod, startContainers } from '../containerd/containers.ts';
import type { Manifest } from './kustomize.ts';

// A pod of a DaemonSet on a node, as the kubelet starts it. Unknown settings are errors, never ignored.

type PodSpec = {
  hostNetwork: true;
  hostPID?: boolean;
  securityContext: { runAsUser: number; seccompProfile: { type: 'RuntimeDefault' } };
  terminationGracePeriodSeconds: number;
  containers: ContainerSpec[];
  volumes: Volume[];
};
type ContainerSpec = {
  name: string;
  args?: string[];
  env?: { name: string; value: string }[];
  resources: { limits: { cpu: string; memory: string } };
  securityContext: {
    allowPrivilegeEscalation?: false;
    readOnlyRootFilesystem: true;
    appArmorProfile?: { type: 'Unconfined' };
    capabilities: { drop: ['ALL']; add?: string[] };
  };
  volumeMounts: { name: string; mountPath: string; readOnly?: boolean }[];
};
type Volume = { name: string; hostPath?: { path: string; type: string }; emptyDir?: object };

/** Starts the pod with this image instead of the manifest's. Also returns the grace period of its containers. */
export async function startDaemonPod(
  node: ContainerdNode,
  daemonSet: Manifest,
  image: string,
): Promise<ContainerPod & { readonly graceSeconds: number }> {
  const { template } = daemonSet.spec as { template: { spec: PodSpec } };
  const { hostNetwork, hostPID, securityContext, terminationGracePeriodSeconds, containers, volumes } = template.spec;
  if (!hostNetwork || securityContext.seccompProfile.type !== 'RuntimeDefault') throw new Error('another kind of pod');
  const paths = new Map(volumes.map((volume) => [volume.name, makeVolume(node, volume)]));
  const specs = containers.map((spec): [string, Container] => [
    spec.name,
    { ...containerOf(spec, paths), image, user: securityContext.runAsUser },
  ]);
  const pod = await startContainers(node, 'daemon', Object.fromEntries(specs), hostPID ? 'NODE' : 'CONTAINER');
  return { ...pod, graceSeconds: terminationGracePeriodSeconds };
}

// With the modes of folders that the kubelet creates.
function makeVolume({ machine }: ContainerdNode, { name, hostPath, emptyDir }: Volume): string {
  const path = emptyDir === undefined ? hostPath?.path : `/var/lib/kubelet/volumes/${name}`;
  if (path === undefined) throw new Error(`volume ${name} is of another kind`);
  if (hostPath?.type === 'Directory') return path;
  if (emptyDir === undefined && hostPath?.type !== 'DirectoryOrCreate') throw new Error(`volume ${name}: another type`);
  const made = join(machine.folder, path);
  if (mkdirSync(made, { recursive: true }) !== undefined) chmodSync(made, emptyDir === undefined ? 0o755 : 0o777);
  return path;
}

function containerOf(spec: ContainerSpec, paths: ReadonlyMap<string, string>): Omit<Container, 'image' | 'user'> {
  const { args = [], env = [], resources, securityContext, volumeMounts } = spec;
  const { readOnlyRootFilesystem, appArmorProfile, allowPrivilegeEscalation, capabilities } = securityContext;
  if (!readOnlyRootFilesystem || capabilities.drop.join() !== 'ALL') throw new Error(`${spec.name}: another kind`);
  const values = new Map(env.map(({ name, value }) => [name, value]));
  return {
    args: args.map((word) => word.replace(/\$\((\w+)\)/g, (whole, name) => values.get(name) ?? whole)),
    envs: env.map(({ name, value }) => ({ key: name, value })),
    mounts: volumeMounts.map(({ name, mountPath, readOnly = false }) => ({
      containerPath: mountPath,
      hostPath: paths.get(name) ?? '',
      readonly: readOnly,
    })),
    capabilities: capabilities.add ?? [],
    mayEscalate: allowPrivilegeEscalation !== false,
    unconfined: appArmorProfile?.type === 'Unconfined',
    limits: { cpus: quantity(resources.limits.cpu), bytes: quantity(resources.limits.memory) },
  };
}

const UNITS: { [suffix: string]: number } = { '': 1, m: 1e-3, Mi: 2 ** 20, Gi: 2 ** 30 };

function quantity(text: string): number {
  const [, number, suffix = ''] = /^(\d+)(\w*)$/.exec(text) ?? [];
  const value = Number(number) * (UNITS[suffix] ?? Number.NaN);
  if (Number.isNaN(value)) throw new Error(`${text} is not a known quantity`);
  return value;
}
