import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { anchorOf, FAULTS, writtenLines } from './support/faults/page.ts';

// docs/faults.md beside docs/troubleshooting.md. That its rows are true is tested on clusters: test/cluster/fault-table.test.ts.

const page = readFileSync(join(import.meta.dirname, '../docs/troubleshooting.md'), 'utf8');
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((section) => [anchorOf(section.split('\n', 1)[0] ?? ''), section]),
);

/** The table of words, in its order. */
const index = [...page.matchAll(/^\| (`.*`) \| \[[^\]]+\]\(#([^)]+)\) \|$/gm)].map(([, words = '', anchor = '']) => ({
  words: [...words.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word),
  anchor,
}));

/** What a person does who knows none of the code: the first row with words of the text. */
function ledTo(text: string): string | undefined {
  return index.find(({ words }) => words.some((word) => text.includes(word)))?.anchor;
}

const rows = FAULTS.map((fault) => {
  const cells = (writtenLines()[fault] ?? '').split(/(?<!\\)\|/).map((cell) => cell.trim());
  const [, , event = '', , doctor = '', remedy = ''] = cells;
  return { fault, event, doctor, anchor: /\(troubleshooting\.md#([^)]+)\)/.exec(remedy)?.[1] };
});

t.test('docs/faults.md has each of the twenty faults once, in order', async (t) => {
  t.strictSame(Object.keys(writtenLines()), [...FAULTS]);
  t.equal(FAULTS.length, 20);
});

t.test('from the event of each fault, else from the doctor, two steps lead to its remedy', async (t) => {
  for (const { fault, event, doctor, anchor } of rows) {
    const section = sections.get(anchor ?? '') ?? '';
    t.match(section, /\*\*Remedy\.\*\*/, `${fault}: a section with a remedy`);
    if (event !== 'nothing') t.equal(ledTo(event), anchor, `${fault}: from the event`);
    const findings = doctor.split('; `').slice(1);
    const fromDoctor = findings.map(ledTo);
    if (event === 'nothing') t.ok(fromDoctor.includes(anchor), `${fault}: from the doctor, ${fromDoctor}`);
    t.ok(event !== 'nothing' || findings.length > 0, `${fault}: somebody says something`);
  }
});

t.test('every section of the table of words exists', async (t) => {
  t.ok(index.length > 10);
  for (const { anchor } of index) t.ok(sections.has(anchor), anchor);
});
