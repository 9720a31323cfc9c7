import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { IdleMemory } from '../../agent/idle-memory.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;

// What is resident when it is looked at, and for how many milliseconds of the last second the agent was at work.
function looks(t: Test) {
  let [own, mapped, busyMs] = [90 * MIB, 70 * MIB, 300];
  const did: string[] = [];
  const memory = new IdleMemory({
    everyMs: 1000,
    resident: () => ({ own, mapped }),
    busyMs: () => busyMs,
    collect: () => did.push('collect'),
    unmap: () => {
      did.push('unmap');
      mapped = 30 * MIB;
    },
  });
  const look = (after: { own?: number; mapped?: number; busyFor?: number }, expected: string, why = '') => {
    own = (after.own ?? own / MIB) * MIB;
    mapped = (after.mapped ?? mapped / MIB) * MIB;
    busyMs += after.busyFor ?? 0;
    memory.look();
    t.equal(did.splice(0).join(), expected, why);
  };
  return { memory, look };
}

t.test('memory is given back once nothing is to do, and when there is some to give', async (t) => {
  const { memory, look } = looks(t);
  look({ busyFor: 500 }, '', 'it starts');
  look({}, 'collect', 'what only the start needed');
  look({}, 'collect,unmap');
  look({}, '', 'nothing has grown');
  look({ busyFor: 800, own: 180 }, '', 'calls are served');
  look({ busyFor: 20 }, '', 'and still are');
  look({ busyFor: 5 }, 'collect', 'an idle one is made small');
  look({ busyFor: 5, own: 95 }, 'collect', 'in two steps');
  look({ busyFor: 5 }, '');
  look({ busyFor: 500, own: 111 - 1 / MIB }, '');
  look({}, '', 'less than 16 MiB is not worth it');
  look({ busyFor: 500, own: 111 }, '');
  look({}, 'collect');
  look({ busyFor: 500 }, '', 'no second step where calls came in between');
  look({}, 'collect');
  look({}, 'collect');
  look({}, '', 'what stays after that is needed');
  t.strictSame(memory.status(), { collections: 7 });
});

t.test('code that calls have used is let go of too, after the heap', async (t) => {
  const { look } = looks(t);
  look({ busyFor: 500 }, '');
  look({}, 'collect');
  look({}, 'collect,unmap');
  look({ busyFor: 500, mapped: 46 - 1 / MIB }, '');
  look({}, '', 'less than 16 MiB is not worth it');
  look({ busyFor: 500, mapped: 46, own: 150 }, '');
  look({ own: 150 }, 'collect');
  look({ own: 100 }, 'collect,unmap');
  look({}, '');
});

t.test('the process shrinks', async (t) => {
  const own = () => Number(/^Anonymous:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))?.[1]) / 1024;
  const memory = new IdleMemory({ everyMs: 500, busyMs: () => 0 });
  memory.start();
  t.teardown(() => memory.stop());
  let garbage: object[] = Array.from({ length: 2_000_000 }, (_, index) => ({ index, text: `${index}` }));
  t.equal(garbage.length, 2_000_000);
  const before = own();
  garbage = [];
  await until(
    () => (memory.status() as { collections: number }).collections > 0 && own() < before - 50,
    `it stays at ${before} MiB`,
  );
});

t.test('a collection has no pool of pages, and what comes later has one again', async (t) => {
  const did: string[] = [];
  const { IdleMemory } = await t.mockImport<typeof import('../../agent/idle-memory.ts')>('../../agent/idle-memory.ts', {
    'node:v8': { setFlagsFromString: (flag: string) => did.push(flag) },
    'node:vm': { runInNewContext: () => () => did.push('gc') },
  });
  const resident = () => ({ own: 90 * MIB, mapped: 0 });
  new IdleMemory({ everyMs: 1000, resident, busyMs: () => 0, unmap: () => {} }).look();
  t.strictSame(did, ['--expose-gc', '--memory-pool-timeout=0', 'gc', '--memory-pool-timeout=8']);
});
