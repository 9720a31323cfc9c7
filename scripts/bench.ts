import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { benchAgentCall } from './bench/agent-call.ts';
import { Bench } from './bench/bench.ts';
import { benchBurst } from './bench/burst.ts';
import { benchChain } from './bench/chain.ts';
import { benchFootprint } from './bench/footprint.ts';
import { benchLargeNode } from './bench/large-node.ts';
import { benchManyRoutes } from './bench/many-routes.ts';
import { aimsTable, machineLine, type Report, writeReports } from './bench/report.ts';
import { benchStartUp } from './bench/start-up.ts';
import { benchTenRoutes } from './bench/ten-routes.ts';

// Measures whole processes, ours and a peer's in turn, and prints tables of the medians, and of the medians of the ratios
// of each pair. Everything happens in network namespaces of its own. Usage: bench.ts [--rounds <n>] [--write <document>] [<bench>…]

const BENCHES: { readonly [name: string]: (bench: Bench) => Report } = {
  'agent-call': benchAgentCall,
  chain: benchChain,
  'ten-routes': benchTenRoutes,
  'many-routes': benchManyRoutes,
  burst: benchBurst,
  footprint: benchFootprint,
  'start-up': benchStartUp,
  'large-node': benchLargeNode,
};

const { values, positionals } = parseArgs({
  options: { rounds: { type: 'string', default: '7' }, write: { type: 'string' } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => BENCHES[name] === undefined);
if (unknown.length > 0)
  throw new Error(`no such bench: ${unknown.join(', ')}; there are ${Object.keys(BENCHES).join(', ')}`);
if (values.write !== undefined && positionals.length > 0) throw new Error('--write needs all the benches in one run');

const [load = 0] = loadavg();
const bench = new Bench(Number(values.rounds));
const reports = new Map<string, Report>();
try {
  for (const [name, run] of Object.entries(BENCHES)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const report = run(bench);
    reports.set(name, report);
    console.log(`\n## ${name}\n\n${report.tables}`);
  }
  console.log(`\n${machineLine(load)}`);
  console.log(`\n## aims\n\n${aimsTable([...reports.values()].flatMap(({ figures }) => figures ?? []))}`);
  if (values.write !== undefined) writeReports(values.write, reports, machineLine(load));
} finally {
  bench.close();
}
