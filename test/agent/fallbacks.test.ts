import { truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import t from 'tap';
import { countedFallbacks, fallbacksFile, registerFallbacks } from '../../agent/fallbacks.ts';

t.test('the size of the file is how many there were, and its time when the last one was', async (t) => {
  const folder = t.testdir();
  const path = fallbacksFile(join(folder, 'agent.sock'));
  t.equal(path, join(folder, 'fallbacks'));
  t.strictSame(countedFallbacks(path), { count: 0 });
  writeFileSync(path, 'xxx');
  utimesSync(path, 1_700_000_000, 1_700_000_000);
  t.strictSame(countedFallbacks(path), { count: 3, last: '2023-11-14T22:13:20.000Z' });
});

t.test('the metric only grows, also when the file begins anew', async (t) => {
  const path = join(t.testdir({ fallbacks: 'xx' }), 'fallbacks');
  const registry = new Registry();
  registerFallbacks(registry, path);
  const value = async () => Number(/^waymark_fallbacks_total (\d+)$/m.exec(await registry.metrics())?.[1]);
  t.strictSame([await value(), await value()], [2, 2]);
  writeFileSync(path, 'xxxxx');
  t.equal(await value(), 5);
  truncateSync(path, 1);
  t.equal(await value(), 5);
  writeFileSync(path, 'x'.repeat(7));
  t.equal(await value(), 7);
});
