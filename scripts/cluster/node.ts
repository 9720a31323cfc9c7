import { spawnSync } from 'node:child_process';
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeKubeconfig, pathsOf } from './certificates.ts';
import { type ClusterFolder, PROGRAMS, ROOT } from './folder.ts';
import { CONTAINERD_CONFIG, kubeletConfig, networkList } from './node-config.ts';
import { type Ended, end, finish, type RunOptions, run, until } from './process.ts';

/** The services of a node. */
export type Service = 'containerd' | 'kubelet';

const HERE = import.meta.dirname;
const REFERENCE_PLUGINS = ['bridge', 'host-local', 'loopback', 'macvlan', 'ptp', 'static', 'tuning'];

/** A node of a cluster: a file system, network and processes of its own, with containerd and kubelet. */
export class ClusterNode {
  readonly name: string;
  /** 1 for the first node. */
  readonly number: number;
  /** The node's `/`, as the machine sees it while the node is on or off. /run is in memory and not in here. */
  readonly disk: string;
  readonly #cluster: ClusterFolder;
  readonly #folder: string;

  constructor(cluster: ClusterFolder, number: number) {
    this.#cluster = cluster;
    this.number = number;
    this.name = `node-${number}`;
    this.#folder = join(cluster.path, 'nodes', this.name);
    this.disk = join(this.#folder, 'disk');
  }

  /** Its address in the nodes' network. */
  get address(): string {
    return `10.0.32.${this.number + 1}`;
  }

  /** The network of its pods. */
  get podNetwork(): string {
    return `10.244.${this.number}.0/24`;
  }

  /** The process id of its first process, as the machine sees it. Throws if the node is off. */
  get pid(): string {
    const pid = existsSync(this.#pidFile) ? readFileSync(this.#pidFile, 'utf8').trim() : '';
    if (pid === '') throw new Error(`${this.name} is off`);
    return pid;
  }

  /** What a service of it has logged so far. */
  readLog(service: Service): string {
    return this.#cluster.readLog(`${this.name}-${service}`);
  }

  get #pidFile(): string {
    return join(this.#folder, 'pid');
  }

  /** Writes what is on its disk. Without `cpuLimits` the limits of containers do not hold for the processor. */
  prepare({ cpuLimits }: { cpuLimits: boolean }): void {
    const { pki } = this.#cluster;
    mkdirSync(this.disk, { recursive: true });
    for (const folder of ['etc/cni/net.d', 'etc/kubernetes', 'opt/cni/bin', 'var/log']) {
      mkdirSync(join(this.disk, folder), { recursive: true });
    }
    const onDisk = (path: string) => join(this.disk, path);
    const kubeconfig = makeKubeconfig(pki, this.name, `system:node:${this.name}`, 'system:nodes');
    const text = readFileSync(kubeconfig, 'utf8').replaceAll(`${pki}/`, '/etc/kubernetes/');
    writeFileSync(onDisk('etc/kubernetes/kubelet.kubeconfig'), text);
    for (const path of [...Object.values(pathsOf(pki, this.name)), pathsOf(pki, 'ca').certificate]) {
      copyFileSync(path, onDisk(`etc/kubernetes/${path.slice(pki.length + 1)}`));
    }
    writeFileSync(onDisk('etc/kubernetes/kubelet.yaml'), JSON.stringify(kubeletConfig({ cpuLimits }), null, 2));
    writeFileSync(onDisk('etc/containerd.toml'), CONTAINERD_CONFIG);
    writeFileSync(onDisk('etc/cni/net.d/10-cluster.conflist'), JSON.stringify(networkList(this.podNetwork), null, 2));
    for (const plugin of REFERENCE_PLUGINS) {
      const from = [join(ROOT, '.tools/bin'), '/usr/lib/cni'].map((folder) => join(folder, plugin)).find(existsSync);
      if (from !== undefined) run(['cp', '-L', from, onDisk(`opt/cni/bin/${plugin}`)]);
    }
  }

  /** Switches it on: namespaces, file system and links. The services are started separately. */
  async boot(): Promise<void> {
    rmSync(this.#pidFile, { force: true });
    const boot = ['bash', join(HERE, 'boot.sh'), this.#folder, this.#cluster.name, this.name, ROOT];
    const init = this.#cluster.spawn(`${this.name}-boot`, [
      ...['nsenter', '--target', this.#cluster.pid, '--pid', '--'],
      ...boot,
    ]);
    const isUp = () => {
      if (init.exitCode !== null) throw new Error(this.#cluster.readLog(`${this.name}-boot`));
      return existsSync(this.#pidFile) && readFileSync(this.#pidFile, 'utf8').endsWith('\n');
    };
    await until(`${this.name} boots`, isUp, { pauseMilliseconds: 20 });
    for (const command of this.#links()) run(['nsenter', '--target', this.#cluster.pid, '--net', '--', ...command]);
    for (const command of this.#addresses()) this.run(['ip', ...command]);
  }

  #links(): string[][] {
    return [0, 1].flatMap((index) => {
      const port = `${this.name}-${index}`;
      const pair = ['type', 'veth', 'peer', 'name', `eth${index}`, 'netns', this.pid];
      return [
        ['ip', 'link', 'add', port, ...pair],
        ['ip', 'link', 'set', port, 'master', `br${index}`, 'up'],
        ...(index === 0 ? [['ip', 'route', 'replace', this.podNetwork, 'via', this.address]] : []),
      ];
    });
  }

  #addresses(): string[][] {
    const up = ['eth0', 'eth1'].map((name) => ['link', 'set', name, 'up']);
    return [
      ['address', 'add', `${this.address}/24`, 'dev', 'eth0'],
      ['-6', 'address', 'add', `fd00:32::${this.number + 1}/64`, 'dev', 'eth0'],
      ...up,
      ['route', 'add', 'default', 'via', '10.0.32.1'],
    ];
  }

  /** Runs a program on the node; what it printed. Throws with all that it wrote if it fails. */
  run(command: readonly string[], options: RunOptions = {}): string {
    return run([...this.#enter(), ...command], options);
  }

  /** The same, for programs whose failure is an answer. */
  end(command: readonly string[], options: RunOptions = {}): Ended {
    return end([...this.#enter(), ...command], options);
  }

  /** The same, while other things go on. */
  finish(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
    return finish([...this.#enter(), ...command], options);
  }

  /** The command that a shell on the node is started with. */
  shell(): string[] {
    return [...this.#enter(), 'bash', '-i'];
  }

  #enter(): string[] {
    const namespaces = ['--mount', '--net', '--pid', '--ipc', '--uts', '--cgroup'];
    return ['nsenter', '--target', this.pid, ...namespaces, '--', 'sh', join(HERE, 'enter.sh')];
  }

  /** Starts a service, which goes on when we end. Its log is `<node>-<service>` in the cluster's logs. */
  startService(service: Service): void {
    const command = service === 'containerd' ? ['containerd', '--config', '/etc/containerd.toml'] : this.#kubelet();
    // One that fails is started again, as a service manager would, and one that is ended by a signal is not: the kubelet
    // fails where containerd answers and is not ready yet.
    const script = `while "$@" & echo $! >/run/${service}.pid; wait $!; s=$?; [ $s -gt 0 ] && [ $s -lt 128 ]; do sleep 0.2; done`;
    const start = [...this.#enter(), 'setsid', 'sh', '-c', script, service, ...command];
    // Nobody ends by this file what has ended.
    this.run(['rm', '-f', `/run/${service}.pid`]);
    this.#cluster.spawn(`${this.name}-${service}`, start, { env: SERVICE_ENVIRONMENT });
  }

  #kubelet(): string[] {
    return [
      join(PROGRAMS, 'kubelet'),
      '--config=/etc/kubernetes/kubelet.yaml',
      '--kubeconfig=/etc/kubernetes/kubelet.kubeconfig',
      `--hostname-override=${this.name}`,
      `--node-ip=${this.address}`,
      // Nor do the logs of containers that were killed go.
      '--maximum-dead-containers-per-container=100',
    ];
  }

  /** Ends a service by a signal and waits until it is gone. */
  async stopService(service: Service, signal: 'TERM' | 'KILL' = 'TERM'): Promise<void> {
    const script = `pid=$(cat /run/${service}.pid) && kill -${signal} "$pid"`;
    // It may just be starting, or starting again.
    await until(`${service} of ${this.name} runs`, () => this.end(['sh', '-c', script]).status === 0);
    await until(`${service} of ${this.name} ends`, () => !this.isRunning(service));
  }

  /** Whether a service's process is there. */
  isRunning(service: Service): boolean {
    return this.end(['sh', '-c', `kill -0 "$(cat /run/${service}.pid)"`]).status === 0;
  }

  /** Waits until containerd answers. */
  async untilContainerdAnswers(): Promise<void> {
    const answers = () => this.end(['ctr', '--timeout', '2s', 'version'], { timeoutSeconds: 10 }).status === 0;
    await until(`containerd of ${this.name} answers`, answers);
  }

  /** Imports an image archive under the names that it has. */
  importImage(archive: string): void {
    // From standard input: the archive need not be among the node's files.
    const [program = '', ...args] = [...this.#enter(), 'ctr', '-n', 'k8s.io', 'images', 'import', '-'];
    const file = openSync(archive, 'r');
    const { status, stderr } = spawnSync(program, args, { stdio: [file, 'ignore', 'pipe'], encoding: 'utf8' });
    closeSync(file);
    if (status !== 0) throw new Error(`${archive} cannot be imported: ${stderr}`);
  }

  /** Cuts the power: processes, mounts, links and what is in memory are gone, the disk stays. */
  async cutPower(): Promise<void> {
    const { pid } = this;
    process.kill(Number(pid), 'SIGKILL');
    await until(`${this.name} is off`, () => !existsSync(`/proc/${pid}`));
    rmSync(this.#pidFile, { force: true });
    run(['bash', join(HERE, 'remove-cgroups.sh'), `${this.#cluster.name}/${this.name}`]);
  }
}

const SERVICE_ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' };
