import type { Sample } from './measure.ts';
import { medianOf, middleOf, ratiosOf } from './statistics.ts';

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
    const { wallMs, cpuMs, peakMiB } = medianOf(ratiosBetween(samples, [ours, peer]));
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

/** The ratio of a pair in wall time, as a figure has it. */
export function wallRatio(samples: Samples, pair: Pair): { value: number; between: [low: number, high: number] } {
  return middleOf(ratiosBetween(samples, pair).map(({ wallMs }) => wallMs));
}

function ratiosBetween(samples: Samples, [ours, peer]: Pair): Sample[] {
  return ratiosOf(samples.get(ours) ?? [], samples.get(peer) ?? []);
}

function short(value: number): string {
  return value.toFixed(value < 20 ? (value < 1 ? 2 : 1) : 0);
}
