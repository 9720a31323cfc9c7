import { performance } from 'node:perf_hooks';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { CniCode } from '../lib/cni/errors.ts';
import { VERBS } from '../lib/cni/verbs.ts';
import { VERSION } from '../lib/version.ts';
import { PROCESS_METRICS } from './process-metrics.ts';
import type { Queue } from './queue.ts';
import type { CallReport } from './report.ts';

/** From a quarter of a millisecond, which is what a short call takes, to the longest wait that a config can ask for. */
const BUCKETS_SECONDS = [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 120, 600];

/** The labels come from callers who are root, but an unknown verb must not become a series of its own. */
const KNOWN_VERBS = new Set([...Object.keys(VERBS), 'VERSION']);

/** Why connections are closed unanswered: docs/agent.md explains each. */
export const REFUSALS = [
  'not root',
  'process not visible',
  'caller out of reach',
  'caller gone',
  'timeout',
  'protocol',
  'unknown plugin',
  'stopping',
  'queue full',
  'waited too long',
  'config too large',
  'too many configs',
  'table too large',
  'internal',
] as const;

/** The verbs that every pod has. */
const USUAL_VERBS = ['ADD', 'DEL', 'CHECK'];

/** What is read when the metrics are requested, and the plugins whose calls are counted from the beginning. */
export type Gauged = {
  readonly queue: Queue;
  readonly configBytes: () => number;
  /** Would a shim find this agent? */
  readonly isFound?: () => boolean;
  readonly plugins?: readonly string[];
};

/** What the agent counts, for Prometheus and for `waymark status`. */
export class Metrics {
  readonly registry = new Registry();
  readonly #calls = this.#counter('waymark_requests_total', 'Calls answered', ['plugin', 'verb', 'code']);
  readonly #errors = this.#counter('waymark_errors_total', 'Calls that failed, by error code', ['code']);
  readonly #refused = this.#counter('waymark_connections_refused_total', 'Connections closed unanswered', ['reason']);
  readonly #applied = this.#counter('waymark_changes_applied_total', 'Changes made by ADD', ['plugin', 'op']);
  readonly #undone = this.#counter('waymark_changes_undone_total', 'Changes taken back', ['plugin', 'op']);
  readonly #forgotten = this.#counter('waymark_journals_forgotten_total', 'Journals whose namespace is gone', [
    'plugin',
  ]);
  readonly #durations = new Histogram({
    name: 'waymark_request_duration_seconds',
    help: 'Time from the whole request to its answer, with the wait for its turn',
    labelNames: ['plugin', 'verb'] as const,
    buckets: BUCKETS_SECONDS,
    registers: [this.registry],
  });

  constructor({ queue, configBytes, isFound = () => true, plugins = [] }: Gauged) {
    this.#beginAtZero(plugins);
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers: [this.registry],
        collect() {
          this.set(read());
        },
      });
    gauge('waymark_requests_running', 'Calls that run', () => queue.running);
    gauge('waymark_queue_length', 'Calls that wait for their turn', () => queue.waiting);
    gauge('waymark_requests_patient', 'Calls that wait for what is not there yet', () => queue.patient);
    gauge('waymark_socket_answers', 'Do shims find this agent? 1 or 0', () => (isFound() ? 1 : 0));
    gauge('waymark_config_bytes', 'Configs and variables of all calls that are being read, wait or run', configBytes);
    const info = new Gauge({
      name: 'waymark_build_info',
      help: '1',
      labelNames: ['version'],
      registers: [this.registry],
    });
    info.set({ version: VERSION }, 1);
    gauge(
      'waymark_event_loop_utilization',
      'Share of the time that was spent on work, since it was last asked',
      busyShare(),
    );
    for (const metric of PROCESS_METRICS) metric(this.registry);
    // A gauge with the name of a counter, which promtool refuses. The sum of nodejs_active_resources is the same.
    this.registry.removeSingleMetric('nodejs_active_resources_total');
  }

  countCall({ plugin, verb, cniCode, seconds }: CallReport): void {
    const known = KNOWN_VERBS.has(verb) ? verb : 'other';
    this.#calls.inc({ plugin, verb: known, code: cniCode });
    if (cniCode !== 0) this.#errors.inc({ code: cniCode });
    this.#durations.observe({ plugin, verb: known }, seconds);
  }

  countChanges(what: 'applied' | 'undone', plugin: string, changes: readonly { readonly op: string }[]): void {
    const counter = what === 'applied' ? this.#applied : this.#undone;
    for (const [op, all] of Map.groupBy(changes, (change) => change.op)) counter.inc({ plugin, op }, all.length);
  }

  countForgotten(plugin: string): void {
    this.#forgotten.inc({ plugin });
  }

  countRefused(reason: string): void {
    this.#refused.inc({ reason });
  }

  /** Calls by plugin, verb and code, as they were counted. */
  async calls(): Promise<{ plugin: string; verb: string; code: number; count: number }[]> {
    const { values } = await this.#calls.get();
    const made = values.filter(({ value }) => value > 0);
    return made.map(({ labels, value }) => ({
      plugin: String(labels.plugin),
      verb: String(labels.verb),
      code: Number(labels.code),
      count: value,
    }));
  }

  /** Connections that were closed unanswered, by reason. */
  async refused(): Promise<{ [reason: string]: number }> {
    const { values } = await this.#refused.get();
    return Object.fromEntries(
      values.filter(({ value }) => value > 0).map(({ labels, value }) => [labels.reason, value]),
    );
  }

  /** The upper bounds, in seconds, of the histogram's buckets with how many calls took at most so long; last, infinity. */
  async durations(): Promise<{ atMost: number; count: number }[]> {
    const { values } = await this.#durations.get();
    const counts = new Map([...BUCKETS_SECONDS, Number.POSITIVE_INFINITY].map((bound) => [bound, 0]));
    for (const { labels, value } of values) {
      const { le } = labels as { le?: string | number };
      const bound = le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le);
      if (counts.has(bound)) counts.set(bound, (counts.get(bound) ?? 0) + value);
    }
    return [...counts].map(([atMost, count]) => ({ atMost, count }));
  }

  // The first of something rare is an increase only if there was a zero before it.
  #beginAtZero(plugins: readonly string[]): void {
    for (const plugin of plugins) for (const verb of USUAL_VERBS) this.#calls.inc({ plugin, verb, code: 0 }, 0);
    for (const code of Object.values(CniCode)) this.#errors.inc({ code }, 0);
    for (const reason of REFUSALS) this.#refused.inc({ reason }, 0);
  }

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }
}

function busyShare(): () => number {
  let before = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    return utilization;
  };
}
