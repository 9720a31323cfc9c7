import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { ControllerStatus } from '../../../controller/controller.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import type { ClusterNode } from '../../cluster/node.ts';
import { start } from '../../cluster/process.ts';

/** What the agent took from the API server and from its node meanwhile. Memory in MiB, CPU in seconds. */
export type Cost = {
  readonly seconds: number;
  /** By verb and resource, `get network-attachment-definitions`, as the API server's audit log has them. */
  readonly requests: ReadonlyMap<string, number>;
  /** Over TCP: with TLS and everything. */
  readonly sent: number;
  readonly received: number;
  readonly cpu: number;
  readonly plugins: number;
  readonly resident: number;
  readonly own: number;
};

const QUIET_MS = 2000;

/** Follows the agent of the first node. */
export class Watcher {
  readonly #cluster: Cluster;
  readonly #node: ClusterNode;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#node = cluster.node('node-1');
  }

  /** What the agent says of itself. Throws while it does not answer. */
  status(): ControllerStatus {
    return JSON.parse(this.#node.run(['/opt/cni/bin/waymark', 'status', '--json'])).hotPlug;
  }

  /** What something costs. If an agent starts meanwhile, all that this one has taken. */
  async cost(work: () => Promise<void>): Promise<Cost> {
    const audited = this.#audited().length;
    const before = this.#usage();
    const connections = new Connections(this.#node);
    await connections.firstLook;
    const began = performance.now();
    try {
      await work();
      const seconds = (performance.now() - began) / 1000;
      const after = this.#usage();
      const { sent, received } = await connections.total(after.pid);
      const since = before.pid === after.pid ? before : { cpu: 0, plugins: 0 };
      const requests = new Map<string, number>();
      for (const what of this.#audited().slice(audited)) requests.set(what, (requests.get(what) ?? 0) + 1);
      const { resident, own } = after;
      const [cpu, plugins] = [after.cpu - since.cpu, after.plugins - since.plugins];
      return { seconds, requests, sent, received, cpu, plugins, resident, own };
    } finally {
      connections.close();
    }
  }

  /** Waits until the agent sends nothing for two seconds: events are written after the rest. */
  async untilQuiet(): Promise<void> {
    for (let before = -1, now = this.#audited().length; before !== now; now = this.#audited().length) {
      before = now;
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    }
  }

  // A watch is logged when it begins and when it ends.
  #audited(): string[] {
    type Line = { verb: string; stage: string; objectRef?: { resource?: string; subresource?: string } };
    const lines = readFileSync(this.#cluster.folder.auditLog, 'utf8').trim().split('\n').filter(Boolean);
    return lines
      .map((line) => JSON.parse(line) as Line)
      .filter(({ verb, stage }) => stage === (verb === 'watch' ? 'ResponseStarted' : 'ResponseComplete'))
      .map(({ verb, objectRef: { resource, subresource } = {} }) => {
        return `${verb} ${[resource, subresource].filter(Boolean).join('/')}`;
      });
  }

  #usage() {
    const script = `for pid in $(pgrep -f "waymark agent"); do
      [ "$(readlink "/proc/$pid/exe")" = /opt/waymark/bin/waymark ] || continue
      echo "$pid $(cut -d' ' -f14-17 "/proc/$pid/stat") $(sed -nE 's/^(VmRSS|RssAnon):\\s+([0-9]+).*/\\2/p' "/proc/$pid/status" | tr '\\n' ' ')"
    done`;
    const [line = ''] = this.#node.run(['bash', '-c', script]).trim().split('\n');
    const [pid = 0, user = 0, system = 0, childUser = 0, childSystem = 0, resident = 0, own = 0] = line
      .trim()
      .split(' ')
      .map(Number);
    const [cpu, plugins] = [(user + system) / 100, (childUser + childSystem) / 100];
    return { pid, cpu, plugins, resident: resident / 1024, own: own / 1024 };
  }
}

type Bytes = { sent: number; received: number };

/** What went over the connections to the API server, which are looked at several times a second: closed ones count too. */
class Connections {
  readonly #child;
  readonly #first = new Map<string, Bytes>();
  readonly #last = new Map<string, Bytes>();
  readonly firstLook: Promise<void>;

  constructor(node: ClusterNode) {
    const script = 'while ss -tinpHO dst 10.96.0.1; do echo; sleep 0.2; done';
    const enter = ['nsenter', '--target', node.pid, '--mount', '--net', '--pid', '--'];
    this.#child = start([...enter, 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('no output of ss');
    const { promise, resolve } = Promise.withResolvers<void>();
    this.firstLook = promise;
    let isFirst = true;
    createInterface({ input: stdout }).on('line', (line) => {
      if (line === '') {
        isFirst = false;
        resolve();
        return;
      }
      const [, pid] = /pid=(\d+)/.exec(line) ?? [];
      const [, , , local = ''] = line.split(/\s+/);
      const number = (key: string) => Number(new RegExp(`\\b${key}:(\\d+)`).exec(line)?.[1] ?? 0);
      const key = `${pid} ${local}`;
      const bytes = { sent: number('bytes_sent'), received: number('bytes_received') };
      // What was there at the first look has a past; what came later has not.
      if (!this.#first.has(key)) this.#first.set(key, isFirst ? bytes : { sent: 0, received: 0 });
      this.#last.set(key, bytes);
    });
  }

  async total(pid: number): Promise<Bytes> {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const mine = [...this.#last].filter(([key]) => key.startsWith(`${pid} `));
    const sum = (pick: (bytes: Bytes) => number) =>
      mine.reduce((total, [key, last]) => total + pick(last) - pick(this.#first.get(key) ?? last), 0);
    return { sent: sum(({ sent }) => sent), received: sum(({ received }) => received) };
  }

  close(): void {
    this.#child.kill();
  }
}
