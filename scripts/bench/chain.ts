import { createHash } from 'node:crypto';
import type { BenchAgent } from './agent.ts';
import type { Bench, Step } from './bench.ts';
import { NETWORK, previousResult, quietly, shim, warmUp } from './ours.ts';
import { afterSbr, has, peer, tuningKeys } from './peers.ts';
import type { Report } from './report.ts';
import { ROUNDS_FACTOR, TWO_ROUTES } from './start-up.ts';
import { tablesOf, wallRatio } from './table.ts';

const HOST = '10.0.32.2';

/** A chain of three plugins: ADD of each and DEL in reverse, six calls, as a runtime makes them. */
export function benchChain(bench: Bench): Report {
  return bench.withAgent((agent) => {
    const ours = together('our three, ADD and DEL', ourChain(bench, agent));
    warmUp(bench, [ours]);
    const peers = ['tuning', 'sbr'].every(has)
      ? [together('tuning, sbr, tuning, ADD and DEL, Go', theirChain(bench)), ...afterSbr(bench)]
      : [];
    const samples = bench.repeat([ours, ...peers], bench.rounds * ROUNDS_FACTOR);
    const [first = '', second] = samples.keys();
    const ratio = second === undefined ? { value: 'no Go' } : wallRatio(samples, [first, second]);
    const figures = [{ name: 'a chain of three, ADD and DEL, beside three in Go', ...ratio, aim: 0.4 }];
    return { tables: tablesOf(samples, second === undefined ? [] : [[first, second]]), figures };
  });
}

/** Each plugin is given the result of the one before it, and all are given the last one at DEL. */
function ourChain(bench: Bench, agent: BenchAgent): Step[] {
  const [a, b] = TWO_ROUTES;
  const routes = [{ ...a, gw: '10.131.0.1' }, { ...b }];
  const withHost = [...routes, { dst: `${HOST}/32`, gw: '10.131.0.1' }];
  const renamed = `net${createHash('md5').update(NETWORK).digest('hex').slice(0, 12)}`;
  const result = (name?: string, of?: readonly object[]) => ({ prevResult: previousResult(bench.pod, name, of) });
  const last = result(renamed, withHost);
  const links: [plugin: string, keys: object, before: object][] = [
    ['static-route', { routes: TWO_ROUTES }, result()],
    ['seamless-gateway', { hostAddresses: [HOST] }, result('eth0', routes)],
    ['consistent-ifname', {}, result('eth0', withHost)],
  ];
  const call = (plugin: string, verb: string, config: object) =>
    shim(bench, agent, plugin, verb, { ...quietly(bench), ...config });
  return [
    ...links.map(([plugin, keys, before]) => call(plugin, 'ADD', { ...keys, ...before })),
    ...links.toReversed().map(([plugin, keys]) => call(plugin, 'DEL', { ...keys, ...last })),
  ];
}

/** `tuning` twice, since it does the least of all. */
function theirChain(bench: Bench): Step[] {
  const prevResult = previousResult(bench.pod);
  const links: [plugin: string, keys: object][] = [
    ['tuning', tuningKeys(bench)],
    ['sbr', {}],
    ['tuning', tuningKeys(bench, { allmulti: true })],
  ];
  const call = (plugin: string, verb: string, keys: object) => peer(bench, plugin, verb, { prevResult, ...keys });
  return [
    ...links.map(([plugin, keys]) => call(plugin, 'ADD', keys)),
    ...links.toReversed().map(([plugin, keys]) => call(plugin, 'DEL', keys)),
  ];
}

function together(name: string, [first, ...then]: readonly Step[]): Step {
  if (first === undefined) throw new Error(`${name}: nothing to measure`);
  return { ...first, name, then };
}
