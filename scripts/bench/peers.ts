import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench, Step } from './bench.ts';
import { called, unmeasured } from './ours.ts';

const TOOLS = join(import.meta.dirname, '../../.tools/bin');

/** `ip -batch` with a file of commands, in the pod. */
export function ipBatch(bench: Bench, name: string, lines: readonly string[]): Step {
  const file = bench.file(`${name.replaceAll(/\W/g, '')}.batch`, lines.map((line) => `${line}\n`).join(''));
  return { name, program: 'ip', args: ['-n', bench.pod, '-batch', file] };
}

/** An empty script on the runtime that is pinned: what no program on it can be faster than, as long as it is started so. */
export function emptyScript(bench: Bench): Step {
  return { name: 'empty script on Node.js', program: process.execPath, args: [bench.file('empty.cjs', '')], env: {} };
}

/** What seamless-static-route-cni did, by the programs that it called, on the node that it runs in. */
export function seamlessScript(bench: Bench): Step {
  return { name: 'bash script', program: 'bash', args: ['-c', SEAMLESS_SCRIPT, 'bash', bench.pod] };
}

/** The node's default route, the address of its interface, the first address of the pod's subnet, a route in the pod. */
const SEAMLESS_SCRIPT = `set -euo pipefail
interface=$(ip -4 route show default | awk '{ for (i = 1; i < NF; i++) if ($i == "dev") { print $(i + 1); exit } }')
host=$(ip -4 -o address show dev "$interface" scope global | awk '{ split($4, a, "/"); print a[1]; exit }')
subnet=$(ip netns exec "$1" ip -4 -o address show dev eth0 scope global | awk '{ print $4; exit }')
gateway=$(ipcalc-ng --minaddr "$subnet")
ip netns exec "$1" ip route add "$host/32" via "\${gateway#*=}" dev eth0`;

/** A plugin that others made, compiled Go. */
export function peer(bench: Bench, type: string, verb: string, config: object): Step {
  return { ...called(bench, type, verb, config), name: `${type} (${verb}), Go`, program: join(TOOLS, type), args: [] };
}

/** Is this plugin here? */
export function has(type: string): boolean {
  return existsSync(join(TOOLS, type));
}

/** What `tuning` is to do: the keys of its config, with a folder of its own for what it remembers. */
export function tuningKeys(bench: Bench, keys: object = { mtu: 1400 }): object {
  return { ...keys, dataDir: join(bench.dataDir, `tuning-${Object.keys(keys)}`) };
}

/** `sbr` moves the pod's routes to a table of their own, and leaves them there: this puts them back. */
export function afterSbr(bench: Bench): Step[] {
  const restore = 'route replace 10.131.0.0/23 dev eth0 proto kernel scope link src 10.131.0.5'.split(' ');
  return [
    { program: 'ip', args: ['-n', bench.pod, 'route', 'flush', 'table', '100'] },
    { program: 'ip', args: ['-n', bench.pod, ...restore] },
  ];
}

/** The reference plugins `tuning` and `sbr`: ADD, and what takes it back. None where they are not built. */
export function compiledPeers(bench: Bench, prevResult: object): Step[] {
  const tuning = { prevResult, ...tuningKeys(bench) };
  const steps = [
    peer(bench, 'tuning', 'ADD', tuning),
    unmeasured(peer(bench, 'tuning', 'DEL', tuning)),
    peer(bench, 'sbr', 'ADD', { prevResult }),
    unmeasured(peer(bench, 'sbr', 'DEL', { prevResult })),
  ];
  return [...steps.filter(({ program }) => existsSync(program)), ...afterSbr(bench)];
}
