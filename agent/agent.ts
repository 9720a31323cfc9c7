import type { Server } from 'node:http';
import type { Logger } from 'pino';
import { DEFAULT_DATA_DIR } from '../lib/cni/config.ts';
import type { Plugin } from '../lib/cni/runner.ts';
import { createPages, text } from '../lib/http/pages.ts';
import { openOwn } from '../lib/plugin/pod.ts';
import { Calls } from './calls.ts';
import type { AgentLimits } from './limits.ts';
import { Metrics } from './metrics.ts';
import type { AgentPart } from './part.ts';
import type { ShimRequest } from './protocol.ts';
import { type NotServed, Queue } from './queue.ts';
import { type CallReport, whoseCall } from './report.ts';
import { AgentServer } from './server.ts';
import { listenAt, listening, listenOnDescriptor } from './socket-file.ts';
import { Failures, statusOf } from './status.ts';

export type AgentOptions = {
  readonly plugins: readonly Plugin[];
  /** Where shims connect: a path, or a descriptor that is listened on already. */
  readonly socket: string | number;
  /** Health, readiness and metrics over TCP, beside the socket. */
  readonly listen?: { host: string; port: number } | undefined;
  readonly limits: AgentLimits;
  readonly log: Logger;
  /** How long a client may take to say what it wants, and to take the answer. */
  readonly requestMs?: number;
  /** What runs beside the calls. */
  readonly parts?: readonly AgentPart[];
};

/** A client that has not said by then what it wants does not want anything. */
const DEFAULT_REQUEST_MS = 10_000;

/** The node's resident half: serves the calls of shims until it is stopped. */
export class Agent {
  readonly #options: AgentOptions;
  readonly #queue: Queue;
  readonly #metrics: Metrics;
  readonly #failures = new Failures();
  readonly #server: AgentServer;
  readonly #publicPages: Server;
  readonly #parts: readonly AgentPart[];
  #stopping = false;
  #removeSocket = () => {};

  constructor(options: AgentOptions) {
    const { plugins, limits, log } = options;
    this.#options = options;
    this.#queue = new Queue(limits);
    this.#metrics = new Metrics({ queue: this.#queue, configBytes: () => this.#server.configBytes });
    this.#parts = options.parts ?? [];
    for (const part of this.#parts) part.register(this.#metrics.registry);
    const pages = {
      '/healthz': async () => text('ok'),
      '/readyz': async () => this.#readiness(),
      '/metrics': async () => ({
        type: this.#metrics.registry.contentType,
        body: await this.#metrics.registry.metrics(),
      }),
    };
    this.#publicPages = createPages(pages);
    // What went wrong with whose pod is for root alone, who may connect to the socket.
    const status = async () => ({ type: 'application/json', body: JSON.stringify(await this.#status()) });
    this.#server = new AgentServer({
      calls: new Calls({ plugins, queue: this.#queue, metrics: this.#metrics, limits }),
      metrics: this.#metrics,
      limits,
      http: createPages({ ...pages, '/status': status }),
      report: (call) => this.#report(call),
      handedBack: (request, why) => this.#handedBack(request, why),
      fault: (error) => log.error({ err: error }, 'a fault of the agent'),
      requestMs: options.requestMs ?? DEFAULT_REQUEST_MS,
    });
  }

  /** Resolves when calls are served. Throws FileError, and errors of listen(2). */
  async start(): Promise<void> {
    const { socket, listen, log } = this.#options;
    if (listen !== undefined) {
      // The port can be had by two, so that an agent can take over from one that still runs.
      const at = { ...listen, reusePort: true };
      await listening(this.#publicPages, () => this.#publicPages.listen(at));
    }
    try {
      if (typeof socket === 'number') await listenOnDescriptor(this.#server.server, socket);
      else this.#removeSocket = await listenAt(this.#server.server, socket);
    } catch (error) {
      // Or nobody could tell from outside that calls are not served.
      this.#publicPages.close();
      throw error;
    }
    log.info({ socket, listen }, 'serving');
    for (const part of this.#parts) part.start();
  }

  /** Finishes what runs. What waits, patiently or for its turn, and what comes, goes to the single-file executable. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#removeSocket();
    this.#server.stop();
    this.#queue.stop();
    await Promise.all([this.#server.whenAnswered(), ...this.#parts.map((part) => part.stop())]);
    this.#publicPages.close();
    this.#options.log.info('stopped');
  }

  #readiness() {
    if (this.#stopping) throw new Error('stopping');
    openOwn().close();
    return text('ready');
  }

  #status() {
    const names = this.#options.plugins.map(({ name }) => name);
    const parts = Object.fromEntries(this.#parts.map((part) => [part.name, part.status()]));
    return statusOf(this.#metrics, this.#queue, this.#failures, names, DEFAULT_DATA_DIR).then((status) => ({
      ...status,
      ...parts,
    }));
  }

  #report(call: CallReport): void {
    const { plugin, verb, containerID, ifname, pod, cniCode, message, seconds } = call;
    const ms = Math.round(seconds * 1e6) / 1000;
    const fields = { plugin, verb, containerID, ifname, pod, ms, code: cniCode };
    if (cniCode === 0) {
      this.#options.log.info(fields, 'served');
      return;
    }
    this.#failures.add(call);
    this.#options.log.warn(fields, message ?? 'failed');
  }

  #handedBack(request: ShimRequest, why: NotServed): void {
    const fields = { ...whoseCall(request), reason: why.message, ...(why.cause !== undefined && { err: why.cause }) };
    // That callers give up, or that an agent is stopped, is ordinary.
    if (ORDINARY.has(why.message)) this.#options.log.debug(fields, 'handed back');
    else this.#options.log.warn(fields, 'handed back: the single-file executable does it');
  }
}

const ORDINARY: ReadonlySet<string> = new Set(['caller gone', 'stopping']);
