import { readFileSync } from 'node:fs';

// Reads a file of TAP reports, one after another, and prints what a person needs from it: each test file, what tests
// measured, every failure in full, every skipped test with its reason, and the totals. Files that were to run and are not in the
// report have failed. Usage: summary.ts <report> <number of test files>

const lines = readFileSync(process.argv[2] ?? '', 'utf8').split('\n');
const isFailure = (line: string) => /^ *not ok /.test(line) && !/# (TODO|SKIP)/.test(line);

// Measurements come before the line of their file.
let measured: string[] = [];
let files = 0;
for (const line of lines) {
  const comment = /^ {4,}# (?!Subtest: |time=)(.+)$/.exec(line)?.[1];
  if (comment !== undefined) measured.push(`      ${comment}`);
  if (!/^(not )?ok \d+ - /.test(line)) continue;
  files++;
  if (line.startsWith('ok') && !line.includes('# SKIP'))
    console.log([line.replace(/^ok \d+ - /, 'ok  '), ...measured].join('\n'));
  measured = [];
}
for (const line of lines) {
  const skipped = /^ *ok \d+ - (.*) # SKIP ?(.*)$/.exec(line);
  if (skipped) console.log(`skipped: ${skipped[1]} (${skipped[2] || 'no reason given'})`);
}
lines.forEach((line, index) => {
  if (isFailure(line)) console.log(`\n${[line, ...detailsAfter(index + 1)].join('\n')}`);
});

const counts = lines.filter((line) => line.startsWith('# { total:')).join();
const total = (key: string) =>
  [...counts.matchAll(new RegExp(`\\b${key}: (\\d+)`, 'g'))].reduce((sum, [, count]) => sum + Number(count), 0);
const wanted = Number(process.argv[3]);
const missing = Math.max(0, wanted - files);
if (missing > 0) {
  console.log(`\nnot ok: of ${wanted} test files, ${missing} did not run`);
  process.exitCode = 1;
}
console.log(`\n${total('pass')} passed, ${total('fail') + missing} failed, ${total('skip')} skipped`);

// The YAML block after a failure: `---` to `...`.
function detailsAfter(start: number): string[] {
  if (!/^ *---$/.test(lines[start] ?? '')) return [];
  const end = lines.findIndex((line, index) => index > start && /^ *\.\.\.$/.test(line));
  return lines.slice(start, end + 1);
}
