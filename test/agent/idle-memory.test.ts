import { readFileSync } from 'node:fs';
import t from 'tap';
import { IdleMemory } from '../../agent/idle-memory.ts';
import { until } from '../support/until.ts';

const MIB = 1024 * 1024;

t.test('memory is given back once nothing is to do, and when there is some to give', async (t) => {
  let resident = 90 * MIB;
  let busyMs = 300;
  let collected = 0;
  const memory = new IdleMemory({
    everyMs: 1000,
    resident: () => resident,
    busyMs: () => busyMs,
    collect: () => collected++,
  });
  const look = (after: { resident?: number; busyFor?: number }) => {
    resident = after.resident ?? resident;
    busyMs += after.busyFor ?? 0;
    memory.look();
    return collected;
  };
  t.equal(look({ busyFor: 0 }), 0, 'nothing has grown');
  t.equal(look({ busyFor: 800, resident: 180 * MIB }), 0, 'calls are served');
  t.equal(look({ busyFor: 20 }), 0, 'and still are');
  t.equal(look({ busyFor: 5 }), 1, 'an idle one is made small');
  t.equal(look({ busyFor: 5, resident: 95 * MIB }), 2, 'in two steps');
  t.equal(look({ busyFor: 5 }), 2);
  t.equal(look({ busyFor: 500, resident: 105 * MIB }), 2);
  t.equal(look({}), 2, 'a little is not worth it');
  t.equal(look({ busyFor: 500, resident: 150 * MIB }), 2);
  t.equal(look({}), 3);
  t.equal(look({ busyFor: 500 }), 3, 'no second step where calls came in between');
  t.equal(look({}), 4);
  t.equal(look({}), 5);
  t.equal(look({}), 5, 'what stays after that is needed');
  t.strictSame(memory.status(), { collections: 5 });
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
