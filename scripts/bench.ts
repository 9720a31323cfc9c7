import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { benchAgentCall } from './bench/agent-call.ts';
import { Bench } from './bench/bench.ts';
import { benchBurst } from './bench/burst.ts';
import { benchChain } from './bench/chain.ts';
import { benchFootprint } from './bench/footprint.ts';
import { benchFortyPods } from './bench/forty-pods.ts';
import { benchHotPlug, benchHotPlugLimited } from './bench/hot-plug.ts';
import { benchLargeNode } from './bench/large-node.ts';
import { benchLiveRoutes } from './bench/live-routes.ts';
import { benchManyRoutes } from './bench/many-routes.ts';
import { benchNode } from './bench/node.ts';
import { benchPodNetworks } from './bench/pod-networks.ts';
import { benchProfile } from './bench/profile.ts';
import { aimsTable, machineLine, type Report, writeReport, writeReports } from './bench/report.ts';
import { benchScale } from './bench/scale.ts';
import { benchSilence } from './bench/silence.ts';
import { benchStartUp } from './bench/start-up.ts';
import { benchTenRoutes } from './bench/ten-routes.ts';

// Measures whole processes, ours and a peer's in turn, and prints tables of the medians, and of the medians of the ratios
// of each pair. Everything happens in network namespaces of its own. Those on clusters, and those that compare nobody, run only if
// they are named, and have documents of their own. Usage: bench.ts [--rounds <n>] [--write <document>] [<bench>…]

const BENCHES: { readonly [name: string]: (bench: Bench) => Report } = {
  'agent-call': benchAgentCall,
  silence: benchSilence,
  chain: benchChain,
  'ten-routes': benchTenRoutes,
  'many-routes': benchManyRoutes,
  burst: benchBurst,
  footprint: benchFootprint,
  'start-up': benchStartUp,
  'large-node': benchLargeNode,
};

const ALONE: { readonly [name: string]: () => Promise<Report> } = {
  'forty-pods': benchFortyPods,
  'hot-plug': benchHotPlug,
  'hot-plug-limited': benchHotPlugLimited,
  'live-routes': benchLiveRoutes,
  node: benchNode,
  'pod-networks': benchPodNetworks,
  profile: benchProfile,
  scale: benchScale,
};

const { values, positionals } = parseArgs({
  options: { rounds: { type: 'string', default: '7' }, write: { type: 'string' } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => (BENCHES[name] ?? ALONE[name]) === undefined);
if (unknown.length > 0) {
  const known = Object.keys({ ...BENCHES, ...ALONE });
  throw new Error(`no such bench: ${unknown.join(', ')}; there are ${known.join(', ')}`);
}
const alone = positionals.filter((name) => ALONE[name] !== undefined);
const isWhole = positionals.length === 0 || (positionals.length === 1 && alone.length === 1);
if (values.write !== undefined && !isWhole)
  throw new Error('--write needs one bench with a document of its own, or all the others in one run');

const [load = 0] = loadavg();
for (const name of alone) {
  const report = await (ALONE[name] as () => Promise<Report>)();
  console.log(`\n## ${name}\n\n${report.tables}\n\n${machineLine(load)}`);
  if (values.write !== undefined) writeReport(values.write, name, report, machineLine(load));
}
if (positionals.length === 0 || positionals.length > alone.length) runHere();

function runHere(): void {
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
}
