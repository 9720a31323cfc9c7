import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BenchAgent } from './agent.ts';
import { install } from './executables.ts';
import { type Command, compileMeasure, measure, measureRounds, type Sample } from './measure.ts';
import type { Samples } from './table.ts';

/** A command that is measured under a name, or only run, without one: it puts things back between others. */
export type Step = Command & {
  readonly name?: string;
  /** Who does the work: its CPU time is counted too. */
  readonly agent?: BenchAgent;
  /** What comes after it, and is measured with it. */
  readonly then?: readonly Command[];
};

/** What every bench works with: a folder and a pod of the run's own, which go at its end. */
export class Bench {
  readonly rounds: number;
  readonly folder: string;
  /** The single-file executables. */
  readonly executables: string;
  /** Where journals go, and what peers remember: in memory, as /run is on a node. */
  readonly dataDir: string;
  /** `eth0` with 10.131.0.5/23 and its other end up. */
  readonly pod: string;
  readonly #measurer: string;
  readonly #namespaces: string[] = [];
  #pods: readonly string[] = [];

  constructor(rounds: number) {
    this.rounds = rounds;
    this.folder = mkdtempSync(join(tmpdir(), 'waymark-bench-'));
    this.#measurer = compileMeasure(this.folder);
    this.dataDir = this.#memoryFolder();
    this.executables = install(join(this.folder, 'bin'));
    this.pod = this.#makePod('pod');
  }

  close(): void {
    for (const name of this.#namespaces) spawnSync('ip', ['netns', 'del', name]);
    spawnSync('umount', [this.dataDir]);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Makes a network namespace and runs commands of `ip` in it; its full name. */
  namespace(name: string, commands: readonly string[]): string {
    const full = `wm-bench-${process.pid}-${name}`;
    this.run({ program: 'ip', args: ['netns', 'add', full] });
    this.#namespaces.push(full);
    this.setUp(full, ['link set lo up', ...commands]);
    return full;
  }

  /** As many pods as that, like the one above, numbered from 0 on; what their names begin with. */
  pods(count: number): string {
    if (this.#pods.length === 0) this.#pods = Array.from({ length: count }, (_, i) => this.#makePod(`pod${i}`));
    return `wm-bench-${process.pid}-pod`;
  }

  #memoryFolder(): string {
    const path = join(this.folder, 'run');
    mkdirSync(path, { mode: 0o700 });
    this.run({ program: 'mount', args: ['-t', 'tmpfs', '-o', 'mode=0700', 'tmpfs', path] });
    return path;
  }

  #makePod(name: string): string {
    return this.namespace(name, [
      'link add eth0 type veth peer name peer',
      'address add 10.131.0.5/23 dev eth0',
      'link set peer up',
      'link set eth0 up',
    ]);
  }

  /** Starts an agent, and stops it when `use` has ended. */
  withAgent<T>(use: (agent: BenchAgent) => T): T {
    const agent = new BenchAgent(join(this.executables, 'waymark'), mkdtempSync(join(this.folder, 'agent-')));
    try {
      return use(agent);
    } finally {
      agent.stop();
    }
  }

  setUp(namespace: string, commands: readonly string[]): void {
    for (const command of commands) this.run({ program: 'ip', args: ['-n', namespace, ...command.split(' ')] });
  }

  /** A file of the run's folder with this content; its path. */
  file(name: string, content: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  /** Runs a command that must succeed. */
  run(command: Command): Sample {
    return this.runAll(command, 1).all;
  }

  /** Runs it in so many processes at once: each, and all together. */
  runAll(command: Command, processes: number): { each: Sample[]; all: Sample } {
    const env = { PATH: process.env.PATH ?? '', ...command.env };
    return measure(this.#measurer, { ...command, env }, processes);
  }

  /**
   * Runs the steps round by round, so that a machine which gets slower makes all of them slower. The first round is not
   * counted. Of an agent's CPU time, each of its steps has an equal share.
   */
  repeat(steps: readonly Step[], rounds = this.rounds): Samples {
    const agents = [...new Set(steps.flatMap(({ agent }) => agent ?? []))];
    const before = agents.map((agent) => agent.cpuMs());
    const taken = this.#rounds(steps, rounds + 1);
    const share = (agent: BenchAgent) => {
      const used = agent.cpuMs() - (before[agents.indexOf(agent)] ?? 0);
      return used / (rounds + 1) / steps.filter((step) => step.agent === agent).length;
    };
    return new Map(
      steps.flatMap(({ name, agent }, place) => {
        if (name === undefined) return [];
        const ofAgent = agent === undefined ? 0 : share(agent);
        const samples = taken[place]?.slice(1) ?? [];
        return [[name, samples.map((sample) => ({ ...sample, cpuMs: sample.cpuMs + ofAgent }))]];
      }),
    );
  }

  // What comes after a step is measured with it.
  #rounds(steps: readonly Step[], rounds: number): Sample[][] {
    const parts = steps.map((step) => [step, ...(step.then ?? [])]);
    const commands = parts
      .flat()
      .map((command) => ({ ...command, env: { PATH: process.env.PATH ?? '', ...command.env } }));
    const samples = measureRounds(this.#measurer, commands, rounds, join(this.folder, 'plan'));
    return parts.map((part) => {
      const own = samples.splice(0, part.length);
      return Array.from({ length: rounds }, (_, round) => together(own.flatMap((series) => series[round] ?? [])));
    });
  }
}

function together(samples: readonly Sample[]): Sample {
  return {
    wallMs: samples.reduce((sum, { wallMs }) => sum + wallMs, 0),
    cpuMs: samples.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    peakMiB: Math.max(...samples.map(({ peakMiB }) => peakMiB)),
  };
}
