import type { Bench, Step } from './bench.ts';
import { quietly, shim, single } from './ours.ts';
import { ipBatch } from './peers.ts';
import type { Report } from './report.ts';
import { type Pair, tablesOf, wallRatio } from './table.ts';

const ROUTES = 10_000;
const AIM = 1.2;

const VERBS = ['ADD', 'CHECK', 'DEL'] as const;
const PEER_OF = { ADD: 'ip -batch (add)', CHECK: 'ip -batch (add)', DEL: 'ip -batch (del)' };

/** One ADD, CHECK and DEL with very many routes, by agent and by single file, beside `ip` with the same ones. */
export function benchManyRoutes(bench: Bench): Report {
  const destinations = Array.from({ length: ROUTES }, (_, i) => `20.${i >> 8}.${i & 255}.0/24`);
  const lines = (verb: string) => destinations.map((dst) => `route ${verb} ${dst} via 10.131.0.1 dev eth0 proto 87`);
  const config = { ...quietly(bench), routes: destinations.map((dst) => ({ dst, gw: '10.131.0.1' })) };
  const [add, del] = [ipBatch(bench, PEER_OF.ADD, lines('add')), ipBatch(bench, PEER_OF.DEL, lines('del'))];

  return bench.withAgent((agent) => {
    const byAgent = VERBS.map((verb) => shim(bench, agent, 'static-route', verb, config));
    const bySingle = VERBS.map((verb) => single(bench, 'static-route', verb, config));
    const samples = bench.repeat([add, del, ...byAgent, ...bySingle]);
    const pairsOf = (steps: readonly Step[]) =>
      steps.map(({ name = '' }, i): Pair => [name, PEER_OF[VERBS[i] ?? 'ADD']]);
    const figures = pairsOf(byAgent).map((pair, i) => ({
      name: `10,000 routes, ${VERBS[i]}, beside ip -batch`,
      ...wallRatio(samples, pair),
      aim: AIM,
    }));
    return { tables: tablesOf(samples, [...pairsOf(byAgent), ...pairsOf(bySingle)]), figures };
  });
}
