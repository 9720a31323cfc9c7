import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { packImage } from '../build/image.ts';
import { REFERENCE_FOLDER } from '../plugins/chain.ts';
import { Cri, type NamespaceOptions, type PodConfig, type PodStatus } from './cri.ts';
import { type Machine, startMachine } from './machine.ts';

/** A node with a real containerd, on a machine of its own. It uses nothing of the test machine. */
export type ContainerdNode = {
  readonly machine: Machine;
  readonly cri: Cri;
  /** The path, for the test, of the plugin folder, which is /opt/cni/bin on the node. */
  readonly binDir: string;
  /** Replaces the network configuration lists. The first is the pods' network. Waits until containerd has loaded them. */
  writeLists(...lists: { name: string; [key: string]: unknown }[]): Promise<void>;
  /** Imports the image of an OCI layout under a full name: `docker.io/…:…`. */
  importImage(layout: string, name: string): void;
  /** The argument of RunPodSandbox for this pod. A retry is the same pod with another attempt. */
  podConfig(name: string, attempt?: number, namespaces?: NamespaceOptions): PodConfig;
  /** Starts a pod and inspects it. */
  runPod(name: string, attempt?: number): Promise<Pod>;
  /** Stops and removes a pod, as the kubelet does when it is deleted. */
  deletePod(id: string): Promise<void>;
  /** Waits until a condition holds. If it never does, throws an error with `otherwise` and the end of containerd's log. */
  until(holds: () => Promise<boolean>, otherwise: string): Promise<void>;
  /** Ends containerd, and starts it again with everything it had on disk. Pods keep running. */
  restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Simulates a power failure and a restart: no process, mount, namespace or file in /run survives. */
  reboot(): Promise<void>;
};

/** A running pod. */
export type Pod = {
  readonly id: string;
  readonly name: string;
  readonly status: PodStatus;
  /** What the runtime kept of the CNI results, by interface name. */
  readonly interfaces: { [name: string]: { IPConfigs: { IP: string }[] | null; Sandbox: string } };
  /** CNI_NETNS. */
  readonly netns: string;
  /** The output of `ip -j` in the pod. */
  ipJson(command: string): { [key: string]: unknown }[];
};

/** The image that keeps pods running. */
export const PAUSE_IMAGE = 'docker.io/local/pause:1';
const OF_ITS_OWN: NamespaceOptions = { network: 'POD', pid: 'CONTAINER' };
/** How long to wait for a condition before giving up. */
const WAIT_SECONDS = 180;

/** See ContainerdNode. `start` begins it, `end` ends it. */
export class RealNode implements ContainerdNode {
  readonly binDir: string;
  readonly #folder: string;
  #machine: Machine | undefined;
  #cri: Cri | undefined;
  #daemon: ChildProcess | undefined;

  constructor(folder: string) {
    this.#folder = folder;
    this.binDir = join(folder, 'opt/cni/bin');
    mkdirSync(this.binDir, { recursive: true });
    mkdirSync(join(folder, 'opt/cni/net.d'));
    for (const plugin of ['bridge', 'host-local', 'loopback']) {
      execFileSync('cp', ['-L', join(REFERENCE_FOLDER, plugin), this.binDir]);
    }
    writeFileSync(join(folder, 'containerd.toml'), CONFIG);
  }

  get machine(): Machine {
    if (this.#machine === undefined) throw new Error('the machine is off');
    return this.#machine;
  }

  get cri(): Cri {
    if (this.#cri === undefined) throw new Error('containerd is off');
    return this.#cri;
  }

  async start(): Promise<void> {
    this.#machine = await startMachine(this.#folder);
    for (const command of UPLINK) this.#machine.ip(command);
    await this.#startDaemon();
  }

  async end(): Promise<void> {
    this.#cri?.close();
    await this.#machine?.end();
    this.#cri = undefined;
    this.#machine = undefined;
  }

  async restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const daemon = this.#daemon;
    if (daemon === undefined) throw new Error('containerd is off');
    const gone = once(daemon, 'close');
    this.machine.run('sh', ['-c', `kill -${signal.slice(3)} $(cat /run/containerd.pid)`]);
    await gone;
    this.#cri?.close();
    await this.#startDaemon();
  }

  async reboot(): Promise<void> {
    await this.end();
    execFileSync('rm', ['-rf', join(this.#folder, 'run')]);
    await this.start();
  }

  async writeLists(...lists: { name: string }[]): Promise<void> {
    const folder = join(this.#folder, 'opt/cni/net.d');
    const texts = lists.map((list) => JSON.stringify(list));
    const names = texts.map((_, index) => `${index}.conflist`);
    // Rename, so that the watcher sees only complete files.
    names.forEach((name, index) => {
      writeFileSync(join(folder, `${name}.new`), texts[index] ?? '');
      renameSync(join(folder, `${name}.new`), join(folder, name));
    });
    for (const other of readdirSync(folder).filter((name) => !names.includes(name))) rmSync(join(folder, other));
    const areKnown = async () => {
      const { info } = await this.cri.status();
      const { Networks = [] } = JSON.parse(info.cniconfig ?? '{}') as { Networks?: { Config: { Source: string } }[] };
      const [_loopback, ...known] = Networks.map(({ Config }) => Config.Source);
      return known.join() === texts.join();
    };
    await this.until(areKnown, 'the network lists are not known');
  }

  importImage(layout: string, name: string): void {
    const archive = join(this.#folder, 'image.tar');
    packImage(layout, name, archive);
    this.machine.run('ctr', ['-n', 'k8s.io', 'images', 'import', '--snapshotter', 'native', archive]);
    rmSync(archive);
  }

  podConfig(name: string, attempt = 0, namespaceOptions: NamespaceOptions = OF_ITS_OWN): PodConfig {
    return {
      metadata: { name, uid: `uid-of-${name}`, namespace: 'default', attempt },
      // A pod in the node's network has the node's name.
      hostname: namespaceOptions.network === 'POD' ? name : '',
      logDirectory: join(this.#folder, 'logs'),
      // As the kubelet sets them.
      labels: { 'io.kubernetes.pod.uid': `uid-of-${name}` },
      linux: {
        cgroupParent: `/${this.machine.cgroup}`,
        securityContext: { namespaceOptions },
      },
    };
  }

  async runPod(name: string, attempt = 0): Promise<Pod> {
    const id = await this.cri.runPod(this.podConfig(name, attempt));
    const { status, info } = await this.cri.podStatus(id);
    const { cniResult, runtimeSpec } = JSON.parse(info.info ?? '{}') as Info;
    const netns = runtimeSpec.linux.namespaces.find(({ type }) => type === 'network')?.path ?? '';
    return {
      id,
      name,
      status,
      netns,
      interfaces: cniResult.Interfaces,
      ipJson: (command) => this.machine.ipJson(`-n ${basename(netns)} ${command}`),
    };
  }

  async deletePod(id: string): Promise<void> {
    await this.cri.stopPod(id);
    await this.cri.removePod(id);
  }

  async until(holds: () => Promise<boolean>, otherwise: string): Promise<void> {
    const deadline = Date.now() + WAIT_SECONDS * 1000;
    while (!(await holds())) {
      if (Date.now() > deadline) throw new Error(`${otherwise}: ${this.#lastWords()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async #startDaemon(): Promise<void> {
    const command = `echo $$ >/run/containerd.pid; exec containerd --config ${this.#folder}/containerd.toml`;
    const daemon = this.machine.start('sh', ['-c', command]);
    for (const stream of [daemon.stdout, daemon.stderr]) {
      stream?.on('data', (chunk) => appendFileSync(this.#log, chunk));
    }
    this.#daemon = daemon;
    const cri = new Cri(join(this.#folder, 'run/containerd/containerd.sock'));
    this.#cri = cri;
    const answers = async () => (await cri.status().catch(() => undefined)) !== undefined;
    await this.until(answers, 'containerd does not answer');
  }

  get #log(): string {
    return join(this.#folder, 'containerd.log');
  }

  #lastWords(): string {
    const lines = existsSync(this.#log) ? readFileSync(this.#log, 'utf8').trimEnd().split('\n') : [];
    return lines.slice(-5).join(' | ');
  }
}

type Info = {
  cniResult: { Interfaces: Pod['interfaces'] };
  runtimeSpec: { linux: { namespaces: { type: string; path?: string }[] } };
};

// The node's own address and default route, which seamless-gateway looks for.
const UPLINK = [
  'link add uplink0 type veth peer name outside',
  'link set outside up',
  'link set uplink0 up',
  'address add 10.0.32.2/24 dev uplink0',
  'route add default via 10.0.32.1',
];

// Enables only what the tests need: the other snapshotters look for disks and so on. The paths are the machine's.
const CONFIG = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing"
]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${PAUSE_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/opt/cni/net.d"
`;
