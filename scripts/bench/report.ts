import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, type } from 'node:os';
import { drawChart, type Figure, verdictOf } from './chart.ts';

/** What a bench found: tables in Markdown, and the figures that there are aims for. */
export type Report = { readonly tables: string; readonly figures?: readonly Figure[] };

/** The figures with their aims, and which of them were met. */
export function aimsTable(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const { name, value, between, aim, unit = '' } = figure;
    if (typeof value === 'string') return `| ${name} | not available here: ${value} | | at most ${aim}${unit} | |`;
    const range = between === undefined ? '' : ` ${between.map((bound) => bound.toFixed(2)).join(' to ')}`;
    const met = { met: 'yes', missed: '**no**', undecided: 'undecided' }[verdictOf(value, figure)];
    return `| ${name} | ${value.toFixed(2)}${unit} |${range} | at most ${aim}${unit} | ${met} |`;
  });
  const heads = ['| figure | measured | half of the pairs | aim | met |', '| --- | ---: | ---: | ---: | --- |'];
  return [...heads, ...rows].join('\n');
}

/** Where and when it was measured, and how busy the machine was just before, as one line. */
export function machineLine(load: number): string {
  const [processor] = cpus();
  const cores = `${cpus().length} × ${processor?.model.trim() ?? 'an unknown processor'}`;
  const system = `${type()} ${release()}, Node.js ${process.versions.node}`;
  const day = new Date().toISOString().slice(0, 10);
  return `${cores}; ${system}; ${day}; ${load.toFixed(1)} processes ran or waited in the minute before.`;
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
export function writeReports(document: string, reports: ReadonlyMap<string, Report>, machine: string): void {
  let text = replaceSection(readFileSync(document, 'utf8'), 'machine', machine);
  for (const [name, { tables }] of reports) text = replaceSection(text, name, tables);
  const figures = [...reports.values()].flatMap((report) => report.figures ?? []);
  writeFileSync(document, replaceSection(text, 'aims', aimsTable(figures)));
  writeFileSync(document.replace(/\.md$/, '.svg'), drawChart(figures));
}

/** Puts one report, with its aims and what it was measured on, into its document. */
export function writeReport(document: string, name: string, report: Report, machine: string): void {
  const { tables, figures = [] } = report;
  const content = [tables, ...(figures.length > 0 ? [aimsTable(figures)] : []), machine].join('\n\n');
  writeFileSync(document, replaceSection(readFileSync(document, 'utf8'), name, content));
}
