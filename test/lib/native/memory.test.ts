import { readFileSync } from 'node:fs';
import t from 'tap';
import { unmapCode } from '../../../lib/native/memory.ts';

t.test('unmapCode lets go of the executable’s pages, and what is used again comes back', async (t) => {
  const text = JSON.stringify(process.versions);
  const before = residentOfExecutable();
  unmapCode();
  const after = residentOfExecutable();
  t.ok(after < before / 2, `${before} KiB became ${after} KiB`);
  t.equal(JSON.stringify(JSON.parse(text)), text);
  t.throws(() => new Intl.DateTimeFormat('no such language'), RangeError);
  unmapCode();
});

/** In KiB, what is resident of it and only read (proc_pid_smaps(5)). */
function residentOfExecutable(): number {
  let isMeant = false;
  let sum = 0;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    const mapping = /^[0-9a-f]+-[0-9a-f]+ (\S+) .*?(\/.*)?$/.exec(line);
    if (mapping !== null) isMeant = mapping[2] === process.execPath && !mapping[1]?.includes('w');
    else if (isMeant) sum += Number(/^Rss:\s+(\d+) kB$/.exec(line)?.[1] ?? 0);
  }
  return sum;
}
