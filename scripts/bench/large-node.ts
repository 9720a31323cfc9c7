import type { Bench, Step } from './bench.ts';
import { quietly, single, unmeasured } from './ours.ts';
import { seamlessScript } from './peers.ts';
import type { Report } from './report.ts';
import { tablesOf } from './table.ts';

const HOST_ROUTES = 100_000;

/** `seamless-gateway` on a node with one route and on one with very many, beside the script that it comes from. */
export function benchLargeNode(bench: Bench): Report {
  const nodes = { '1 route': node(bench, 'small', 0), 'many routes': node(bench, 'large', HOST_ROUTES) };
  const add = single(bench, 'seamless-gateway', 'ADD', quietly(bench));
  const del = unmeasured(single(bench, 'seamless-gateway', 'DEL', quietly(bench)));
  const forget: Step = { program: 'ip', args: ['-n', bench.pod, 'route', 'del', '10.0.32.2'] };
  const steps = Object.entries(nodes).flatMap(([routes, namespace]) => [
    inNode(namespace, { ...add, name: `seamless-gateway (ADD), ${routes}` }),
    inNode(namespace, del),
    inNode(namespace, { ...seamlessScript(bench), name: `bash script, ${routes}` }),
    forget,
  ]);

  const tables = tablesOf(bench.repeat(steps), [
    ['seamless-gateway (ADD), many routes', 'seamless-gateway (ADD), 1 route'],
    ['seamless-gateway (ADD), 1 route', 'bash script, 1 route'],
    ['seamless-gateway (ADD), many routes', 'bash script, many routes'],
  ]);
  return { tables };
}

/** A node with an uplink and a default route, and as many others of each family. */
function node(bench: Bench, name: string, routes: number): string {
  const namespace = bench.namespace(name, [
    'link add uplink0 type veth peer name wire0',
    'address add 10.0.32.2/24 dev uplink0',
    'address add fd00:32::2/64 dev uplink0 nodad',
    'link set wire0 up',
    'link set uplink0 up',
    'route add default via 10.0.32.1',
  ]);
  const lines = Array.from({ length: routes }, (_, i) => [
    `route add 20.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32 via 10.0.32.9\n`,
    `route add 2001:db8:${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)}::/64 via fd00:32::9\n`,
  ]);
  const batch = bench.file(`${name}.batch`, lines.flat().join(''));
  bench.run({ program: 'ip', args: ['-n', namespace, '-batch', batch] });
  return namespace;
}

function inNode(namespace: string, { program, args, ...rest }: Step): Step {
  return { ...rest, program: 'ip', args: ['netns', 'exec', namespace, program, ...args] };
}
