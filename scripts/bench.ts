import { Bench } from './bench/bench.ts';
import { benchLargeNode } from './bench/large-node.ts';
import { benchManyRoutes } from './bench/many-routes.ts';
import { benchStartUp } from './bench/start-up.ts';

// Measures whole processes, ours and a peer's in turn, and prints the medians, and the medians of the ratios of the pairs, as
// tables. Everything happens in network namespaces of its own. Usage: bench.ts [--rounds <n>] [<bench>…]

const BENCHES: { readonly [name: string]: (bench: Bench) => void } = {
  'start-up': benchStartUp,
  'many-routes': benchManyRoutes,
  'large-node': benchLargeNode,
};

const args = process.argv.slice(2);
const rounds = args.includes('--rounds') ? Number(args.splice(args.indexOf('--rounds'), 2)[1]) : 7;
const unknown = args.filter((name) => BENCHES[name] === undefined);
if (unknown.length > 0)
  throw new Error(`no such bench: ${unknown.join(', ')}; there are ${Object.keys(BENCHES).join(', ')}`);

const bench = new Bench(rounds);
try {
  for (const [name, run] of Object.entries(BENCHES)) if (args.length === 0 || args.includes(name)) run(bench);
} finally {
  bench.close();
}
