import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// docs/faults.md: a table with a row for each fault, written by the tests that make them.

const PAGE = join(import.meta.dirname, '../../../docs/faults.md');

/** The faults, in the order of the table. */
export const FAULTS = [
  'socket removed',
  'second agent',
  'executable replaced by an older one',
  'CNI folder read-only',
  'full `/run`',
  'wrong list',
  'missing map',
  'missing NetworkAttachmentDefinition',
  'IPAM exhausted',
  'gateway silent',
  'Multus down',
  'Multus out of memory',
  'kernel without altnames',
  'drift',
  'clock jump',
  'node out of file descriptors',
  'capability dropped',
  'agent hung',
  'API server gone',
  'journal damaged',
] as const;

export type FaultName = (typeof FAULTS)[number];

/** A row, as people read it; a cell without anything to say is empty. */
export type Row = {
  readonly fault: FaultName;
  /** How the test makes it. */
  readonly made: string;
  /** Of a pod that starts meanwhile, unless it says of what. */
  readonly event: { readonly of: string | undefined; readonly text: string } | undefined;
  readonly alerts: readonly string[];
  readonly doctor: { readonly exitCode: number; readonly findings: readonly string[] };
  /** The title of a section in docs/troubleshooting.md. */
  readonly remedy: string;
};

const NOTHING = 'nothing';

/** The line of a row in the table. */
export function lineOf({ fault, made, event, alerts, doctor, remedy }: Row): string {
  const cells = [
    `**${fault}**: ${made}`,
    event === undefined ? NOTHING : `${event.of === undefined ? '' : `of ${event.of}: `}${quoted(event.text)}`,
    alerts.length === 0 ? 'none' : alerts.map((name) => `[${name}](alerts.md#${name.toLowerCase()})`).join(', '),
    `${doctor.exitCode}${doctor.findings.map((finding) => `; ${quoted(finding)}`).join('')}`,
    `[${remedy}](troubleshooting.md#${anchorOf(remedy)})`,
  ];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

/** The anchor of a title, as GitHub and its like make it. */
export function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

/** The lines of the table in the tree, by fault. */
export function writtenLines(): { readonly [fault: string]: string } {
  const lines = readFileSync(PAGE, 'utf8').match(/^\| \*\*.*$/gm) ?? [];
  return Object.fromEntries(lines.map((line) => [/^\| \*\*(.*?)\*\*/.exec(line)?.[1] ?? '', line]));
}

/** Puts a line into the table, in the place of the one that the fault has there. */
export function writeLine(fault: FaultName, line: string): void {
  const lines = { ...writtenLines(), [fault]: line };
  const table = FAULTS.flatMap((name) => lines[name] ?? []).join('\n');
  const text = readFileSync(PAGE, 'utf8');
  writeFileSync(
    PAGE,
    text.replace(/(^\| ---.*\n)(?:\|.*\n)*/m, (_, head: string) => `${head}${table}\n`),
  );
}

// Code, whatever it contains.
function quoted(text: string): string {
  return text.includes('`') ? `\`\` ${text} \`\`` : `\`${text}\``;
}
