import type { Bench, Step } from './bench.ts';
import { bundle, quietly, single } from './ours.ts';
import { compiledPeers, emptyScript } from './peers.ts';
import { printTables } from './table.ts';

/** Calls are short, so many of them are needed to tell one from the other. */
const ROUNDS_FACTOR = 6;

/** How long an ordinary call takes: an ADD of two routes behind the result of another plugin, and each call undone. */
export function benchStartUp(bench: Bench): void {
  const prevResult = {
    cniVersion: '1.0.0',
    interfaces: [{ name: 'eth0', sandbox: `/run/netns/${bench.pod}` }],
    ips: [{ address: '10.131.0.5/23', gateway: '10.131.0.1', interface: 0 }],
  };
  const routes = [{ dst: '10.10.0.0/16' }, { dst: '10.20.0.0/16', gw: '10.131.0.9' }];
  const config = { ...quietly(bench), prevResult, routes };
  const undo: Step = unnamed(single(bench, 'static-route', 'DEL', config));
  const [ours, bundled, empty] = [
    single(bench, 'static-route', 'ADD', config),
    bundle(bench, 'static-route', 'ADD', config),
    emptyScript(bench),
  ];
  const peers = compiledPeers(bench, prevResult);

  const rounds = bench.rounds * ROUNDS_FACTOR;
  const samples = bench.repeat([ours, undo, empty, bundled, undo, ...peers], rounds);
  const names = [...samples.keys()];
  const [first = '', ...others] = names;
  printTables(
    `One call, medians of ${rounds} rounds`,
    samples,
    others.map((other) => [first, other] as const),
  );
}

function unnamed({ name: _, ...step }: Step): Step {
  return step;
}
