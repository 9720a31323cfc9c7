import t from 'tap';
import { Metrics, REFUSALS } from '../../agent/metrics.ts';
import type { Queue } from '../../agent/queue.ts';
import type { CallReport } from '../../agent/report.ts';
import { parseMetrics } from '../support/agent/agent.ts';

function metricsOf(more: { isFound?: () => boolean } = {}) {
  const queue = { running: 3, waiting: 2, patient: 1 } as Queue;
  const metrics = new Metrics({ queue, configBytes: () => 5, plugins: ['static-route'], ...more });
  const values = async () => parseMetrics(await metrics.registry.metrics());
  const count = (report: Partial<CallReport>) =>
    metrics.countCall({ plugin: 'static-route', verb: 'ADD', cniCode: 0, seconds: 0.0004, ...report } as CallReport);
  return { metrics, values, count };
}

t.test('what is rare begins at zero', async (t) => {
  const values = await metricsOf().values();
  for (const verb of ['ADD', 'DEL', 'CHECK'])
    t.equal(values.get(`waymark_requests_total{plugin="static-route",verb="${verb}",code="0"}`), 0, verb);
  for (const code of [5, 11, 103, 999]) t.equal(values.get(`waymark_errors_total{code="${code}"}`), 0, `${code}`);
  for (const reason of REFUSALS)
    t.equal(values.get(`waymark_connections_refused_total{reason="${reason}"}`), 0, reason);
  t.strictSame(await metricsOf().metrics.calls(), []);
  t.strictSame(await metricsOf().metrics.refused(), {});
});

t.test('what is so at the moment', async (t) => {
  const values = await metricsOf().values();
  const names = ['requests_running', 'queue_length', 'requests_patient', 'socket_answers', 'config_bytes'];
  t.strictSame(
    names.map((name) => values.get(`waymark_${name}`)),
    [3, 2, 1, 1, 5],
  );
  t.equal((await metricsOf({ isFound: () => false }).values()).get('waymark_socket_answers'), 0);
  const share = values.get('waymark_event_loop_utilization') ?? -1;
  t.ok(share >= 0 && share <= 1, `${share}`);
  t.equal(values.get('nodejs_active_resources_total'), undefined);
  t.ok([...values.keys()].some((name) => name.startsWith('process_cpu_seconds_total')));
});

t.test('calls by plugin, verb and code; an unknown verb is another', async (t) => {
  const { metrics, values, count } = metricsOf();
  count({});
  count({ cniCode: 103 });
  count({ cniCode: 103, verb: 'VERSION' });
  count({ verb: 'x'.repeat(100) });
  const all = await values();
  t.equal(all.get('waymark_requests_total{plugin="static-route",verb="ADD",code="0"}'), 1);
  t.equal(all.get('waymark_requests_total{plugin="static-route",verb="ADD",code="103"}'), 1);
  t.equal(all.get('waymark_errors_total{code="103"}'), 2);
  t.strictSame([...(await metrics.calls())].map(({ verb, code, count }) => `${verb} ${code} ${count}`).sort(), [
    'ADD 0 1',
    'ADD 103 1',
    'VERSION 103 1',
    'other 0 1',
  ]);
  t.notOk([...all.keys()].some((name) => /waymark_errors_total\{code="0"\}/.test(name)));
});

t.test('how long they took, in buckets', async (t) => {
  const { metrics, count } = metricsOf();
  for (const seconds of [0.0002, 0.0004, 0.0004, 0.05, 700]) count({ seconds });
  count({ seconds: 0.0004, verb: 'DEL' });
  const durations = new Map((await metrics.durations()).map(({ atMost, count }) => [atMost, count]));
  t.strictSame(
    [0.00025, 0.0005, 0.016, 0.05, 600, Number.POSITIVE_INFINITY].map((bound) => durations.get(bound)),
    [1, 4, 4, 5, 5, 6],
  );
  const bounds = [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 120, 600];
  t.strictSame([...durations.keys()], [...bounds, Number.POSITIVE_INFINITY]);
});

t.test('changes, refusals and forgotten journals', async (t) => {
  const { metrics, values } = metricsOf();
  metrics.countChanges('applied', 'static-route', [{ op: 'add-route' }, { op: 'add-rule' }, { op: 'add-route' }]);
  metrics.countChanges('undone', 'static-route', [{ op: 'add-route' }]);
  metrics.countRefused('timeout');
  metrics.countRefused('timeout');
  metrics.countForgotten('static-route');
  const all = await values();
  t.equal(all.get('waymark_changes_applied_total{plugin="static-route",op="add-route"}'), 2);
  t.equal(all.get('waymark_changes_applied_total{plugin="static-route",op="add-rule"}'), 1);
  t.equal(all.get('waymark_changes_undone_total{plugin="static-route",op="add-route"}'), 1);
  t.equal(all.get('waymark_journals_forgotten_total{plugin="static-route"}'), 1);
  t.strictSame(await metrics.refused(), { timeout: 2 });
});
