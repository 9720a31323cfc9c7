import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What one process took, from its start to its end: wall time, user and system time, and its peak of memory. */
export type Sample = { readonly wallMs: number; readonly cpuMs: number; readonly peakMiB: number };

/** A program to run, as a runtime would: with these variables and no others, and a file as stdin. */
export type Command = {
  readonly program: string;
  readonly args: readonly string[];
  readonly stdin?: string;
  readonly env?: { readonly [name: string]: string };
};

/** The measuring program, compiled into a folder. */
export function compileMeasure(folder: string): string {
  const out = join(folder, 'measure');
  // Static, since a child's peak is never below that of the process that started it.
  execFileSync('cc', [
    '-static',
    '-O2',
    '-Wall',
    '-Wextra',
    '-Werror',
    join(import.meta.dirname, 'measure.c'),
    '-o',
    out,
  ]);
  return out;
}

/**
 * Runs a command in so many processes at once: what each took, and what all of them took together (wall time from the first
 * start to the last end, the sum of their CPU times, and the highest sum of the peaks of those that lived at one time). `{n}`
 * in the command is each one's number. Throws, with what they said, if one fails.
 */
export function measure(measurer: string, command: Command, processes = 1): { each: Sample[]; all: Sample } {
  const { program, args, stdin = '/dev/null', env = {} } = command;
  const ran = spawnSync(measurer, [String(processes), stdin, program, ...args], {
    encoding: 'utf8',
    env,
    maxBuffer: 1 << 28,
  });
  if (ran.status !== 0) throw new Error(ran.error?.message ?? ran.stderr.slice(0, 2000));
  const samples = ran.stdout.trim().split('\n').map(parseSample);
  const all = samples.pop();
  if (all === undefined) throw new Error(`${program}: nothing was measured`);
  return { each: samples, all };
}

/**
 * Runs commands one after another, for so many rounds, in one go: what a program of ours does between two of them would make
 * the caches cold that each of them finds. The samples of each command, in the order of the rounds. Throws, with what they
 * said, if one fails.
 */
export function measureRounds(
  measurer: string,
  commands: readonly Command[],
  rounds: number,
  plan: string,
): Sample[][] {
  writeFileSync(plan, planText(commands));
  const ran = spawnSync(measurer, ['rounds', `${rounds}`, plan], { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (ran.status !== 0) throw new Error(ran.error?.message ?? ran.stderr.slice(0, 2000));
  return parseSamples(ran.stdout, commands.length);
}

/** A plan for `measure rounds`. */
export function planText(commands: readonly Command[]): string {
  const texts = commands.flatMap(({ program, args, stdin = '/dev/null', env = {} }) => {
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    return [stdin, `${args.length + 1}`, program, ...args, `${variables.length}`, ...variables];
  });
  return texts.map((text) => `${text}\0`).join('');
}

/** What `measure rounds` prints, by command. */
export function parseSamples(printed: string, commands: number): Sample[][] {
  const samples = printed.trim().split('\n').map(parseSample);
  return Array.from({ length: commands }, (_, place) => samples.filter((_, i) => i % commands === place));
}

/** When the first of the processes was started that `measure rounds` prints, in milliseconds since the epoch. */
export function firstStart(printed: string): number {
  return Number(printed.split('\n')[0]?.split(' ')[3]) / 1000;
}

function parseSample(line: string): Sample {
  const [wall = Number.NaN, cpu = Number.NaN, peak = Number.NaN] = line.split(' ').map(Number);
  return { wallMs: wall / 1000, cpuMs: cpu / 1000, peakMiB: peak / 1024 };
}
