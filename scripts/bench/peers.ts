import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench, Step } from './bench.ts';
import { called } from './ours.ts';

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

/** The reference plugins `tuning` and `sbr`, compiled Go: ADD, and what takes it back. None where they are not built. */
export function compiledPeers(bench: Bench, prevResult: object): Step[] {
  const peer = (type: string, verb: string, keys: object): Step => {
    const step = { ...called(bench, type, verb, { prevResult, ...keys }), program: join(TOOLS, type), args: [] };
    return verb === 'ADD' ? { ...step, name: `${type} (ADD), Go` } : step;
  };
  const tuning = { mtu: 1400, dataDir: join(bench.folder, 'tuning') };
  const steps = [
    peer('tuning', 'ADD', tuning),
    peer('tuning', 'DEL', tuning),
    peer('sbr', 'ADD', {}),
    peer('sbr', 'DEL', {}),
  ];
  // sbr moves the pod's routes to a table of their own, and leaves them there.
  const restore = 'route replace 10.131.0.0/23 dev eth0 proto kernel scope link src 10.131.0.5'.split(' ');
  return [
    ...steps.filter(({ program }) => existsSync(program)),
    { program: 'ip', args: ['-n', bench.pod, 'route', 'flush', 'table', '100'] },
    { program: 'ip', args: ['-n', bench.pod, ...restore] },
  ];
}
