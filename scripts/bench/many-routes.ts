import type { Bench } from './bench.ts';
import { quietly, single } from './ours.ts';
import { ipBatch } from './peers.ts';
import { printTables } from './table.ts';

const ROUTES = 10_000;

/** One ADD, CHECK and DEL with very many routes, beside `ip` with the same ones. */
export function benchManyRoutes(bench: Bench): void {
  const destinations = Array.from({ length: ROUTES }, (_, i) => `20.${i >> 8}.${i & 255}.0/24`);
  const lines = (verb: string) => destinations.map((dst) => `route ${verb} ${dst} via 10.131.0.1 dev eth0 proto 87`);
  const routes = destinations.map((dst) => ({ dst, gw: '10.131.0.1' }));
  const ours = (verb: string) => single(bench, 'static-route', verb, { ...quietly(bench), routes });
  const [add, del] = [ipBatch(bench, 'ip -batch (add)', lines('add')), ipBatch(bench, 'ip -batch (del)', lines('del'))];

  const samples = bench.repeat([add, del, ours('ADD'), ours('CHECK'), ours('DEL')]);
  printTables(`${ROUTES} routes, medians of ${bench.rounds} rounds`, samples, [
    ['static-route (ADD)', 'ip -batch (add)'],
    ['static-route (CHECK)', 'ip -batch (add)'],
    ['static-route (DEL)', 'ip -batch (del)'],
  ]);
}
