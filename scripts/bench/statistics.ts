import type { Sample } from './measure.ts';

/** The middle value, or the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The value that so many of a hundred are not above (nearest rank); NaN of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

/** A median, and the quartiles, between which half of the values lie. */
export function middleOf(values: readonly number[]): { value: number; between: [low: number, high: number] } {
  return { value: median(values), between: [percentile(values, 25), percentile(values, 75)] };
}

/** The median of each of the figures, by itself. */
export function medianOf(samples: readonly Sample[]): Sample {
  return {
    wallMs: median(samples.map(({ wallMs }) => wallMs)),
    cpuMs: median(samples.map(({ cpuMs }) => cpuMs)),
    peakMiB: median(samples.map(({ peakMiB }) => peakMiB)),
  };
}

/** The ratios of samples that were taken side by side. */
export function ratiosOf(ours: readonly Sample[], peers: readonly Sample[]): Sample[] {
  return ours.flatMap((sample, i) => {
    const peer = peers[i];
    if (peer === undefined) return [];
    return {
      wallMs: sample.wallMs / peer.wallMs,
      cpuMs: sample.cpuMs / peer.cpuMs,
      peakMiB: sample.peakMiB / peer.peakMiB,
    };
  });
}
