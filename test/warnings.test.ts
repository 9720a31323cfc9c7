import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';

// test/support/warnings.ts, which .taprc loads before each test file.

const LOADED = '--import=./test/support/warnings.ts';

/** A process that adds this many listeners to one emitter. */
function listeners(count: number) {
  const script = `for (let i = 0; i < ${count}; i++) process.on('leak', () => {})`;
  return spawnSync(process.execPath, [LOADED, '--eval', script], {
    cwd: join(import.meta.dirname, '..'),
    encoding: 'utf8',
  });
}

t.test('a leak of event listeners ends a process with an error, and ten listeners do not', async (t) => {
  t.ok(process.execArgv.includes(LOADED), 'it is loaded here, too');
  t.match(listeners(10), { status: 0, stderr: '' });
  t.match(listeners(11), { status: 1, stderr: /MaxListenersExceededWarning.*11 leak listeners/s });
});
