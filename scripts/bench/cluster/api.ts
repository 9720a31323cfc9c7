import { createInterface } from 'node:readline';
import type { Cluster } from '../../cluster/cluster.ts';
import { start } from '../../cluster/process.ts';
import type { Answered, Request } from './api-process.ts';

/** Requests to a cluster's API server by its administrator, sent by a process in the cluster's network. */
export class Api {
  readonly #child;
  readonly #waiting = new Map<number, (answered: Answered) => void>();
  #last = 0;

  constructor(cluster: Cluster) {
    const { pki } = cluster.folder;
    const files = [`${pki}/ca.crt`, `${pki}/admin.crt`, `${pki}/admin.key`];
    const program = [process.execPath, `${import.meta.dirname}/api-process.ts`, ...files];
    this.#child = start(['nsenter', '--target', cluster.folder.pid, '--net', '--', ...program], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('no output of the process that sends requests');
    createInterface({ input: stdout }).on('line', (line) => {
      const answered = JSON.parse(line) as Answered;
      this.#waiting.get(answered.id)?.(answered);
      this.#waiting.delete(answered.id);
    });
  }

  /** Throws if the API server refuses it. */
  async send(method: Request['method'], path: string, body: object): Promise<Answered> {
    this.#last += 1;
    const request: Request = { id: this.#last, method, path, body: JSON.stringify(body) };
    const answered = await new Promise<Answered>((resolve) => {
      this.#waiting.set(request.id, resolve);
      this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    });
    if (answered.status >= 300) throw new Error(`${method} ${path}: the API server answered ${answered.status}`);
    return answered;
  }

  /** Selects the networks of a pod in `default`. Throws if the API server refuses it. */
  async select(pod: string, selections: readonly object[]): Promise<Answered> {
    const annotations = { 'k8s.v1.cni.cncf.io/networks': JSON.stringify(selections) };
    return this.send('PATCH', `/api/v1/namespaces/default/pods/${pod}`, { metadata: { annotations } });
  }

  /** Sends one request for each number, so many at a time. */
  async each(count: number, request: (index: number) => Parameters<Api['send']>): Promise<void> {
    let next = 0;
    const one = async () => {
      while (next < count) await this.send(...request(next++));
    };
    await Promise.all(Array.from({ length: 20 }, one));
  }

  close(): void {
    this.#child.stdin?.end();
  }
}
