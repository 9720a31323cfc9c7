import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { apiServer, controllers, type Daemon, etcd, makeCredentials } from './control-plane.ts';
import { ClusterFolder, PROGRAMS, pidIn, ROOT } from './folder.ts';
import { baseArchive } from './images.ts';
import { ClusterNode } from './node.ts';
import { type Ended, end, finish, type RunOptions, run, until } from './process.ts';

const HERE = import.meta.dirname;

/** How a cluster is started. */
export type ClusterOptions = {
  readonly nodes: number;
  /** Whether it ends when this process does; else by `down`. */
  readonly owned: boolean;
  /** Whether the containers' limits hold for the processor too. */
  readonly cpuLimits: boolean;
};

/** A Kubernetes cluster in namespaces of its own. */
export class Cluster {
  readonly folder: ClusterFolder;
  readonly nodes: ClusterNode[] = [];
  #wrapper: ChildProcess | undefined;
  #apiServer: ChildProcess | undefined;

  private constructor(folder: ClusterFolder) {
    this.folder = folder;
  }

  /**
   * Starts a cluster with so many nodes, whose files are in a new folder, and waits until they are ready. Throws with what
   * the services said if one does not come up.
   */
  static async start(path: string, { nodes, owned, cpuLimits }: ClusterOptions): Promise<Cluster> {
    Cluster.sweep(path);
    mkdirSync(path, { recursive: true, mode: 0o755 });
    const cluster = new Cluster(new ClusterFolder(path));
    try {
      await cluster.#begin(owned);
      makeCredentials(cluster.folder.pki);
      const store = cluster.#startDaemon(etcd(join(ROOT, '.tools/etcd/etcd'), join(path, 'run')));
      const server = cluster.#startApiServer();
      await Promise.all(Array.from({ length: nodes }, () => cluster.#addNode(cpuLimits)));
      await cluster.#untilAnswers(store, server);
      for (const daemon of controllers(PROGRAMS, cluster.folder.pki)) cluster.#startDaemon(daemon);
      for (const node of cluster.nodes) node.startService('kubelet');
      await cluster.untilReady();
    } catch (error) {
      const words = cluster.lastWords();
      await cluster.down();
      throw new Error(`${(error as Error).message}\n${words}`, { cause: error });
    }
    return cluster;
  }

  /** Takes away what a cluster has left in a folder and in control groups, where it could not do so itself. */
  static sweep(path: string): void {
    run(['bash', join(HERE, 'remove-cgroups.sh'), basename(path)]);
    rmSync(path, { recursive: true, force: true });
  }

  /** The cluster that runs in a folder, if there is one. */
  static find(path: string): Cluster | undefined {
    if (pidIn(path) === undefined) return undefined;
    const cluster = new Cluster(new ClusterFolder(path));
    for (let number = 1; existsSync(join(path, 'nodes', `node-${number}`)); number++) {
      cluster.nodes.push(new ClusterNode(cluster.folder, number));
    }
    return cluster;
  }

  /** A node by its name. Throws if there is none. */
  node(name: string): ClusterNode {
    const node = this.nodes.find((each) => each.name === name);
    if (node === undefined)
      throw new Error(`no node ${name}: there are ${this.nodes.map((each) => each.name).join(', ')}`);
    return node;
  }

  /** Runs kubectl as the cluster's administrator; what it printed. Throws with all that it wrote if it fails. */
  kubectl(args: readonly string[], options: RunOptions = {}): string {
    return run(this.kubectlCommand(args), options);
  }

  /** Makes objects of the API, or changes them to what is given. What kubectl printed. */
  apply(items: readonly object[]): string {
    return this.kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  }

  /** Like `kubectl`, for commands whose failure is an answer. */
  endKubectl(args: readonly string[]): Ended {
    return end(this.kubectlCommand(args));
  }

  /** The same, while other things go on. */
  tryKubectl(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
    return finish(this.kubectlCommand(args), options);
  }

  /** The command that kubectl is run by, from the machine: it has the cluster's network and the machine's files. */
  kubectlCommand(args: readonly string[]): string[] {
    const kubeconfig = join(this.folder.pki, 'admin.kubeconfig');
    // All clusters have the same address: in a cache of the user's, one would find what another has.
    const cache = join(this.folder.path, 'kubectl-cache');
    const options = [`--kubeconfig=${kubeconfig}`, `--cache-dir=${cache}`];
    return [...this.#inNetwork(), join(PROGRAMS, 'kubectl'), ...options, ...args];
  }

  #inNetwork(): string[] {
    return ['nsenter', '--target', this.folder.pid, '--net', '--'];
  }

  async #begin(owned: boolean): Promise<void> {
    const { path, name } = this.folder;
    const command = ['bash', join(HERE, 'begin.sh'), path, name, owned ? 'stdin' : 'forever'];
    const begin = this.folder.spawn('cluster', command, { owned });
    this.#wrapper = begin;
    await until('the cluster’s namespaces', () => {
      if (begin.exitCode !== null) throw new Error(this.folder.readLog('cluster'));
      return pidIn(this.folder.path) !== undefined;
    });
  }

  #startDaemon({ name, command }: Daemon): ChildProcess {
    const enter = ['--target', this.folder.pid, '--mount', '--net', '--pid', '--ipc', '--'];
    return this.folder.spawn(name, ['nsenter', ...enter, 'setsid', ...command]);
  }

  #startApiServer(): ChildProcess {
    const { pki, auditLog } = this.folder;
    this.#apiServer = this.#startDaemon(apiServer(PROGRAMS, pki, auditLog));
    return this.#apiServer;
  }

  /** Kills the API server, does something without it, and starts it again; until it answers. */
  async withoutApiServer(act: () => Promise<unknown>): Promise<void> {
    const { pid } = this.#apiServer ?? {};
    // nsenter waits for it: a process of another PID namespace is its child.
    const server = run(['cat', `/proc/${pid}/task/${pid}/children`]).trim();
    process.kill(Number(server), 'SIGKILL');
    await act();
    await this.#untilAnswers(this.#startApiServer());
  }

  async #addNode(cpuLimits: boolean): Promise<void> {
    const node = new ClusterNode(this.folder, this.nodes.length + 1);
    this.nodes.push(node);
    node.prepare({ cpuLimits });
    await node.boot();
    node.startService('containerd');
    await node.untilContainerdAnswers();
    node.importImage(baseArchive());
  }

  async #untilAnswers(...daemons: readonly ChildProcess[]): Promise<void> {
    const hasEnded = () => daemons.some(({ exitCode }) => exitCode !== null);
    const answers = async () => (await this.tryKubectl(['get', '--raw=/readyz'], { timeoutSeconds: 10 })).status === 0;
    await until('the API server answers', async () => hasEnded() || (await answers()));
    if (hasEnded()) throw new Error('the API server has ended');
  }

  /** Waits until every node is ready, and pods can be made. */
  async untilReady(): Promise<void> {
    const ready = this.nodes.map(() => 'True').join(' ');
    const path = '{.items[*].status.conditions[?(@.type=="Ready")].status}';
    await until('the nodes are ready', async () => {
      const nodes = await this.tryKubectl(['get', 'nodes', `-o=jsonpath=${path}`]);
      const account = await this.tryKubectl(['get', 'serviceaccount', 'default']);
      return nodes.stdout === ready && account.status === 0;
    });
  }

  /** The last lines of every log. */
  lastWords(lines = 15): string {
    return run(['sh', '-c', `cd "$0" && tail -n ${lines} *.log`, this.folder.logs]);
  }

  /** Ends it, and waits until nothing of it is left on the machine. */
  async down(): Promise<void> {
    const pid = pidIn(this.folder.path);
    if (pid !== undefined) process.kill(Number(pid), 'SIGTERM');
    const wrapper = this.#wrapper;
    wrapper?.stdin?.destroy();
    const isDead = () => pid === undefined || !existsSync(`/proc/${pid}`);
    await until('the cluster is gone', isDead);
    // begin.sh clears up, unless it was killed. Without an owner it ends with the folder.
    const isCleared = () => (wrapper === undefined ? !existsSync(this.folder.path) : wrapper.exitCode !== null);
    await until('the cluster is cleared up', isCleared, { seconds: 30 }).catch(() => undefined);
    Cluster.sweep(this.folder.path);
  }
}
