import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildAddon, makeCopy, runTest, succeedsIn } from './mutants/copy.ts';
import { type Mutant, mutantsOf, withMutant } from './mutants/mutate.ts';
import { knownReaches, learnReach, reaches } from './mutants/reach.ts';
import { inTurns, randomNumbers } from './mutants/sample.ts';
import { ADDON_SOURCES, guessSeconds, isNear, isOwn, testsFor, usersOf } from './mutants/tests.ts';

// Asks the tests whether they would see a fault: makes small faults in copies of the tree, one at a time in each, and runs
// the tests that reach it, the nearest first, until one fails. Prints every fault that none of them saw, and the share
// that was seen.
//
//   node scripts/mutants.ts [--count 100] [--seed 1] [--piece 1/4] [--tests 16] [--learn 6] [--jobs 2]
//     [--only <path prefix>]
//
// `--tests` is how many tests are asked about a fault, `--learn` of how many it may be found out what they reach.
// A piece is every fourth (or nth) fault of the sample, so that a long one can be taken in several runs; `--count` is
// then of the piece. A fault that the compiler refuses does not count.

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    piece: { type: 'string', default: '1/1' },
    tests: { type: 'string', default: '16' },
    learn: { type: 'string', default: '6' },
    jobs: { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
  },
});

type Fault = { readonly file: string; readonly source: string; readonly mutant: Mutant };

const ROOT = join(import.meta.dirname, '..');
const KEPT = join(ROOT, 'node_modules/.cache/waymark-mutants.json');
/** How many tests that are near a fault are asked before it is known what they reach. */
const AT_ONCE = 3;
const SOURCES = /^(?:lib|plugins|agent|cli|controller|native)\/(?!fuzz\/).*\.(?:ts|c)$/;

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.chdir(ROOT);
const files = execFileSync('git', ['ls-files', '-z'], { encoding: 'utf8' }).split('\0').filter(Boolean);
const users = usersOf(files);
const known = knownReaches(ROOT, KEPT);
const isGreen = new Map<string, boolean>();
const outcomes = { seen: 0, unseen: 0 };
const sample = piece(inTurns(candidates(), randomNumbers(Number(values.seed))));
await Promise.all(Array.from({ length: Number(values.jobs) }, work));
const total = outcomes.seen + outcomes.unseen;
console.log(`\n${outcomes.seen} of ${total} faults were seen: ${((100 * outcomes.seen) / total).toFixed(1)} %`);

function candidates(): Fault[] {
  const sources = files.filter((file) => SOURCES.test(file) && file.startsWith(values.only));
  return sources.flatMap((file) => {
    const source = readFileSync(file, 'utf8');
    return mutantsOf(file, source).map((mutant) => ({ file, source, mutant }));
  });
}

function piece<T>(faults: readonly T[]): T[] {
  const [number = 1, of = 1] = values.piece.split('/').map(Number);
  return faults.filter((_, index) => index % of === number - 1);
}

async function work(): Promise<void> {
  const copy = makeCopy(ROOT);
  for (let fault = next(); fault !== undefined; fault = next()) {
    const compiles = put(copy, fault);
    put(copy, fault, false);
    if (compiles) report(fault, await ask(copy, fault));
  }
}

function next(): Fault | undefined {
  return outcomes.seen + outcomes.unseen < Number(values.count) ? sample.shift() : undefined;
}

// Whether it compiles.
function put(copy: string, { file, source, mutant }: Fault, isFaulty = true): boolean {
  writeFileSync(join(copy, file), isFaulty ? withMutant(source, mutant) : source);
  if (ADDON_SOURCES.includes(file)) return buildAddon(copy);
  if (!isFaulty) return true;
  if (file.endsWith('.c')) return succeedsIn(copy, 'cc', '-fsyntax-only', file);
  return succeedsIn(copy, 'tsc', '-p', 'tsconfig.json', '--incremental', '--tsBuildInfoFile', '.types');
}

type Asked = { readonly by?: string; readonly tests: readonly string[] };

// The first tests that are near are asked at once. Of others it is found out first what they reach. A source's own test is always
// asked: what it reaches in a process namespace of its own is not known.
async function ask(copy: string, fault: Fault): Promise<Asked> {
  const { file, source, mutant } = fault;
  const tests: string[] = [];
  let learned = 0;
  for (const test of testsFor(file, files, users, (each) => known[each]?.seconds ?? guessSeconds(each))) {
    if (tests.length === Number(values.tests)) break;
    if (isGreen.get(test) === false) continue;
    if (!file.endsWith('.c') && !isOwn(file, test)) {
      const isAskedAtOnce = isNear(file, test) && tests.length < AT_ONCE;
      const mayLearn = !isAskedAtOnce && known[test] === undefined && ++learned <= Number(values.learn);
      const reach = mayLearn ? await learnReach(copy, test, known, KEPT) : known[test];
      if (reach?.passed ? !reaches(reach, file, source, mutant.offset) : !isAskedAtOnce) continue;
    }
    tests.push(test);
    if (await fails(copy, test, fault)) return { by: test, tests };
  }
  return { tests };
}

// A test that hangs has noticed the fault. One that fails without it, too, has not.
async function fails(copy: string, test: string, fault: Fault): Promise<boolean> {
  const seconds = known[test]?.passed ? 20 + 4 * known[test].seconds : 180;
  put(copy, fault);
  const { passed } = await runTest(copy, test, seconds);
  put(copy, fault, false);
  if (passed) return false;
  if (!isGreen.has(test)) isGreen.set(test, known[test]?.passed || (await runTest(copy, test, seconds)).passed);
  if (!isGreen.get(test)) console.log(`fails without a fault: ${test}`);
  return isGreen.get(test) === true;
}

function report({ file, source, mutant }: Fault, { by, tests }: Asked): void {
  outcomes[by === undefined ? 'unseen' : 'seen'] += 1;
  const line = source.slice(0, mutant.offset).split('\n').length;
  if (by !== undefined) {
    console.log(`seen    ${file}:${line} by ${by}`);
    return;
  }
  const [before, after] = [source, withMutant(source, mutant)].map((text) => text.split('\n')[line - 1]?.trim());
  console.log(`UNSEEN  ${file}:${line}, asked ${tests.join(' ') || 'no test, since none reaches it'}`);
  console.log(`      - ${before}\n      + ${after}`);
}
