import type { Test } from 'tap';
import type { Cluster } from '../../../scripts/cluster/cluster.ts';
import type { ClusterNode } from '../../../scripts/cluster/node.ts';
import { until } from '../../../scripts/cluster/process.ts';
import { scratchFolder, works } from '../namespaces/namespace.ts';
import { disagreement, type Scrape, scrapeOf } from './alerts.ts';
import { type FaultName, lineOf, writeLine, writtenLines } from './page.ts';

// A fault on a node of a cluster, and what a person on call gets to see of it.

export type Fault = {
  readonly name: FaultName;
  /** How it is made, for the table. */
  readonly made: string;
  /** Makes it, and waits until it shows. The event that tells of it, if there is one. */
  readonly make: () => Promise<string | undefined>;
  /** Of what the event is, if not of a pod that starts meanwhile. */
  readonly of?: string;
  /** What the doctor comes to say, where it may say other things too, by chance. */
  readonly shows?: RegExp;
  /** Whose conditions may hold too, all or none. */
  readonly perhaps?: readonly string[];
  readonly mend: () => Promise<unknown>;
  /** Whose conditions hold meanwhile; all others' do not. */
  readonly alerts: readonly string[];
  readonly remedy: string;
  /** Where `waymark doctor` runs; by default on the node. */
  readonly doctor?: (args: readonly string[]) => { status: number | null; stdout: string };
};

/** Rows are written instead of compared. */
const WRITES = process.env.WAYMARK_WRITE_FAULTS === '1';

const noPromtool = !works('promtool', ['--version']);

/** Makes a fault on the first node, looks, mends it, and compares what was seen with docs/faults.md. */
export async function observe(t: Test, cluster: Cluster, fault: Fault): Promise<void> {
  const node = cluster.node('node-1');
  const { name, made, make, mend, alerts, remedy } = fault;
  const doctor = fault.doctor ?? onNode(node);
  const before = { scrape: scrape(node), findings: diagnosis(doctor).findings };
  const event = await make();
  const during = scrape(node);
  const { status, findings } = await diagnosisWith(fault.shows ?? ANYTHING, doctor);
  await mend();

  t.equal(status, exitCodeOf(findings), `${name}: the exit code is that of the worst finding`);
  // What earlier faults have left in the agent's memory is not this one's.
  const known = new Set(before.findings);
  const news = findings.filter((text) => !known.has(text) && (fault.shows ?? ANYTHING).test(text)).map(steady);
  const exitCode = exitCodeOf(news);
  if (noPromtool) t.comment(`${name}: needs promtool to evaluate the alerts`);
  else {
    const evaluate = (names: readonly string[]) => disagreement(scratchFolder(t), before.scrape, during, names);
    const disagrees = evaluate(alerts);
    const isAgreed =
      disagrees === '' || (fault.perhaps !== undefined && evaluate([...alerts, ...fault.perhaps]) === '');
    t.ok(isAgreed, `${name}: the alerts ${alerts.join()}`, { disagrees });
  }

  const said = event === undefined ? undefined : { of: fault.of, text: steady(event) };
  const line = lineOf({ fault: name, made, event: said, alerts, doctor: { exitCode, findings: news }, remedy });
  if (WRITES) writeLine(name, line);
  t.equal(line, writtenLines()[name], `${name}: docs/faults.md`);
}

const ANYTHING = /(?:)/;

// docs/doctor.md
function exitCodeOf(findings: readonly string[]): number {
  if (findings.some((text) => text.startsWith('problem'))) return 2;
  return findings.length > 0 ? 1 : 0;
}

type Finding = { check: string; level: string; text: string };

function diagnosis(doctor: NonNullable<Fault['doctor']>): { status: number | null; findings: string[] } {
  const { status, stdout } = doctor(['doctor', '--json']);
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  const bad = findings.filter(({ level }) => level !== 'ok');
  return { status, findings: bad.map(({ check, level, text }) => `${level} ${check}: ${text}`) };
}

// What comes and goes is waited for.
async function diagnosisWith(
  words: RegExp,
  doctor: NonNullable<Fault['doctor']>,
): Promise<ReturnType<typeof diagnosis>> {
  let last = diagnosis(doctor);
  await until(`the doctor says ${words}`, () => {
    if (words === ANYTHING || last.findings.some((text) => words.test(text))) return true;
    last = diagnosis(doctor);
    return false;
  });
  return last;
}

function onNode(node: ClusterNode): NonNullable<Fault['doctor']> {
  return (args) => node.end(['/opt/cni/bin/waymark', ...args]);
}

/** What Prometheus gets from the node's agent. */
export function scrape(node: ClusterNode): Scrape {
  const get = 'timeout 5 busybox wget -q -O- http://127.0.0.1:9476/metrics';
  const { status, stdout } = node.end(get.split(' '));
  return status === 0 ? scrapeOf(stdout) : undefined;
}

/** Without what is another at every run. */
const VARYING: readonly [RegExp, string][] = [
  // The words of kubelet, containerd and Multus before those of the plugin.
  [/^Failed to create pod sandbox: .* (?=plugin type=)/s, '… '],
  [/'?: StdinData: .*$/s, ''],
  [/\b[0-9a-f]{64}\b/g, 'CONTAINER'],
  [/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'UID'],
  [/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME'],
  [/\b\d+ (calls|MiB|KiB|files|times)\b/g, 'N $1'],
  [/\bprocess \d+/g, 'process N'],
  [/\bprocesses \d+, \d+/g, 'processes N, N'],
  [/write EPIPE|read ECONNRESET/g, 'socket hang up'],
  [/read unix \S+: read: connection reset by peer/g, 'EOF'],
  [/(context deadline exceeded|net\/http: request canceled)[^"]*\(Client\.Timeout .*\)/g, 'context deadline exceeded'],
  [/\s+/g, ' '],
];

function steady(text: string): string {
  return VARYING.reduce((result, [pattern, by]) => result.replace(pattern, by), text).trim();
}
