import type { Sample } from './measure.ts';
import { medianOf, ratioOf } from './statistics.ts';

/** The samples of each step, by its name. */
export type Samples = ReadonlyMap<string, readonly Sample[]>;

/** Which step is compared with which. */
export type Pair = readonly [ours: string, peer: string];

/** What each step took, and then the pairs, each with the ratios of ours to the peer's. */
export function tablesOf(samples: Samples, pairs: readonly Pair[]): string {
  const steps = [...samples].map(([name, taken]) => {
    const { wallMs, cpuMs, peakMiB } = medianOf(taken);
    return `| ${name} | ${short(wallMs)} | ${short(cpuMs)} | ${short(peakMiB)} |`;
  });
  const ratios = pairs.map(([ours, peer]) => {
    const { wallMs, cpuMs, peakMiB } = ratioBetween(samples, [ours, peer]);
    return `| ${ours} | ${peer} | ${wallMs.toFixed(2)} | ${cpuMs.toFixed(2)} | ${peakMiB.toFixed(2)} |`;
  });
  return [
    '| whole process | wall ms | CPU ms | peak MiB |',
    '| --- | ---: | ---: | ---: |',
    ...steps,
    '',
    '| ours | beside | wall | CPU | memory |',
    '| --- | --- | ---: | ---: | ---: |',
    ...ratios,
  ].join('\n');
}

/** The ratios of a pair. */
export function ratioBetween(samples: Samples, [ours, peer]: Pair): Sample {
  return ratioOf(samples.get(ours) ?? [], samples.get(peer) ?? []);
}

function short(value: number): string {
  return value.toFixed(value < 20 ? (value < 1 ? 2 : 1) : 0);
}
