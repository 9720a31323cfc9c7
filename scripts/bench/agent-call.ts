import type { Bench } from './bench.ts';
import { previousResult, quietly, shim, warmUp } from './ours.ts';
import { compiledPeers } from './peers.ts';
import type { Report } from './report.ts';
import { ROUNDS_FACTOR, TWO_ROUTES } from './start-up.ts';
import { tablesOf, wallRatio } from './table.ts';

/** An ordinary call by shim and agent, beside compiled peers and a program that does nothing. */
export function benchAgentCall(bench: Bench): Report {
  const prevResult = previousResult(bench.pod);
  const config = { ...quietly(bench), prevResult, routes: TWO_ROUTES };
  return bench.withAgent((agent) => {
    const ours = ['ADD', 'DEL'].map((verb) => shim(bench, agent, 'static-route', verb, config));
    const nothing = { name: '/bin/true', program: '/bin/true', args: [] };
    const steps = [...ours, nothing, ...compiledPeers(bench, prevResult)];
    warmUp(bench, ours);
    const samples = bench.repeat(steps, bench.rounds * ROUNDS_FACTOR);
    const [add = '', del = '', ...others] = samples.keys();
    const figures = others.map((peer) => ({
      name: `ADD of two routes, beside ${peer}`,
      ...wallRatio(samples, [add, peer]),
      aim: peer === nothing.name ? 2 : 0.5,
    }));
    const pairs = others.map((peer) => [add, peer] as const);
    return { tables: tablesOf(samples, [...pairs, [del, nothing.name]]), figures };
  });
}
