import { statSync } from 'node:fs';
import { pause } from './agent.ts';
import type { Bench } from './bench.ts';
import { oursForAll, PODS } from './burst.ts';
import { shimOf } from './ours.ts';
import type { Report } from './report.ts';

/** The agent's memory is read after this many calls; growth counts from the second reading on. */
const CALLS = [0, 10_000, 100_000];
const SETTLE_MS = 1000;

/** How large shim and agent are: the shim's file and memory, the agent's memory when it has just started and later. */
export function benchFootprint(bench: Bench): Report {
  const shimKB = statSync(shimOf('static-route')).size / 1000;
  let shimPeakMiB = 0;
  const resident = bench.withAgent((agent) => {
    const steps = oursForAll(bench, agent);
    let made = 0;
    return CALLS.map((calls) => {
      while (made < calls) {
        for (const step of steps) {
          const { each } = bench.runAll(step, PODS);
          shimPeakMiB = Math.max(shimPeakMiB, ...each.map(({ peakMiB }) => peakMiB));
          made += PODS;
        }
      }
      pause(SETTLE_MS);
      return agent.residentMiB();
    });
  });
  const [, settled = Number.NaN, last = Number.NaN] = resident;
  return {
    tables: [
      '| what | size |',
      '| --- | ---: |',
      `| shim, file | ${shimKB.toFixed(1)} KB |`,
      `| shim, peak of memory | ${shimPeakMiB.toFixed(2)} MiB |`,
      ...CALLS.map(
        (calls, i) => `| agent, resident after ${calls.toLocaleString('en')} calls | ${resident[i]?.toFixed(0)} MiB |`,
      ),
    ].join('\n'),
    figures: [
      { name: 'shim, file', value: shimKB, aim: 100, unit: ' KB' },
      { name: 'shim, peak of memory', value: shimPeakMiB, aim: 2, unit: ' MiB' },
      { name: 'agent, memory after 100,000 calls, beside 10,000', value: last / settled, aim: 1.1 },
    ],
  };
}
