import { type Pacing, type Plugin, run } from '../lib/cni/runner.ts';
import { DumpTooLarge } from '../lib/netlink/errors.ts';
import { breathe } from './breathe.ts';
import { callerOf } from './caller.ts';
import { type AgentLimits, Budget, LARGE_CONFIG_BYTES } from './limits.ts';
import type { Metrics } from './metrics.ts';
import type { ShimRequest } from './protocol.ts';
import { NotServed, Queue, type Turn } from './queue.ts';
import { type CallReport, type CallResult, reportOf } from './report.ts';

/** Who calls, and whether it is still there: one that gave up goes to the single-file executable. */
export type Client = {
  readonly pid: number;
  isGone(): boolean;
  /** Registers what is called when it goes; returns what takes that back. */
  onGone(listener: () => void): () => void;
};

export type CallsOptions = {
  readonly plugins: readonly Plugin[];
  readonly queue: Queue;
  readonly metrics: Metrics;
  readonly limits: Pick<
    AgentLimits,
    'allConfigsBytes' | 'dumpBytes' | 'annotationSeconds' | 'waiting' | 'waitMs' | 'protectedPrefixes'
  >;
};

/** What is seen of a call beside its answer. */
type Seen = { network?: string; details?: string | undefined };

/** Serves the calls of the plugins in this process. */
export class Calls {
  readonly #plugins: ReadonlyMap<string, Plugin>;
  readonly #options: CallsOptions;
  /** Patient calls hold no more than half of what all may, so that there is room for those that are done at once. */
  readonly #patience: Budget;
  /**
   * Calls of plugins that run others have places and keys of their own: what they run may be a call of ours for the same
   * container.
   */
  readonly #outer: Queue;

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#plugins = new Map(options.plugins.map((plugin) => [plugin.name, plugin]));
    this.#patience = new Budget(options.limits.allConfigsBytes / 2);
    const { waiting, waitMs } = options.limits;
    this.#outer = new Queue({ running: waiting, waiting, waitMs });
  }

  serves(name: string): boolean {
    return this.#plugins.has(name);
  }

  /** Ends all waiting, and nothing that waits is begun. */
  stop(): void {
    this.#options.queue.stop();
    this.#outer.stop();
  }

  /**
   * Runs a call when it is its container's turn. Throws NotServed where the caller has gone or is out of reach, or where
   * the call exceeds the agent's limits; all else is an answer.
   */
  async serve(request: ShimRequest, client: Client): Promise<CallReport> {
    const started = performance.now();
    // Those without a container are of a network, and look at the journals of all its containers.
    const key = request.env.CNI_CONTAINERID || request.plugin;
    const large = request.stdin.length > LARGE_CONFIG_BYTES;
    const queue = this.#plugins.get(request.plugin)?.runsOthers ? this.#outer : this.#options.queue;
    const seen: Seen = {};
    const result = await queue.run(key, (turn) => this.#run(request, client, turn, seen), { large });
    const report = reportOf(request, result, { seconds: (performance.now() - started) / 1000, ...seen });
    this.#options.metrics.countCall(report);
    return report;
  }

  async #run({ plugin: name, env, stdin }: ShimRequest, client: Client, turn: Turn, seen: Seen): Promise<CallResult> {
    const plugin = this.#plugins.get(name);
    if (plugin === undefined) throw new Error(`there is no plugin "${name}"`);
    const caller = openCaller(client);
    let stdout = '';
    let stderr = '';
    try {
      const code = await run(plugin, {
        env,
        args: [],
        readStdin: () => stdin,
        writeStdout: (text) => {
          stdout += text;
        },
        writeStderr: (text) => {
          stderr += text;
        },
        pacing: this.#pacing(name, stdin.length, client, turn),
        place: caller,
        began: ({ network }) => {
          seen.network = network;
        },
        failed: (details) => {
          seen.details = details;
        },
        abandons: (error) => error instanceof NotServed || error instanceof DumpTooLarge,
      });
      return { code, stdout, stderr };
    } catch (error) {
      throw error instanceof DumpTooLarge ? new NotServed('table too large', { cause: error }) : error;
    } finally {
      caller.close();
    }
  }

  #pacing(plugin: string, configBytes: number, client: Client, turn: Turn): Pacing {
    const { metrics, limits } = this.#options;
    return {
      breathe,
      betweenSteps: configBytes > LARGE_CONFIG_BYTES ? breathe : undefined,
      counted: (what, changes) => metrics.countChanges(what, plugin, changes),
      dumpBytes: limits.dumpBytes,
      annotationSeconds: limits.annotationSeconds,
      protectedPrefixes: limits.protectedPrefixes,
      pause: async (ms) => {
        if (client.isGone()) throw new NotServed('caller gone');
        if (!this.#patience.take(configBytes)) throw new NotServed('too many configs');
        try {
          await turn.pause(ms, (listener) => client.onGone(listener));
        } finally {
          this.#patience.give(configBytes);
        }
      },
    };
  }
}

/**
 * The caller's files and namespace. If it is still there afterwards, what was opened is its own, and not that of another with
 * its process id. Throws NotServed.
 */
export function openCaller(client: Pick<Client, 'pid' | 'isGone'>): ReturnType<typeof callerOf> {
  let caller: ReturnType<typeof callerOf>;
  try {
    caller = callerOf(client.pid);
  } catch (cause) {
    if (client.isGone()) throw new NotServed('caller gone');
    throw new NotServed('caller out of reach', { cause });
  }
  if (!client.isGone()) return caller;
  caller.close();
  throw new NotServed('caller gone');
}
