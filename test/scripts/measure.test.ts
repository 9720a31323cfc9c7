import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  compileMeasure,
  firstStart,
  measure,
  measureRounds,
  planText,
  type Sample,
} from '../../scripts/bench/measure.ts';
import { medianOf, ratiosOf } from '../../scripts/bench/statistics.ts';
import { scratchFolder, works } from '../support/namespaces/namespace.ts';

const skip = works('cc', ['--version']) ? false : 'needs a C compiler';

t.test('measure', { skip }, async (t) => {
  const folder = scratchFolder(t);
  const measurer = compileMeasure(folder);
  const shell = (line: string) => ({ program: '/bin/sh', args: ['-c', line] });

  t.test('measures the wall time of a process that sleeps, and no CPU time', async (t) => {
    const { wallMs, cpuMs } = measure(measurer, shell('exec sleep 0.2')).all;
    t.ok(wallMs >= 200 && cpuMs < 100, `${wallMs} ms, ${cpuMs} ms`);
  });

  t.test('measures the CPU time of a process that works, and of its children', async (t) => {
    const { wallMs, cpuMs } = measure(measurer, shell('(i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done)')).all;
    t.ok(cpuMs > 20 && cpuMs <= wallMs + 5, `${wallMs} ms, ${cpuMs} ms`);
  });

  t.test('measures the peak memory of the process, not of its own', async (t) => {
    t.ok(measure(measurer, { program: '/bin/true', args: [] }).all.peakMiB < 10);
    const hungry = { program: process.execPath, args: ['-e', 'Buffer.alloc(200 << 20, 1)'] };
    t.ok(measure(measurer, hungry).all.peakMiB > 200);
  });

  t.test('starts the given number of processes at once, each with its number', async (t) => {
    for (const n of [0, 1, 2, 3, 4]) writeFileSync(join(folder, `in-${n}`), `${n}`);
    // Each goes on when all have begun, which those would never that are started one after another.
    const met = join(folder, 'met');
    const meet = `touch ${met}-$$; i=0; until [ $(ls ${met}-* | wc -l) = 5 ] || [ $((i += 1)) -gt 6000 ]; do sleep 0.01; done`;
    const line = `${meet}; test $i -le 6000 && sleep 0.3 && test "$N" = "number $(cat)" && test "$0" = "$N" || exit 1`;
    const command = { program: '/bin/sh', args: ['-c', line, 'number {n}'], stdin: join(folder, 'in-{n}') };
    const { each, all } = measure(measurer, { ...command, env: { N: 'number {n}', PATH: process.env.PATH ?? '' } }, 5);
    t.equal(each.length, 5);
    t.ok(each.every(({ wallMs }) => wallMs >= 300));
    const peaks = each.reduce((sum, { peakMiB }) => sum + peakMiB, 0);
    t.ok(Math.abs(all.peakMiB - peaks) < 0.1, 'all of them ran at the same time');
  });

  t.test(
    'runs the commands of a plan in turn, round by round, each with its own arguments, variables and stdin',
    async (t) => {
      const log = join(folder, 'log');
      writeFileSync(join(folder, 'word'), 'from stdin');
      const say = (word: string) => ({
        program: '/bin/sh',
        args: ['-c', `echo "$0 $V $(cat)" >>${log}; sleep ${word === 'b' ? 0.1 : 0}`, word],
        env: { V: `of ${word}`, PATH: process.env.PATH ?? '' },
      });
      const commands = [{ ...say('a'), stdin: join(folder, 'word') }, say('b')];
      const [a = [], b = []] = measureRounds(measurer, commands, 3, join(folder, 'plan'));
      t.equal(readFileSync(log, 'utf8'), 'a of a from stdin\nb of b \n'.repeat(3));
      t.equal(a.length, 3);
      t.ok(b.length === 3 && b.every(({ wallMs }) => wallMs >= 100));
      t.throws(() => measureRounds(measurer, [shell('echo full >&2; exit 1')], 2, join(folder, 'plan')), {
        message: /full/,
      });
    },
  );

  t.test('tells when the first of a plan was started', async (t) => {
    const plan = join(folder, 'dated');
    writeFileSync(plan, planText([shell('exec sleep 0.3'), shell('exit 0')]));
    const before = Date.now();
    const printed = execFileSync(measurer, ['rounds', '1', plan], { encoding: 'utf8' });
    const after = Date.now();
    t.ok(firstStart(printed) >= before && firstStart(printed) <= after - 200, printed);
  });

  t.test('throws with their output if one of them fails or does not exist', async (t) => {
    t.throws(() => measure(measurer, shell('echo no room >&2; exit 3')), { message: /no room/ });
    t.throws(() => measure(measurer, { program: '/nowhere', args: [] }), { message: /No such file/ });
  });
});

t.test('the ratio of two series is the median of the ratios of their pairs', async (t) => {
  const series = (...walls: number[]): Sample[] => walls.map((wallMs) => ({ wallMs, cpuMs: 2 * wallMs, peakMiB: 1 }));
  t.strictSame(medianOf(series(3, 1, 8, 2)), { wallMs: 2.5, cpuMs: 5, peakMiB: 1 });
  // The machine was ten times slower in the last round.
  t.strictSame(medianOf(ratiosOf(series(2, 4, 30), series(1, 2, 10))), { wallMs: 2, cpuMs: 2, peakMiB: 1 });
});
