import t from 'tap';
import type { Figure } from '../../scripts/bench/chart.ts';
import { drawChart } from '../../scripts/bench/chart.ts';
import { aimsTable, replaceSection } from '../../scripts/bench/report.ts';
import { middleOf, percentile } from '../../scripts/bench/statistics.ts';

const FIGURES: Figure[] = [
  { name: 'met & <well>', value: 0.25, aim: 0.5 },
  { name: 'missed', value: 3, aim: 2, unit: ' KB' },
  { name: 'met, whatever it varies by', value: 0.4, between: [0.3, 0.5], aim: 0.5 },
  { name: 'near', value: 0.4, between: [0.3, 0.6], aim: 0.5 },
  { name: 'near, above', value: 0.6, between: [0.5, 0.7], aim: 0.5 },
  { name: 'missed by all', value: 0.6, between: [0.55, 0.7], aim: 0.5 },
  { name: 'absent', value: 'no such peer', aim: 1 },
];

t.test('the table says for each figure whether it met its aim, or why there is no figure', async (t) => {
  t.strictSame(aimsTable(FIGURES).split('\n').slice(2), [
    '| met & <well> | 0.25 | | at most 0.5 | yes |',
    '| missed | 3.00 KB | | at most 2 KB | **no** |',
    '| met, whatever it varies by | 0.40 | 0.30 to 0.50 | at most 0.5 | yes |',
    '| near | 0.40 | 0.30 to 0.60 | at most 0.5 | undecided |',
    '| near, above | 0.60 | 0.50 to 0.70 | at most 0.5 | undecided |',
    '| missed by all | 0.60 | 0.55 to 0.70 | at most 0.5 | **no** |',
    '| absent | not available here: no such peer | | at most 1 | |',
  ]);
});

t.test(
  'the chart is well-formed, and has a bar for each figure, which reaches the line if the figure equals its aim',
  async (t) => {
    const svg = drawChart(FIGURES);
    const line = Number(/<line[^>]* x1="([\d.]+)"/.exec(svg)?.[1]);
    const bars = [...svg.matchAll(/<rect class="(\w+)" x="([\d.]+)"[^>]* width="([\d.]+)"/g)].map((found) => ({
      kind: found[1],
      part: Number(found[3]) / (line - Number(found[2])),
    }));
    t.strictSame(bars, [
      { kind: 'met', part: 0.5 },
      { kind: 'missed', part: 1.5 },
      { kind: 'met', part: 0.8 },
      { kind: 'undecided', part: 0.8 },
      { kind: 'undecided', part: 1.2 },
      { kind: 'missed', part: 1.2 },
    ]);
    t.match(svg, 'met &amp; &lt;well&gt;');
    t.match(svg, 'prefers-color-scheme: dark');
    t.equal(svg.match(/<(?!\/|title|style)[a-z]+[^>]*[^/]>/g)?.length, (svg.match(/<\/(?!title|style)/g) ?? []).length);
  },
);

t.test('a section of the document is replaced, and nothing else', async (t) => {
  const text = 'a\n<!-- bench: one -->\nold\n<!-- end -->\nb\n<!-- bench: two -->\n<!-- end -->\n';
  const replaced = replaceSection(text, 'one', 'new');
  t.equal(replaced, 'a\n<!-- bench: one -->\n\nnew\n\n<!-- end -->\nb\n<!-- bench: two -->\n<!-- end -->\n');
  t.equal(replaceSection(replaced, 'one', 'new'), replaced);
  t.throws(() => replaceSection(text, 'three', 'new'), /no place/);
});

t.test('a median comes with the bounds of the middle half', async (t) => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  t.strictSame(middleOf(hundred), { value: 50.5, between: [25, 75] });
});

t.test('a percentile is the value that so many percent of the values do not exceed', async (t) => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  t.strictSame([percentile(hundred, 99), percentile(hundred, 50), percentile([7], 99)], [99, 50, 7]);
});
