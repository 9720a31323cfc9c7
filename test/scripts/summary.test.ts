import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { scratchFolder } from '../support/namespaces/namespace.ts';

const SUMMARY = join(import.meta.dirname, '../../scripts/summary.ts');

const REPORT = `TAP version 14
# Subtest: test/a.test.ts
    ok 1 - one
    ok 2 - two # SKIP no kernel
    1..2
ok 1 - test/a.test.ts # time=1ms
1..1
# { total: 2, pass: 1, skip: 1 }
`;

t.test('a report is counted in assertions, and a file that is not in it has failed', async (t) => {
  const path = join(scratchFolder(t), 'report');
  const summary = (report: string, files: number) => {
    writeFileSync(path, report);
    const { status, stdout } = spawnSync(process.execPath, [SUMMARY, path, `${files}`], { encoding: 'utf8' });
    return [status, stdout.trim().split('\n').at(-1)];
  };
  t.strictSame(summary(REPORT, 1), [0, '1 passed, 0 failed, 1 skipped']);
  t.strictSame(summary(REPORT + REPORT, 2), [0, '2 passed, 0 failed, 2 skipped']);
  t.strictSame(summary(REPORT, 3), [1, '1 passed, 2 failed, 1 skipped']);
  t.strictSame(summary('CNI tap plugin version unknown\n', 1), [1, '0 passed, 1 failed, 0 skipped']);
});
