import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, compileMeasure, measure, type Sample } from './measure.ts';
import { install } from './ours.ts';
import type { Samples } from './table.ts';

/** A command that is measured under a name, or only run, without one: it puts things back between others. */
export type Step = Command & { readonly name?: string };

/** What every bench works with: a folder and a pod of the run's own, which go at its end. */
export class Bench {
  readonly rounds: number;
  readonly folder: string;
  /** The single-file executables, and where their journals go. */
  readonly executables: string;
  readonly dataDir: string;
  /** `eth0` with 10.131.0.5/23 and its other end up. */
  readonly pod: string;
  readonly #measurer: string;
  readonly #namespaces: string[] = [];

  constructor(rounds: number) {
    this.rounds = rounds;
    this.folder = mkdtempSync(join(tmpdir(), 'waymark-bench-'));
    this.dataDir = join(this.folder, 'data');
    this.executables = install(join(this.folder, 'bin'));
    this.#measurer = compileMeasure(this.folder);
    this.pod = this.namespace('pod', ['link add eth0 type veth peer name peer', 'address add 10.131.0.5/23 dev eth0']);
    this.setUp(this.pod, ['link set peer up', 'link set eth0 up']);
  }

  close(): void {
    for (const name of this.#namespaces) spawnSync('ip', ['netns', 'del', name]);
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
    const env = { PATH: process.env.PATH ?? '', ...command.env };
    return measure(this.#measurer, { ...command, env }).all;
  }

  /**
   * Runs the steps round by round, so that a machine which gets slower makes all of them slower. The first round is not
   * counted.
   */
  repeat(steps: readonly Step[], rounds = this.rounds): Samples {
    const samples = new Map<string, Sample[]>(steps.flatMap(({ name }) => (name === undefined ? [] : [[name, []]])));
    for (let round = 0; round <= rounds; round++) {
      for (const step of steps) {
        const sample = this.run(step);
        if (round > 0 && step.name !== undefined) samples.get(step.name)?.push(sample);
      }
    }
    return samples;
  }
}
