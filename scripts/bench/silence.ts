import type { Bench } from './bench.ts';
import { previousResult, quietly, shim, unmeasured, warmUp } from './ours.ts';
import type { Report } from './report.ts';
import { TWO_ROUTES } from './start-up.ts';
import { tablesOf, wallRatio } from './table.ts';

/** A round is long, so there are fewer of them than of other short calls. */
const ROUNDS_FACTOR = 3;

/** A call that comes after a second in which nothing happened, beside one that follows others at once. */
export function benchSilence(bench: Bench): Report {
  const config = { ...quietly(bench), prevResult: previousResult(bench.pod), routes: TWO_ROUTES };
  return bench.withAgent((agent) => {
    const [add, del] = ['ADD', 'DEL'].map((verb) => shim(bench, agent, 'static-route', verb, config));
    if (add === undefined || del === undefined) throw new Error('there are two verbs');
    warmUp(bench, [add, del]);
    const silence = { program: 'sleep', args: ['1'] };
    const nothing = { program: '/bin/true', args: [] };
    const [call, late] = [`${add.name}`, `${add.name}, after a second`];
    const [idle, lateIdle] = ['/bin/true', '/bin/true, after a second'];
    const samples = bench.repeat(
      [
        ...[silence, { ...add, name: late }, unmeasured(del), { ...add, name: call }, unmeasured(del)],
        ...[silence, { ...nothing, name: lateIdle }, { ...nothing, name: idle }],
      ],
      bench.rounds * ROUNDS_FACTOR,
    );
    return {
      tables: tablesOf(samples, [
        [late, call],
        [lateIdle, idle],
      ]),
      figures: [{ name: 'ADD of two routes after a second of silence', ...wallRatio(samples, [late, call]), aim: 1.3 }],
    };
  });
}
