import type { Bench } from './bench.ts';
import { bundle, previousResult, quietly, single, unmeasured } from './ours.ts';
import { compiledPeers, emptyScript } from './peers.ts';
import type { Report } from './report.ts';
import { tablesOf } from './table.ts';

/** Calls are short, so many of them are needed to tell one from the other. */
export const ROUNDS_FACTOR = 6;

/** The routes of an ordinary call. */
export const TWO_ROUTES = [{ dst: '10.10.0.0/16' }, { dst: '10.20.0.0/16', gw: '10.131.0.9' }];

/** How long an ordinary call takes: an ADD of two routes after another plugin's result, and each call undone. */
export function benchStartUp(bench: Bench): Report {
  const prevResult = previousResult(bench.pod);
  const config = { ...quietly(bench), prevResult, routes: TWO_ROUTES };
  const undo = unmeasured(single(bench, 'static-route', 'DEL', config));
  const [ours, bundled, empty] = [
    single(bench, 'static-route', 'ADD', config),
    bundle(bench, 'static-route', 'ADD', config),
    emptyScript(bench),
  ];
  const peers = compiledPeers(bench, prevResult);

  const samples = bench.repeat([ours, undo, empty, bundled, undo, ...peers], bench.rounds * ROUNDS_FACTOR);
  const [first = '', ...others] = samples.keys();
  return {
    tables: tablesOf(
      samples,
      others.map((other) => [first, other] as const),
    ),
  };
}
