import type { Sample } from './measure.ts';
import { medianOf, ratioOf } from './statistics.ts';

/** The samples of each step, by its name. */
export type Samples = ReadonlyMap<string, readonly Sample[]>;

/** Prints what each step took, and then the pairs, each with the ratios of ours to the peer's. */
export function printTables(
  title: string,
  samples: Samples,
  pairs: readonly (readonly [ours: string, peer: string])[],
): void {
  console.log(`\n## ${title}\n\n| whole process | wall ms | CPU ms | peak MiB |\n| --- | ---: | ---: | ---: |`);
  for (const [name, taken] of samples) {
    const { wallMs, cpuMs, peakMiB } = medianOf(taken);
    console.log(`| ${name} | ${short(wallMs)} | ${short(cpuMs)} | ${short(peakMiB)} |`);
  }
  console.log('\n| ours | beside | wall | CPU | memory |\n| --- | --- | ---: | ---: | ---: |');
  for (const [ours, peer] of pairs) {
    const { wallMs, cpuMs, peakMiB } = ratioOf(samples.get(ours) ?? [], samples.get(peer) ?? []);
    console.log(`| ${ours} | ${peer} | ${wallMs.toFixed(2)} | ${cpuMs.toFixed(2)} | ${peakMiB.toFixed(2)} |`);
  }
}

function short(value: number): string {
  return value.toFixed(value < 20 ? 1 : 0);
}
