import type { BenchAgent } from './agent.ts';
import { pause } from './agent.ts';
import type { Bench, Step } from './bench.ts';
import type { Sample } from './measure.ts';
import { previousResult, quietly, shim } from './ours.ts';
import { has, peer, tuningKeys } from './peers.ts';
import type { Report } from './report.ts';
import { TWO_ROUTES } from './start-up.ts';
import { median, middleOf, percentile } from './statistics.ts';

export const PODS = 100;

type Burst = { readonly all: Sample; readonly latenciesMs: readonly number[] };

/** An ADD for every one of a hundred pods at once, then DEL. */
export function benchBurst(bench: Bench): Report {
  return bench.withAgent((agent) => {
    const ours = oursForAll(bench, agent);
    const theirs = has('tuning') ? tuningForAll(bench) : undefined;
    const bursts: { ours: Burst; theirs: Burst | undefined }[] = [];
    for (let round = 0; round <= bench.rounds; round++) {
      const burst = { ours: play(bench, ours, agent), theirs: theirs && play(bench, theirs) };
      if (round > 0) bursts.push(burst);
    }

    const rows = [
      row(
        'static-route, shim and agent',
        bursts.map((each) => each.ours),
      ),
    ];
    const pairs = bursts.flatMap((each) => (each.theirs === undefined ? [] : [{ ...each, theirs: each.theirs }]));
    if (pairs.length > 0)
      rows.push(
        row(
          'tuning, Go',
          pairs.map((each) => each.theirs),
        ),
      );
    const ratio = (of: (sample: Sample) => number) =>
      pairs.length === 0 ? { value: 'no Go' } : middleOf(pairs.map((each) => of(each.ours.all) / of(each.theirs.all)));
    return {
      tables: [
        `| ${PODS} pods at once | all done, ms | CPU s | peak MiB | p50 ms | p99 ms |`,
        '| --- | ---: | ---: | ---: | ---: | ---: |',
        ...rows,
      ].join('\n'),
      figures: [
        { name: '100 pods at once, CPU, beside Go tuning', ...ratio(({ cpuMs }) => cpuMs), aim: 1 },
        { name: '100 pods at once, memory, beside Go tuning', ...ratio(({ peakMiB }) => peakMiB), aim: 1 },
      ],
    };
  });
}

/** ADD and DEL of two routes, for pod `{n}`. */
export function oursForAll(bench: Bench, agent: BenchAgent): Step[] {
  const config = { ...quietly(bench), interface: 'eth0', routes: routesWithGateway() };
  return ['ADD', 'DEL'].map((verb) => forEachPod(bench, shim(bench, agent, 'static-route', verb, config)));
}

function tuningForAll(bench: Bench): Step[] {
  const config = { prevResult: previousResult(bench.pod), ...tuningKeys(bench) };
  return ['ADD', 'DEL'].map((verb) => forEachPod(bench, peer(bench, 'tuning', verb, config)));
}

function routesWithGateway() {
  return TWO_ROUTES.map((route) => ({ gw: '10.131.0.1', ...route }));
}

function forEachPod(bench: Bench, step: Step): Step {
  const env = { ...step.env, CNI_CONTAINERID: 'bench{n}', CNI_NETNS: `/run/netns/${bench.pods(PODS)}{n}` };
  return { ...step, env };
}

function play(bench: Bench, steps: readonly Step[], agent?: BenchAgent): Burst {
  const before = agent?.cpuMs() ?? 0;
  const ran = steps.map((step) => bench.runAll(step, PODS));
  pause(20);
  const cpuMs = ran.reduce((sum, { all }) => sum + all.cpuMs, (agent?.cpuMs() ?? 0) - before);
  const wallMs = ran.reduce((sum, { all }) => sum + all.wallMs, 0);
  const peakMiB = Math.max(...ran.map(({ all }) => all.peakMiB)) + (agent?.peakMiB() ?? 0);
  return { all: { wallMs, cpuMs, peakMiB }, latenciesMs: ran.flatMap(({ each }) => each.map((one) => one.wallMs)) };
}

function row(name: string, bursts: readonly Burst[]): string {
  const all = (of: (sample: Sample) => number) => median(bursts.map((each) => of(each.all)));
  const latency = (percent: number) => median(bursts.map(({ latenciesMs }) => percentile(latenciesMs, percent)));
  return `| ${[
    name,
    all(({ wallMs }) => wallMs).toFixed(0),
    (all(({ cpuMs }) => cpuMs) / 1000).toFixed(2),
    all(({ peakMiB }) => peakMiB).toFixed(0),
    latency(50).toFixed(0),
    latency(99).toFixed(0),
  ].join(' | ')} |`;
}
