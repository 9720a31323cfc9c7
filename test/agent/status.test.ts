import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Metrics } from '../../agent/metrics.ts';
import { Queue } from '../../agent/queue.ts';
import type { CallReport } from '../../agent/report.ts';
import { Failures, quantile, statusOf } from '../../agent/status.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';

const bucket = (...counts: number[]) =>
  [0.001, 0.01, 0.1, Number.POSITIVE_INFINITY].map((atMost, i) => ({ atMost, count: counts[i] ?? 0 }));

t.test('a quantile is the upper bound of the bucket that holds it, or unknown', async (t) => {
  const cases: [counts: number[], q: number, bound: number | null][] = [
    [[0, 0, 0, 0], 0.5, null],
    [[1, 1, 1, 1], 0.5, 0.001],
    [[0, 1, 1, 1], 0.99, 0.01],
    [[50, 100, 100, 100], 0.5, 0.001],
    [[49, 100, 100, 100], 0.5, 0.01],
    [[98, 98, 99, 100], 0.99, 0.1],
    [[90, 98, 98, 100], 0.9, 0.001],
    [[90, 98, 98, 100], 0.99, null],
    [[0, 0, 0, 7], 0.5, null],
  ];
  for (const [counts, q, bound] of cases) t.equal(quantile(bucket(...counts), q), bound, `${counts} ${q}`);
});

const report = (more: Partial<CallReport>): CallReport => ({
  plugin: 'static-route',
  verb: 'ADD',
  containerID: 'c',
  ifname: 'eth0',
  pod: undefined,
  code: 0,
  cniCode: 0,
  message: undefined,
  details: undefined,
  network: undefined,
  stdout: '',
  stderr: '',
  seconds: 0.0015,
  ...more,
});

t.test('the status adds up what was counted, over all plugins and verbs', async (t) => {
  const queue = new Queue({ running: 1, waiting: 1, waitMs: 1000 });
  const metrics = new Metrics({ queue, configBytes: () => 0 });
  const folder = scratchFolder(t);
  mkdirSync(join(folder, 'static-route'));
  for (const name of ['a-eth0.json', 'b-eth0.json', '.c-eth0.json.tmp'])
    writeFileSync(join(folder, 'static-route', name), '');
  for (let i = 0; i < 9; i++) metrics.countCall(report({}));
  metrics.countCall(report({ verb: 'DEL', plugin: 'other', code: 1, cniCode: 7, seconds: 1000 }));
  const failures = new Failures();
  const status = await statusOf(metrics, queue, failures, ['static-route', 'other'], folder);
  t.match(status, {
    pid: process.pid,
    requests: 10,
    errors: 1,
    running: 0,
    waiting: 0,
    patient: 0,
    latencySeconds: { p50: 0.002, p90: 0.002, p99: null },
    calls: [
      { plugin: 'static-route', verb: 'ADD', code: 0, count: 9 },
      { plugin: 'other', verb: 'DEL', code: 7, count: 1 },
    ],
    journals: { 'static-route': 2, other: 0 },
    lastFailures: [],
  });
  t.ok(status.memoryBytes > 1e6);
});

t.test('the last twenty failures are kept, the newest first, and nothing but who and why', async (t) => {
  const failures = new Failures();
  for (let i = 0; i < 25; i++)
    failures.add(report({ containerID: `c${i}`, code: 1, cniCode: 7, message: `m${i}`, stdout: 'all of it' }));
  const list = failures.list();
  t.equal(list.length, 20);
  t.match(list[0], { containerID: 'c24', cniCode: 7, message: 'm24', time: /^\d{4}-.*Z$/ });
  t.match(list.at(-1), { containerID: 'c5' });
  t.notMatch(JSON.stringify(list), 'all of it');
});
