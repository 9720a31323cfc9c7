import type { Bench } from './bench.ts';
import type { Figure } from './chart.ts';
import { previousResult, quietly, shim, unmeasured, warmUp } from './ours.ts';
import { compiledPeers, has, ipBatch, peer } from './peers.ts';
import type { Report } from './report.ts';
import { ROUNDS_FACTOR } from './start-up.ts';
import { tablesOf, wallRatio } from './table.ts';

const PEER = 'route-override';

/** The same ten routes by the same keys, ours and route-override's; `sbr` beside them in any case. */
export function benchTenRoutes(bench: Bench): Report {
  const prevResult = previousResult(bench.pod);
  const addroutes = Array.from({ length: 10 }, (_, i) => ({ dst: `10.${i + 10}.0.0/16`, gw: '10.131.0.1' }));
  // It has no DEL that takes them away.
  const undo = unmeasured(
    ipBatch(
      bench,
      'undo',
      addroutes.map(({ dst }) => `route del ${dst}`),
    ),
  );
  return bench.withAgent((agent) => {
    const config = { ...quietly(bench), prevResult, addroutes };
    const ours = ['ADD', 'DEL'].map((verb) => shim(bench, agent, 'static-route', verb, config));
    warmUp(bench, ours);
    const peers = has(PEER) ? [peer(bench, PEER, 'ADD', { prevResult, addroutes }), undo] : [];
    const samples = bench.repeat(
      [...ours, ...peers, ...compiledPeers(bench, prevResult)],
      bench.rounds * ROUNDS_FACTOR,
    );
    const [add = '', , ...others] = samples.keys();
    const pairs = others.map((other) => [add, other] as const);
    const [pair] = pairs;
    const ratio = has(PEER) && pair ? wallRatio(samples, pair) : { value: `${PEER} (its module cannot be had)` };
    const figure: Figure = { name: 'the same ten routes, beside route-override', ...ratio, aim: 0.5 };
    return { tables: tablesOf(samples, pairs), figures: [figure] };
  });
}
