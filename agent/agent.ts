import type { Server } from 'node:http';
import type { Logger } from 'pino';
import { DEFAULT_DATA_DIR } from '../lib/cni/config.ts';
import type { Plugin } from '../lib/cni/runner.ts';
import { DEFAULT_ROUTE } from '../lib/default-route/default-route.ts';
import { createPages, type Page, text } from '../lib/http/pages.ts';
import { openOwn } from '../lib/plugin/pod.ts';
import { Calls } from './calls.ts';
import { countedFallbacks, fallbacksFile, registerFallbacks } from './fallbacks.ts';
import type { AgentLimits } from './limits.ts';
import { Listener } from './listener.ts';
import { Metrics } from './metrics.ts';
import type { AgentPart } from './part.ts';
import { INSTANCE_PAGE } from './presence.ts';
import type { ShimRequest } from './protocol.ts';
import { type NotServed, Queue } from './queue.ts';
import { type CallReport, whoseCall } from './report.ts';
import { AgentServer } from './server.ts';
import { listening } from './socket-file.ts';
import { Failures, statusOf } from './status.ts';
import { Sweep } from './sweep.ts';

export type AgentOptions = {
  readonly plugins: readonly Plugin[];
  /** Where shims connect. */
  readonly socket: string;
  /** A descriptor that is listened on already, at that path: by systemd. */
  readonly descriptor?: number | undefined;
  /** Health, readiness and metrics over TCP, beside the socket. */
  readonly listen?: { host: string; port: number } | undefined;
  readonly limits: AgentLimits;
  readonly log: Logger;
  /** How long a client may take to say what it wants, and to take the answer. */
  readonly requestMs?: number;
  /** What runs beside the calls. */
  readonly parts?: readonly AgentPart[];
  /** How often it looks whether shims find it. */
  readonly checkMs?: number;
  /** Where the journals are unless a config says otherwise. */
  readonly dataDir?: string;
  /** How often it looks for journals whose namespace is gone. */
  readonly sweepMs?: number;
  /** Called whenever a shim would have found it and got an answer: at start, and every `checkMs`. */
  readonly found?: () => void;
};

/** A client that has not said by then what it wants does not want anything. */
const DEFAULT_REQUEST_MS = 10_000;

/** For so long, at most, shims go to the executable because somebody has removed the socket. */
const DEFAULT_CHECK_MS = 5000;

/** Such journals do no harm. */
const DEFAULT_SWEEP_MS = 600_000;

/** The node's resident half: serves the calls of shims until it is stopped. */
export class Agent {
  readonly #options: AgentOptions;
  readonly #queue: Queue;
  readonly #metrics: Metrics;
  readonly #failures = new Failures();
  readonly #calls: Calls;
  readonly #server: AgentServer;
  readonly #listener: Listener;
  readonly #publicPages: Server;
  readonly #parts: readonly AgentPart[];
  readonly #sweep: Sweep;
  #stopping = false;

  constructor(options: AgentOptions) {
    const { plugins, limits, log } = options;
    this.#options = options;
    this.#queue = new Queue(limits);
    const names = plugins.map(({ name }) => name);
    this.#metrics = new Metrics({
      queue: this.#queue,
      configBytes: () => this.#server.configBytes,
      isFound: () => this.#listener.isFound,
      plugins: names,
    });
    this.#sweep = new Sweep({
      dataDir: options.dataDir ?? DEFAULT_DATA_DIR,
      plugins: [...names, DEFAULT_ROUTE],
      log,
      forgotten: (plugin) => this.#metrics.countForgotten(plugin),
      everyMs: options.sweepMs ?? DEFAULT_SWEEP_MS,
    });
    this.#parts = options.parts ?? [];
    for (const part of this.#parts) part.register(this.#metrics.registry);
    registerFallbacks(this.#metrics.registry, fallbacksFile(options.socket));
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
    this.#listener = new Listener({
      path: options.socket,
      descriptor: options.descriptor,
      makeServer: () => this.#server.makeServer(),
      log,
      checkMs: options.checkMs ?? DEFAULT_CHECK_MS,
      found: options.found,
    });
    const instance = async () => text(this.#listener.instance);
    this.#calls = new Calls({ plugins, queue: this.#queue, metrics: this.#metrics, limits });
    this.#server = new AgentServer({
      calls: this.#calls,
      metrics: this.#metrics,
      limits,
      http: createPages({ ...pages, '/status': status, [INSTANCE_PAGE]: instance, ...this.#partsPages() }),
      report: (call) => this.#report(call),
      handedBack: (request, why) => this.#handedBack(request, why),
      fault: (error) => log.error({ err: error }, 'a fault of the agent'),
      requestMs: options.requestMs ?? DEFAULT_REQUEST_MS,
    });
  }

  /** Rejects when shims cannot find the agent any more, and it cannot help it. */
  get lost(): Promise<never> {
    return this.#listener.lost;
  }

  /** Resolves when calls are served. Throws AddonError, NetlinkError, FileError, and errors of listen(2). */
  async start(): Promise<void> {
    const { socket, listen, log } = this.#options;
    // What keeps every call from being served must not show at the first one.
    openOwn().close();
    if (listen !== undefined) {
      // The port can be had by two, so that an agent can take over from one that still runs.
      const at = { ...listen, reusePort: true };
      await listening(this.#publicPages, () => this.#publicPages.listen(at));
    }
    try {
      await this.#listener.start();
    } catch (error) {
      // Or nobody could tell from outside that calls are not served.
      this.#publicPages.close();
      throw error;
    }
    log.info({ socket, listen }, 'serving');
    for (const part of this.#parts) part.start();
    this.#sweep.start();
  }

  /** Finishes what runs. What waits, patiently or for its turn, and what comes, goes to the single-file executable. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#listener.stop();
    this.#server.stop();
    this.#calls.stop();
    const parts = [this.#sweep, ...this.#parts];
    await Promise.all([this.#server.whenAnswered(), ...parts.map((part) => part.stop())]);
    this.#publicPages.close();
    this.#options.log.info('stopped');
  }

  #partsPages(): { [path: string]: Page } {
    return Object.assign({}, ...this.#parts.map((part) => part.pages ?? {}));
  }

  async #readiness() {
    if (this.#stopping) throw new Error('stopping');
    openOwn().close();
    const { who, why } = await this.#listener.check();
    if (who !== 'self') throw new Error(why);
    const problem = this.#parts.map((part) => part.problem?.()).find((each) => each !== undefined);
    if (problem !== undefined) throw new Error(problem);
    return text('ready');
  }

  #status() {
    const names = this.#options.plugins.map(({ name }) => name);
    const parts = Object.fromEntries(this.#parts.map((part) => [part.name, part.status()]));
    return statusOf(this.#metrics, this.#queue, this.#failures, names, this.#options.dataDir ?? DEFAULT_DATA_DIR).then(
      (status) => ({
        ...status,
        fallbacks: countedFallbacks(fallbacksFile(this.#options.socket)),
        ...parts,
      }),
    );
  }

  #report(call: CallReport): void {
    const { plugin, verb, containerID, ifname, pod, network, cniCode, message, details, seconds } = call;
    const ms = Math.round(seconds * 1e6) / 1000;
    const fields = { plugin, verb, containerID, ifname, pod, network, ms, code: cniCode };
    if (cniCode === 0) {
      this.#options.log.info(fields, 'served');
      if (verb === 'ADD' && pod !== undefined) for (const part of this.#parts) part.attached?.(plugin, pod);
      return;
    }
    this.#failures.add(call);
    this.#options.log.warn({ ...fields, details }, message ?? 'failed');
  }

  #handedBack(request: ShimRequest, why: NotServed): void {
    const fields = { ...whoseCall(request), reason: why.message, ...(why.cause !== undefined && { err: why.cause }) };
    // That callers give up, or that an agent is stopped, is ordinary.
    if (ORDINARY.has(why.message)) this.#options.log.debug(fields, 'handed back');
    else this.#options.log.warn(fields, 'handed back: the single-file executable does it');
  }
}

const ORDINARY: ReadonlySet<string> = new Set(['caller gone', 'stopping']);
