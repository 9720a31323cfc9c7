import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Edit, Measured } from './live-routes/inside.ts';
import type { Report } from './report.ts';
import { median } from './statistics.ts';

// An edit of one line of a large map, which many running pods follow. The agent, the pods and all that they need are in
// namespaces of their own, which go when the bench ends.

const ROOT = join(import.meta.dirname, '../..');
const INSIDE = join(import.meta.dirname, 'live-routes/inside.ts');
const NAMESPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const SETUP = 'mount -t tmpfs -o mode=755 tmpfs /run && ip link set lo up && exec "$@"';

/** The report, or that there is none here. */
export async function benchLiveRoutes(): Promise<Report> {
  const plugins = join(ROOT, '.tools/bin');
  if (!existsSync(join(plugins, 'bridge'))) return { tables: 'not available here: needs the reference CNI plugins' };
  const node = [process.execPath, INSIDE, plugins];
  const { status, stdout, error } = spawnSync('unshare', [...NAMESPACES, 'sh', '-c', SETUP, 'sh', ...node], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw error ?? new Error(`the bench failed with ${status}`);
  return reportOf(JSON.parse(stdout));
}

function reportOf({ subnets, pods, edits, residentMiB, peakMiB }: Measured): Report {
  const of = (pick: (edit: Edit) => number) => median(edits.map(pick));
  const changes = edits.flatMap(({ changes }) => changes);
  const lastMs = of(({ lastMs }) => lastMs);
  const cpuMs = of(({ cpuMs }) => cpuMs);
  const rows = [
    ['from the edit to the first pod, ms', of(({ firstMs }) => firstMs).toFixed(0)],
    ['… to half of the pods, ms', of(({ medianMs }) => medianMs).toFixed(0)],
    ['… to the last pod, ms', lastMs.toFixed(0)],
    ['CPU of the agent for all pods, ms', cpuMs.toFixed(0)],
    ['changes in the kernel for each pod, at most', String(Math.max(...changes))],
    ['resident memory of the agent before the edits, MiB', residentMiB.toFixed(0)],
    ['… at most, MiB', peakMiB.toFixed(0)],
  ];
  const title = `an edit of one line: ${subnets.toLocaleString('en')} subnets, ${pods} pods, median of ${edits.length} edits`;
  return {
    tables: [`| ${title} | |`, '| --- | ---: |', ...rows.map((row) => `| ${row.join(' | ')} |`)].join('\n'),
    figures: [
      { name: 'changes in the kernel for each pod', value: Math.max(...changes), aim: 1 },
      { name: 'seconds to the last pod', value: lastMs / 1000, aim: 10, unit: ' s' },
    ],
  };
}
