import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

// Runs the tests whose outcome could depend on order or time, under conditions that differ between machines and boots.
//
//   node scripts/vary.ts [--only <condition>] [<test file>…]

/** How the tests are run. What is set up lasts until they have ended. */
type Condition = {
  readonly title: string;
  /** Begins it; what ends it. Throws with the reason if this machine cannot have it. */
  readonly begin?: () => () => void;
  /** What the command is run by. */
  readonly by?: readonly string[];
  readonly env?: { readonly [name: string]: string };
};

const ROOT = join(import.meta.dirname, '..');
const SLOW_DISK = '/sys/fs/cgroup/blkio/waymark-vary';
/** Of the kernel's hash over next hops, which is another one on every boot. */
const SEEDS = [1, 2, 3, 4];

const CONDITIONS: readonly Condition[] = [
  { title: 'as it is' },
  { title: 'one CPU', by: ['taskset', '--cpu-list', '0'] },
  { title: 'two CPUs', by: ['taskset', '--cpu-list', '0,1'] },
  { title: 'busy', begin: busy },
  { title: 'slow disk', begin: slowDisk, by: ['sh', '-c', `echo $$ >${SLOW_DISK}/cgroup.procs; exec "$@"`, 'sh'] },
  { title: 'links in another order', env: { WAYMARK_TEST_LINKS: 'reversed' } },
  ...SEEDS.map((seed) => ({ title: `hash ${seed}`, env: { WAYMARK_TEST_HASH_SEED: String(seed) } })),
];

// Twice as many processes as there are CPUs, which do nothing but count.
function busy(): () => void {
  const loops = Array.from({ length: 2 * availableParallelism() }, () =>
    spawn('timeout', ['3600', 'sh', '-c', 'while :; do :; done'], { stdio: 'ignore', detached: true }),
  );
  const end = ({ pid }: ChildProcess) => pid !== undefined && process.kill(-pid, 'SIGKILL');
  return () => loops.forEach(end);
}

// At most 60 writes a second reach the disk that temporary files are on.
function slowDisk(): () => void {
  if (!existsSync('/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device'))
    throw new Error('no control group for disks');
  const { dev } = statSync(tmpdir());
  const number = `${(dev >> 8) & 0xfff}:${dev & 0xff}`;
  if (!existsSync(`/sys/dev/block/${number}`)) throw new Error(`${tmpdir()} is on no disk`);
  mkdirSync(SLOW_DISK, { recursive: true });
  writeFileSync(`${SLOW_DISK}/blkio.throttle.write_iops_device`, `${number} 60\n`);
  return () => rmdirSync(SLOW_DISK);
}

const { values, positionals } = parseArgs({ options: { only: { type: 'string' } }, allowPositionals: true });
const chosen = CONDITIONS.filter(({ title }) => values.only === undefined || title.startsWith(values.only));
if (chosen.length === 0) throw new Error(`conditions are: ${CONDITIONS.map(({ title }) => title).join(', ')}`);
const files = positionals.length > 0 ? positionals : orderSensitive();
let failed = false;
let end = () => {};
process.on('exit', () => end());
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
for (const condition of chosen) {
  const outcome = underCondition(condition);
  failed ||= outcome.failed;
  console.log(`${condition.title.padEnd(24)} ${outcome.words}`);
}
process.exitCode = failed ? 1 : 0;

// What asks the kernel for several things at once, waits, or counts on who comes first.
function orderSensitive(): string[] {
  const patterns = [
    'lib/netlink',
    'lib/observation',
    'lib/change',
    'lib/plugin',
    'lib/journal',
    'lib/files',
    'plugins',
  ];
  const more = ['agent', 'native', 'controller'];
  const tests = [...patterns, ...more].map((folder) => `test/${folder}/*.test.ts`);
  return execFileSync('git', ['-C', ROOT, 'ls-files', ...tests], { encoding: 'utf8' })
    .trim()
    .split('\n');
}

function underCondition({ begin, by = [], env = {} }: Condition): { failed: boolean; words: string } {
  try {
    end = begin?.() ?? (() => {});
  } catch (error) {
    return { failed: false, words: `left out: ${(error as Error).message}` };
  }
  const report = mkdtempSync(join(tmpdir(), 'waymark-vary-'));
  try {
    const [program = '', ...args] = [...by, join(ROOT, 'node_modules/.bin/tap'), 'run', '--reporter=tap', ...files];
    const PATH = `${ROOT}/.tools/bin:/usr/sbin:/sbin:${process.env.PATH}`;
    const ran = spawnSync(program, args, {
      cwd: ROOT,
      env: { ...process.env, ...env, PATH },
      encoding: 'utf8',
      maxBuffer: 1 << 30,
    });
    writeFileSync(join(report, 'tap'), ran.stdout);
    const summary = spawnSync('node', [join(ROOT, 'scripts/summary.ts'), join(report, 'tap'), `${files.length}`], {
      encoding: 'utf8',
    });
    const lines = summary.stdout.trim().split('\n');
    const isGreen = ran.status === 0 && summary.status === 0;
    return { failed: !isGreen, words: isGreen ? (lines.at(-1) ?? '') : lines.filter(isOfInterest).join('\n') };
  } finally {
    rmSync(report, { recursive: true });
    end();
    end = () => {};
  }
}

function isOfInterest(line: string): boolean {
  return !/^(ok|skipped:)/.test(line);
}
