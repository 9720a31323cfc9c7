import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runTest } from './copy.ts';

// Which test runs which part of which source, by the coverage that the engine reports. It is kept for the next run, and
// asked again of a test that has changed.

/** What a test did without any fault: `[start, end, …]` are the offsets that it ran of a source of this hash. */
export type Reach = {
  readonly hash: string;
  readonly passed: boolean;
  readonly seconds: number;
  readonly sources: { readonly [file: string]: { readonly hash: string; readonly ranges: readonly number[] } };
};
export type Reaches = { [test: string]: Reach };

/** A test that takes longer is asked only about the file whose name it has. */
const SECONDS_OF_A_TEST = 30;

/** What is known, of all tests of the tree at `root`, from `file`. One that failed, or was too slow, is tried again: the machine may have been busy. */
export function knownReaches(root: string, file: string): Reaches {
  const known: Reaches = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  const isOfNow = (test: string) => existsSync(join(root, test)) && hashOf(readFileSync(join(root, test)));
  return Object.fromEntries(
    Object.entries(known).filter(([test, { hash, passed }]) => passed && hash === isOfNow(test)),
  );
}

/** Finds out what a test reaches, in a copy without a fault, and keeps it in `file`. */
export async function learnReach(copy: string, test: string, known: Reaches, file: string): Promise<Reach> {
  // Nobody else begins with it meanwhile.
  known[test] = { hash: '', passed: false, seconds: 0, sources: {} };
  const reach = await measure(copy, test);
  known[test] = reach;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify(known));
  if (!reach.passed) console.log(`not asked, since it fails or is slow: ${test}`);
  return reach;
}

/** Whether a test runs the code at this place. It is said to if the source was another one when it was asked. */
export function reaches(reach: Reach, file: string, source: string, offset: number): boolean {
  const found = reach.sources[file];
  if (found === undefined || found.hash !== hashOf(source)) return found !== undefined;
  return found.ranges.some((start, i) => i % 2 === 0 && start <= offset && offset < (found.ranges[i + 1] ?? 0));
}

async function measure(copy: string, test: string): Promise<Reach> {
  const { passed, seconds, coverage } = await runTest(copy, test, SECONDS_OF_A_TEST, true);
  const marks = new Map<string, Uint8Array>();
  for (const name of readdirSync(coverage)) mark(marks, copy, join(coverage, name));
  rmSync(coverage, { recursive: true });
  const sources = [...marks].map(([file, covered]) => {
    const hash = hashOf(readFileSync(join(copy, file)));
    return [file, { hash, ranges: rangesOf(covered) }] as const;
  });
  return { hash: hashOf(readFileSync(join(copy, test))), passed, seconds, sources: Object.fromEntries(sources) };
}

type Range = { readonly startOffset: number; readonly endOffset: number; readonly count: number };
type Script = { readonly url: string; readonly functions: readonly { readonly ranges: readonly Range[] }[] };

// The innermost range decides. A file that a killed process left half written says nothing. A module that a test gave mocks has a
// query in its URL.
function mark(marks: Map<string, Uint8Array>, copy: string, path: string): void {
  for (const { url, functions } of scriptsIn(path)) {
    const file = url.replace(`file://${copy}/`, '').replace(/\?.*$/, '');
    if (!/^(?:lib|plugins|agent|cli|controller)\//.test(file)) continue;
    const ranges = functions.flatMap((one) => one.ranges);
    ranges.sort((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset);
    const ran = new Uint8Array(Math.max(0, ...ranges.map(({ endOffset }) => endOffset)));
    for (const { startOffset, endOffset, count } of ranges) ran.fill(count > 0 ? 1 : 0, startOffset, endOffset);
    const before = marks.get(file) ?? new Uint8Array(ran.length);
    marks.set(
      file,
      ran.map((one, at) => one | (before[at] ?? 0)),
    );
  }
}

function scriptsIn(path: string): readonly Script[] {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).result;
  } catch {
    return [];
  }
}

function rangesOf(covered: Uint8Array): number[] {
  const edges = [...covered].flatMap((one, at) => (one === (covered[at - 1] ?? 0) ? [] : [at]));
  return edges.length % 2 === 0 ? edges : [...edges, covered.length];
}

function hashOf(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex').slice(0, 16);
}
