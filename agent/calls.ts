import { CniCode, CniError } from '../lib/cni/errors.ts';
import { type Plugin, run } from '../lib/cni/runner.ts';
import { CURRENT_VERSION } from '../lib/cni/version.ts';
import { callerOf } from './caller.ts';
import type { Metrics } from './metrics.ts';
import type { ShimRequest } from './protocol.ts';
import { NotBegun, Overload, type Queue } from './queue.ts';
import { type CallReport, type CallResult, reportOf } from './report.ts';

/** Serves the calls of the plugins in this process. */
export class Calls {
  readonly #plugins: ReadonlyMap<string, Plugin>;
  readonly #queue: Queue;
  readonly #metrics: Metrics;

  constructor(plugins: readonly Plugin[], queue: Queue, metrics: Metrics) {
    this.#plugins = new Map(plugins.map((plugin) => [plugin.name, plugin]));
    this.#queue = queue;
    this.#metrics = metrics;
  }

  serves(name: string): boolean {
    return this.#plugins.has(name);
  }

  /**
   * Runs a call when it is its container's turn. `isGone` tells whether the caller is still there: a call whose caller
   * gave up and went to the single-file executable must not begin any more. Throws NotBegun for it, and for one whose files
   * and network we cannot look at; all else is an answer.
   */
  async serve(request: ShimRequest, pid: number, isGone: () => boolean): Promise<CallReport> {
    const started = performance.now();
    const result = await this.#inTurn(request, pid, isGone);
    const report = reportOf(request, result, (performance.now() - started) / 1000);
    this.#metrics.countCall(report);
    return report;
  }

  async #inTurn(request: ShimRequest, pid: number, isGone: () => boolean): Promise<CallResult> {
    // Those without a container are of a network, and look at the journals of all its containers.
    const key = request.env.CNI_CONTAINERID || request.plugin;
    try {
      return await this.#queue.run(key, () => this.#run(request, pid, isGone));
    } catch (error) {
      if (error instanceof NotBegun) throw error;
      return failure(error instanceof Overload ? CniCode.tryAgainLater : CniCode.internal, (error as Error).message);
    }
  }

  async #run({ plugin: name, env, stdin }: ShimRequest, pid: number, isGone: () => boolean): Promise<CallResult> {
    const plugin = this.#plugins.get(name);
    if (plugin === undefined) throw new Error(`there is no plugin "${name}"`);
    const caller = openCaller(pid, isGone);
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
        pacing: { breathe, counted: (what, changes) => this.#metrics.countChanges(what, name, changes) },
        place: caller,
      });
      return { code, stdout, stderr };
    } finally {
      caller.close();
    }
  }
}

// If the caller is still there now, what was opened before is its own, and not that of another with its process id.
function openCaller(pid: number, isGone: () => boolean) {
  let caller: ReturnType<typeof callerOf>;
  try {
    caller = callerOf(pid);
  } catch (cause) {
    if (isGone()) throw new NotBegun('caller gone');
    throw new NotBegun('caller out of reach', { cause });
  }
  if (!isGone()) return caller;
  caller.close();
  throw new NotBegun('caller gone');
}

// Between the slices of a long list, the other calls have their turn.
function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function failure(code: CniCode, message: string): CallResult {
  const document = new CniError(code, message).toDocument(CURRENT_VERSION);
  return { code: 1, stdout: `${JSON.stringify(document, undefined, 4)}\n`, stderr: '' };
}
