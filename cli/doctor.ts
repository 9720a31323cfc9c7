import { readlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import { callerOf } from '../agent/caller.ts';
import { DEFAULT_DATA_DIR } from '../lib/cni/config.ts';
import { HERE } from '../lib/cni/place.ts';
import type { Facts } from './doctor/facts.ts';
import type { Check, Finding, Level } from './doctor/findings.ts';
import { gatherFacts } from './doctor/gather.ts';
import { NODE_CHECKS } from './doctor/node-checks.ts';
import { RUNNING_CHECKS } from './doctor/running-checks.ts';
import { printable } from './status.ts';

export type DoctorOptions = { binDir: string; netDir: string; dataDir?: string; socket: string; json?: boolean };

/** Every check, in the order of the report. */
export const CHECKS: readonly Check[] = [...NODE_CHECKS, ...RUNNING_CHECKS];

/** What `waymark doctor --json` prints: `level` is the worst of all findings. */
export type Diagnosis = {
  readonly version: string;
  readonly level: Level;
  readonly findings: readonly (Finding & { readonly check: string })[];
};

/** Exit codes of the command. */
export const EXIT_CODES: { readonly [L in Level]: number } = { ok: 0, warning: 1, problem: 2 };

/** Looks at this node, also from the agent's container, and judges. Changes nothing. */
export async function examine(options: DoctorOptions): Promise<Diagnosis> {
  const node = nodePlace();
  try {
    const facts = await gatherFacts({
      binDir: resolve(options.binDir),
      netDir: resolve(options.netDir),
      dataDir: resolve(options.dataDir ?? DEFAULT_DATA_DIR),
      socket: options.socket,
      pathOf: node.pathOf,
    });
    return diagnose(facts);
  } finally {
    node.close();
  }
}

/** Judges what was found out. */
export function diagnose(facts: Facts): Diagnosis {
  const findings = CHECKS.flatMap(({ name, findings }) =>
    findings(facts).map((finding) => ({ check: name, ...finding })),
  );
  const levels = findings.map(({ level }) => level);
  const level = levels.includes('problem') ? 'problem' : levels.includes('warning') ? 'warning' : 'ok';
  return { version: facts.version, level, findings };
}

/** The same for a person to read: a line for each finding, and one more for what to do. */
export function diagnosisLines({ findings }: Diagnosis): string[] {
  const count = (wanted: Level) => findings.filter(({ level }) => level === wanted).length;
  const lines = findings.flatMap((finding) => [
    `${finding.level.padEnd(WIDTH)} ${finding.check}: ${finding.text}`,
    ...(finding.level === 'ok' ? [] : [`${' '.repeat(WIDTH)} -> ${finding.remedy}`]),
  ]);
  return [...lines, `${counted(count('problem'), 'problem')}, ${counted(count('warning'), 'warning')}`].map((line) =>
    printable(line),
  );
}

const WIDTH = 'problem'.length;

/** Where the node's files are: in a container they are those of process 1, if we see it and may look at it. */
export function nodePlace(): { pathOf(path: string): string; close(): void } {
  const here = { pathOf: HERE.pathOf, close: () => undefined };
  try {
    return readlinkSync('/proc/1/ns/mnt') === readlinkSync('/proc/self/ns/mnt') ? here : callerOf(1);
  } catch {
    // Which the check of privileges reports.
    return here;
  }
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
