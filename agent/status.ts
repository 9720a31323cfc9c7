import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { VERSION } from '../lib/version.ts';
import type { FallbackCount } from './fallbacks.ts';
import type { HotPlugStatus } from './hot-plug.ts';
import type { Metrics } from './metrics.ts';
import type { Queue } from './queue.ts';
import type { CallReport, CallResult } from './report.ts';

/** A call that came to an error. */
export type Failure = Omit<CallReport, keyof CallResult | 'seconds'> & {
  readonly time: string;
};

/** What is kept in place, and why it is not. */
export type InstallationStatus = { readonly binDir: string; readonly mode: string; readonly problem?: string };

/** What `waymark status` shows. Times in seconds; a quantile is the upper bound of the histogram's bucket it is in. */
export type Status = {
  readonly version: string;
  readonly pid: number;
  readonly uptimeSeconds: number;
  readonly requests: number;
  readonly errors: number;
  readonly running: number;
  readonly waiting: number;
  readonly patient: number;
  readonly memoryBytes: number;
  readonly latencySeconds: { readonly [quantile: string]: number | null };
  readonly calls: readonly { plugin: string; verb: string; code: number; count: number }[];
  /** Connections that were closed unanswered, by reason. Absent in agents before it was counted here. */
  readonly refused?: { readonly [reason: string]: number };
  /** Calls that shims ran in the single-file executable. Absent in agents of versions that did not count them. */
  readonly fallbacks?: FallbackCount;
  readonly journals: { readonly [plugin: string]: number };
  /** Attachments by state, as of the last look. Absent in agents of versions that do not look. */
  readonly attachments?: { readonly [state: string]: number };
  readonly lastFailures: readonly Failure[];
  /** How often memory was given back. Absent in agents of versions that do not give it back. */
  readonly memory?: { readonly collections: number };
  /** What the agent keeps in place on its node, where it does, and what is not. */
  readonly installation?: InstallationStatus;
  /** Where the agent follows the pods of its node. */
  readonly hotPlug?: HotPlugStatus;
};

const FAILURES_KEPT = 20;
const QUANTILES = [0.5, 0.9, 0.99];

/** Keeps what the metrics do not: the last failures. */
export class Failures {
  readonly #last: Failure[] = [];

  add({ plugin, verb, containerID, ifname, pod, network, cniCode, message, details }: CallReport): void {
    const time = new Date().toISOString();
    this.#last.unshift({ time, plugin, verb, containerID, ifname, pod, network, cniCode, message, details });
    this.#last.splice(FAILURES_KEPT);
  }

  /** The newest first. */
  list(): readonly Failure[] {
    return this.#last;
  }
}

/** The agent's state as one document; `dataDir` is where the journals are unless a config says otherwise. */
export async function statusOf(
  metrics: Metrics,
  queue: Queue,
  failures: Failures,
  plugins: readonly string[],
  dataDir: string,
): Promise<Status> {
  const calls = await metrics.calls();
  const durations = await metrics.durations();
  const sum = (of: typeof calls) => of.reduce((total, { count }) => total + count, 0);
  return {
    version: VERSION,
    pid: process.pid,
    uptimeSeconds: Math.round(process.uptime()),
    requests: sum(calls),
    errors: sum(calls.filter(({ code }) => code !== 0)),
    running: queue.running,
    waiting: queue.waiting,
    patient: queue.patient,
    memoryBytes: process.memoryUsage.rss(),
    latencySeconds: Object.fromEntries(QUANTILES.map((q) => [`p${q * 100}`, quantile(durations, q)])),
    calls,
    refused: await metrics.refused(),
    journals: Object.fromEntries(plugins.map((plugin) => [plugin, journalsIn(join(dataDir, plugin))])),
    lastFailures: failures.list(),
  };
}

/** The upper bound of the bucket that a quantile falls into; null without any calls, or beyond the last bound. */
export function quantile(buckets: readonly { atMost: number; count: number }[], q: number): number | null {
  const total = buckets.at(-1)?.count ?? 0;
  const bound = buckets.find(({ count }) => count >= q * total)?.atMost;
  return total === 0 || bound === undefined || bound === Number.POSITIVE_INFINITY ? null : bound;
}

function journalsIn(folder: string): number {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.json')).length;
  } catch {
    // No attachment yet, so no folder.
    return 0;
  }
}
