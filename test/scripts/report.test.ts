import t from 'tap';
import type { Figure } from '../../scripts/bench/chart.ts';
import { drawChart } from '../../scripts/bench/chart.ts';
import { aimsTable, replaceSection } from '../../scripts/bench/report.ts';
import { percentile } from '../../scripts/bench/statistics.ts';

const FIGURES: Figure[] = [
  { name: 'met & <well>', value: 0.25, aim: 0.5 },
  { name: 'missed', value: 3, aim: 2, unit: ' KB' },
  { name: 'absent', value: 'no such peer', aim: 1 },
];

t.test('the table says for each figure whether it met its aim, or why there is no figure', async (t) => {
  t.strictSame(aimsTable(FIGURES).split('\n').slice(2), [
    '| met & <well> | 0.25 | at most 0.5 | yes |',
    '| missed | 3.00 KB | at most 2 KB | **no** |',
    '| absent | not available here: no such peer | at most 1 | |',
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

t.test('a percentile is the value that so many percent of the values do not exceed', async (t) => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  t.strictSame([percentile(hundred, 99), percentile(hundred, 50), percentile([7], 99)], [99, 50, 7]);
});
