import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { agentStatus } from '../agent/node-agent.ts';
import type { ContainerdNode, Pod } from './containerd.ts';
import { CONFIGURED, GREEN_NAME, GREEN_PLUGINS, greenList, look, traces } from './pod-network.ts';

/** The outcome of many calls, `atOnce` at a time. */
export type Outcome<T> = { done: T[]; failed: string[]; milliseconds: number[]; seconds: number };

/** Calls `act` for each item, `atOnce` at a time. */
export async function many<I, T>(
  items: readonly I[],
  atOnce: number,
  act: (item: I) => Promise<T>,
): Promise<Outcome<T>> {
  const outcome: Outcome<T> = { done: [], failed: [], milliseconds: [], seconds: 0 };
  const queue = items.values();
  const begin = performance.now();
  const worker = async () => {
    for (const item of queue) {
      const start = performance.now();
      try {
        outcome.done.push(await act(item));
      } catch (error) {
        outcome.failed.push((error as Error).message);
      }
      outcome.milliseconds.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  outcome.seconds = (performance.now() - begin) / 1000;
  return outcome;
}

/** Names for that many pods. */
export function podNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `pod-${index + 1}`);
}

/**
 * Starts and deletes that many pods with the installed executables, ten at a time: they have what the lists specify, and
 * leave no trace. Reports the times in a table. `keys` go into the plugins' configs.
 */
export async function comeAndGo(
  t: Test,
  node: ContainerdNode,
  count: number,
  what: string,
  keys: { dataDir?: string; [key: string]: unknown } = {},
): Promise<void> {
  await node.writeLists(greenList(keys));
  const before = await traces(node);

  const start = await many(podNames(count), 10, (name) => node.runPod(name));
  t.strictSame(start.failed, [], `${count} pods start`);
  const seen = await many(start.done, 1, async (pod) => ({ ...look(pod), misreported: misreported(pod) }));
  t.strictSame(seen.failed, [], 'all can be inspected');
  const different = [...new Set(seen.done.map((facts) => JSON.stringify(facts)))].map((facts) => JSON.parse(facts));
  t.strictSame(different, [{ ...CONFIGURED, misreported: [] }], 'all have the names and the routes, and say so');
  t.equal(new Set(start.done.map(({ status }) => status.network?.ip)).size, count, 'each has an address of its own');
  t.strictSame(cachedNames(node), Array(count).fill([GREEN_NAME, 'eth0']), 'the cached results have the names');
  const { journals } = await traces(node);
  const folders = GREEN_PLUGINS.flatMap((plugin) => Array(count).fill(join(keys.dataDir ?? '/run/waymark', plugin)));
  t.strictSame(journals.map((path) => dirname(path)).sort(), folders.sort(), 'the journals are where they belong');

  const end = await many(start.done, 10, ({ id }) => node.deletePod(id));
  t.strictSame(end.failed, [], 'they stop and are removed');
  t.strictSame(await traces(node), before, 'routes, links, journals, leases and results are gone');
  table(t, `${count} pods, ten at a time, by ${what}`, { start, look: seen, 'stop and remove': end });
}

/** containerd calls DEL when a pod is stopped, and again when it is removed. */
const CALLS = { ADD: 1, DEL: 2 };

/**
 * Asserts that the agent has answered every call for that many started pods, some of which still run, and none with an
 * error: no shim fell back.
 */
export function agentServed(t: Test, node: ContainerdNode, came: number, stillThere = 0): void {
  const { requests, errors, calls } = agentStatus(node);
  const times = { ADD: CALLS.ADD * came, DEL: CALLS.DEL * (came - stillThere) };
  const verbs = Object.entries(times).flatMap(([verb, count]) =>
    GREEN_PLUGINS.map((plugin) => `${count} ${verb} of ${plugin}: 0`),
  );
  const served = calls.map(({ plugin, verb, code, count }) => `${count} ${verb} of ${plugin}: ${code}`);
  t.strictSame(served.sort(), verbs.sort(), 'the agent answered each call');
  t.strictSame({ requests, errors }, { requests: (times.ADD + times.DEL) * GREEN_PLUGINS.length, errors: 0 });
}

// The pods for which PodSandboxStatus reports other addresses than the kernel.
function misreported({ status, interfaces, ipJson }: Pod): string[] {
  const inKernel = addressesOf(ipJson(`address show dev ${GREEN_NAME} scope global`));
  const { ip, additionalIps = [] } = status.network ?? {};
  const reported: [string, (string | undefined)[]][] = [
    ['the pod', [ip, ...additionalIps.map((additional) => additional.ip)]],
    ['eth0', interfaces.eth0?.IPConfigs?.map(({ IP }) => IP) ?? []],
  ];
  return reported
    .filter(([, said]) => said.toSorted().join() !== inKernel.join())
    .map(([of, said]) => `${of}: ${said.join()} reported, has ${inKernel.join()}`);
}

function addressesOf(links: { addr_info?: unknown }[]): string[] {
  const list = links.flatMap(({ addr_info }) => (addr_info ?? []) as { local?: string }[]);
  return list.flatMap(({ local }) => local ?? []).sort();
}

// The pod's interfaces in libcni's result cache, for each attachment to `green`.
function cachedNames({ machine }: ContainerdNode): string[][] {
  const files = machine.run('sh', ['-c', 'for file in /var/lib/cni/results/green-*; do cat "$file"; echo; done']);
  return files
    .trimEnd()
    .split('\n')
    .map((text) => JSON.parse(text).result.interfaces as { name: string; sandbox?: string }[])
    .map((interfaces) => interfaces.filter(({ sandbox }) => sandbox).map(({ name }) => name));
}

function table(t: Test, what: string, phases: { [phase: string]: Outcome<unknown> }): void {
  t.comment(what);
  t.comment('phase             pods  failed  seconds  median ms  slowest ms');
  for (const [phase, { done, failed, milliseconds, seconds }] of Object.entries(phases)) {
    const sorted = milliseconds.toSorted((a, b) => a - b);
    const cells = [
      done.length,
      failed.length,
      seconds.toFixed(1),
      sorted[sorted.length >> 1]?.toFixed(0),
      sorted.at(-1)?.toFixed(0),
    ];
    const widths = [4, 8, 9, 11, 12];
    t.comment(phase.padEnd(18) + cells.map((cell, index) => String(cell).padStart(widths[index] ?? 0)).join(''));
  }
}
