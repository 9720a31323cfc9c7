import { readFileSync, writeFileSync } from 'node:fs';
import { drawChart, type Figure } from './chart.ts';

/** What a bench found: tables in Markdown, and the figures that there are aims for. */
export type Report = { readonly tables: string; readonly figures?: readonly Figure[] };

/** The figures with their aims, and which of them were met. */
export function aimsTable(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, aim, unit = '' }) =>
    typeof value === 'string'
      ? `| ${name} | not available here: ${value} | at most ${aim}${unit} | |`
      : `| ${name} | ${value.toFixed(2)}${unit} | at most ${aim}${unit} | ${value <= aim ? 'yes' : '**no**'} |`,
  );
  return ['| figure | measured | aim | met |', '| --- | ---: | ---: | --- |', ...rows].join('\n');
}

/** `text` with what is between the two comments `<!-- bench: name -->` and `<!-- end -->` replaced. Throws if they are not there. */
export function replaceSection(text: string, name: string, content: string): string {
  const start = `<!-- bench: ${name} -->\n`;
  const from = text.indexOf(start);
  const to = text.indexOf('<!-- end -->', from);
  if (from < 0 || to < 0) throw new Error(`there is no place for the bench "${name}"`);
  return `${text.slice(0, from)}${start}\n${content}\n\n${text.slice(to)}`;
}

/** Puts the reports into the document, and the chart beside it. */
export function writeReports(document: string, reports: ReadonlyMap<string, Report>): void {
  let text = readFileSync(document, 'utf8');
  for (const [name, { tables }] of reports) text = replaceSection(text, name, tables);
  const figures = [...reports.values()].flatMap((report) => report.figures ?? []);
  writeFileSync(document, replaceSection(text, 'aims', aimsTable(figures)));
  writeFileSync(document.replace(/\.md$/, '.svg'), drawChart(figures));
}
