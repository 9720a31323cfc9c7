import { readFileSync } from 'node:fs';
import type { Profiler } from 'node:inspector';
import { Session } from 'node:inspector/promises';
import { compile } from 'zod/mini';
import { Calls, type Client } from '../../agent/calls.ts';
import { DEFAULT_LIMITS } from '../../agent/limits.ts';
import { Metrics } from '../../agent/metrics.ts';
import { Queue } from '../../agent/queue.ts';
import { compileSchemas } from '../../lib/cni/schema.ts';
import { PLUGINS } from '../../plugins/index.ts';
import { Bench } from './bench.ts';
import { called, previousResult, quietly } from './ours.ts';
import type { Report } from './report.ts';
import { TWO_ROUTES } from './start-up.ts';
import { median } from './statistics.ts';

// Where the agent's own time goes in an ADD of two routes and its DEL: the same calls as those of shims, made in this process,
// under V8's sampling profiler. What shims, connections and the scheduler take is not in it.

const WARM_UP = 1500;
const ROUNDS = 4000;
const SAMPLE_US = 100;

/** Parts of a call, by the functions that do them; each sample counts for the innermost of these that is on its stack. */
const PARTS: readonly (readonly [part: string, functions: RegExp])[] = [
  [
    'the caller, its namespace, a netlink socket there',
    /^(?:callerOf|openNamespace|openPodNamespace|openTransport|withPod)$/,
  ],
  ['reading the request and the config', /^(?:readRequest|parseNetworkDocument|readConfig|previousResultOf)$/],
  ['the lock of the attachment', /^(?:tryLock|release|ensureFolder)$/],
  ['reading the kernel', /^(?:dump|get|listLinks|listRoutes|listAddresses)$/],
  ['planning', /^(?:planPatiently|planStaticRoutes|pendingChanges)$/],
  ['the journal', /^(?:record|changes|forget|load|write)$/],
  ['changes, by netlink', /^(?:apply|undo|change)$/],
  ['the answer', /^(?:resultDocument|answer|toVersion|reportOf|countCall)$/],
];

/** The report, or that there is none here. */
export async function benchProfile(): Promise<Report> {
  const bench = new Bench(1);
  try {
    return await profiled(bench);
  } finally {
    bench.close();
  }
}

async function profiled(bench: Bench): Promise<Report> {
  compileSchemas(compile);
  const queue = new Queue(DEFAULT_LIMITS);
  const metrics = new Metrics({ queue, configBytes: () => 0, plugins: ['static-route'] });
  const calls = new Calls({ plugins: PLUGINS, queue, metrics, limits: DEFAULT_LIMITS });
  const config = { ...quietly(bench), prevResult: previousResult(bench.pod), routes: TWO_ROUTES };
  const client: Client = { pid: process.pid, isGone: () => false, onGone: () => () => undefined };
  const requests = ['ADD', 'DEL'].map((verb) => {
    const { env, stdin } = called(bench, 'static-route', verb, config);
    return { plugin: 'static-route', env, stdin: readFileSync(stdin), took: [] as number[] };
  });
  const round = async () => {
    for (const { took, ...request } of requests) {
      const begun = performance.now();
      const { cniCode, message } = await calls.serve(request, client);
      took.push((performance.now() - begun) * 1000);
      if (cniCode !== 0) throw new Error(message);
    }
  };
  for (let n = 0; n < WARM_UP; n++) await round();
  for (const { took } of requests) took.length = 0;
  for (let n = 0; n < ROUNDS; n++) await round();
  const [add = 0, del = 0] = requests.map(({ took }) => median(took));
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US });
  await session.post('Profiler.start');
  for (let n = 0; n < ROUNDS; n++) await round();
  const { profile } = await session.post('Profiler.stop');
  session.disconnect();
  const shares = sharesOf(profile);
  const rows = [...shares].map(([part, share]) => `| ${part} | ${(100 * share).toFixed(0)} % |`);
  const head = `| one ADD (median ${add.toFixed(0)} µs) and its DEL (${del.toFixed(0)} µs) | share |`;
  return { tables: [head, '| --- | ---: |', ...rows].join('\n') };
}

function sharesOf({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Map<string, number> {
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  const names = new Map(nodes.map(({ id, callFrame }) => [id, callFrame.functionName.replace('#', '')]));
  const partOf = (sample: number): string => {
    if (names.get(sample) === '(garbage collector)') return 'collecting garbage';
    for (let id: number | undefined = sample; id !== undefined; id = parents.get(id)) {
      const part = PARTS.find(([, functions]) => functions.test(names.get(id as number) ?? ''));
      if (part !== undefined) return part[0];
    }
    return 'the rest: queue, promises, variables, this bench';
  };
  const sums = new Map<string, number>(PARTS.map(([part]) => [part, 0]));
  let all = 0;
  for (const [index, sample] of samples.entries()) {
    const us = timeDeltas[index] ?? 0;
    const part = partOf(sample);
    sums.set(part, (sums.get(part) ?? 0) + us);
    all += us;
  }
  return new Map([...sums].map(([part, us]) => [part, us / all]));
}
