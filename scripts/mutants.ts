import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Mutant, mutantsOf, withMutant } from './mutants/mutate.ts';
import { inTurns, randomNumbers } from './mutants/sample.ts';
import { testsFor } from './mutants/tests.ts';

// Asks the tests whether they would see a fault: makes small faults in a copy of the tree, one at a time, and runs the
// tests that are nearest to each until one fails. Prints every fault that none of them saw, and the share that was seen.
//
//   node scripts/mutants.ts [--count 100] [--seed 1] [--tests 15] [--only <path prefix>]
//
// A fault that the compiler refuses does not count. It takes about a minute for three faults.

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    tests: { type: 'string', default: '15' },
    only: { type: 'string', default: '' },
  },
});

const ROOT = join(import.meta.dirname, '..');
const SECONDS_OF_A_TEST = 180;
const SOURCES = /^(?:lib|plugins|agent|cli|controller|native)\/(?!fuzz\/).*\.(?:ts|c)$/;

const files = execFileSync('git', ['-C', ROOT, 'ls-files', '-z'], { encoding: 'utf8' }).split('\0').filter(Boolean);
const copy = mkdtempSync(join(tmpdir(), 'waymark-mutants-'));
process.on('exit', () => rmSync(copy, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

makeCopy();
process.chdir(copy);
const candidates = files
  .filter((file) => SOURCES.test(file) && file.startsWith(values.only))
  .flatMap((file) => mutantsOf(file, readFileSync(file, 'utf8')).map((mutant) => ({ file, mutant })));
const greenBefore = new Map<string, boolean>();
const outcomes = { seen: 0, unseen: 0 };

for (const { file, mutant } of inTurns(candidates, randomNumbers(Number(values.seed)))) {
  if (outcomes.seen + outcomes.unseen >= Number(values.count)) break;
  const source = readFileSync(file, 'utf8');
  const tests = testsFor(file, files, Number(values.tests)).filter(isGreen);
  writeFileSync(file, withMutant(source, mutant));
  if (compiles(file))
    report(
      file,
      source,
      mutant,
      tests.find((test) => !passes(test)),
      tests.length,
    );
  writeFileSync(file, source);
  if (file.endsWith('.c')) compiles(file);
}
const total = outcomes.seen + outcomes.unseen;
console.log(`\n${outcomes.seen} of ${total} faults were seen: ${((100 * outcomes.seen) / total).toFixed(1)} %`);

// The tree as it is committed or staged, with the packages, tools and executables of this one.
function makeCopy(): void {
  execFileSync('git', ['-C', ROOT, 'checkout-index', '--all', '--force', `--prefix=${copy}/`]);
  execFileSync('git', ['init', '--quiet', copy]);
  for (const folder of ['node_modules', '.tools', 'dist']) {
    if (existsSync(join(ROOT, folder))) symlinkSync(join(ROOT, folder), join(copy, folder));
  }
  execFileSync('bash', ['scripts/build-native.sh'], { cwd: copy });
}

function compiles(file: string): boolean {
  const commands = file.endsWith('.c')
    ? [
        ['bash', 'scripts/build-native.sh'],
        ['cc', '-fsyntax-only', '-Inode_modules/node-api-headers/include', file],
      ]
    : [[join(copy, 'node_modules/.bin/tsc'), '-p', 'tsconfig.json']];
  return commands.every(([command = '', ...args]) => spawnSync(command, args, { stdio: 'ignore' }).status === 0);
}

// A test that fails without any fault says nothing.
function isGreen(test: string): boolean {
  const known = greenBefore.get(test) ?? passes(test);
  if (!greenBefore.has(test) && !known) console.log(`left out, since it fails anyway: ${test}`);
  greenBefore.set(test, known);
  return known;
}

function passes(test: string): boolean {
  const { status } = spawnSync(process.execPath, ['--import=./test/support/warnings.ts', test], {
    stdio: 'ignore',
    timeout: SECONDS_OF_A_TEST * 1000,
    killSignal: 'SIGKILL',
    env: { ...process.env, PATH: `${copy}/.tools/bin:/usr/sbin:/sbin:${process.env.PATH}` },
  });
  return status === 0;
}

function report(file: string, source: string, mutant: Mutant, by: string | undefined, asked: number): void {
  outcomes[by === undefined ? 'unseen' : 'seen'] += 1;
  const before = source.slice(0, mutant.offset);
  const line = before.split('\n').length;
  if (by !== undefined) {
    console.log(`seen    ${file}:${line} by ${by}`);
    return;
  }
  const changed = withMutant(source, mutant).split('\n');
  console.log(`UNSEEN  ${file}:${line}, ${asked} test files asked`);
  console.log(`      - ${source.split('\n')[line - 1]?.trim()}\n      + ${changed[line - 1]?.trim()}`);
}
