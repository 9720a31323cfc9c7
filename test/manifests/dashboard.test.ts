import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Metrics } from '../../agent/metrics.ts';
import { Queue } from '../../agent/queue.ts';
import { grafanaProblems } from '../support/kubernetes/grafana-schema.ts';

type Target = { expr: string };
type Panel = {
  id: number;
  type: string;
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: Target[];
};

const FILE = join(import.meta.dirname, '../../manifests/components/monitoring/dashboard.json');
const DASHBOARD = JSON.parse(readFileSync(FILE, 'utf8'));
const { panels, templating }: { panels: Panel[]; templating: { list: { name: string }[] } } = DASHBOARD;
const charts = panels.filter(({ type }) => type !== 'row');

/** The agent's own metrics, with the labels that each has besides those of the target. */
const METRICS: { [name: string]: string[] } = {
  waymark_requests_total: ['plugin', 'verb', 'code'],
  waymark_request_duration_seconds_bucket: ['plugin', 'verb', 'le'],
  waymark_queue_length: [],
  waymark_requests_running: [],
  waymark_requests_patient: [],
  waymark_config_bytes: [],
  waymark_event_loop_utilization: [],
  waymark_changes_applied_total: ['plugin', 'op'],
  waymark_changes_undone_total: ['plugin', 'op'],
  waymark_errors_total: ['code'],
  waymark_connections_refused_total: ['reason'],
  waymark_socket_answers: [],
  waymark_fallbacks_total: [],
  waymark_attachments: ['state'],
  ...hotPlugMetrics(),
};

// As docs/hot-plug.md lists them, which test/agent/hot-plug.test.ts compares with an agent's.
function hotPlugMetrics(): { [name: string]: string[] } {
  const page = readFileSync(join(import.meta.dirname, '../../docs/hot-plug.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `(waymark_\w+)` \| (\w+) \|([^|]*)\|/gm)];
  return Object.fromEntries(
    rows.flatMap(([, name = '', type, listed = '']) => {
      const labels = [...listed.matchAll(/`(\w+)`/g)].map(([, label = '']) => label);
      if (type !== 'histogram') return [[name, labels]];
      return [
        [`${name}_bucket`, [...labels, 'le']],
        [`${name}_count`, labels],
      ];
    }),
  );
}

/** The labels that Prometheus adds: the service's name, and the node by our ServiceMonitor. */
const TARGET_LABELS = ['job', 'node'];

const FUNCTIONS = ['sum', 'count', 'max', 'increase', 'rate', 'changes', 'histogram_quantile', 'by'];

// A name in a selector or `by (…)` is a label; a name before `{` is a metric.
function labelsOf(expr: string): string[] {
  const selectors = [...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, inside = '']) =>
    [...inside.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, name = '']) => name),
  );
  const groups = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, inside = '']) => inside.split(/,\s*/));
  return [...new Set([...selectors, ...groups])];
}

function metricsOf(expr: string): string[] {
  return [...expr.matchAll(/([a-z_][a-z0-9_]*)\{/g)].map(([, name = '']) => name);
}

t.test('every panel shows metrics of the agent, by labels that those metrics have', async (t) => {
  const queue = new Queue({ running: 1, waiting: 1, waitMs: 1 });
  const { registry } = new Metrics({ queue, configBytes: () => 0 });
  const names = (await registry.getMetricsAsJSON()).map(({ name }) => name);
  const ofProcess = names.filter((name) => !name.startsWith('waymark_'));
  t.ok(charts.length > 10);
  for (const { title, targets = [] } of charts) {
    t.ok(targets.length > 0, title);
    for (const { expr } of targets) {
      const metrics = metricsOf(expr);
      t.ok(metrics.length > 0, `${title}: ${expr}`);
      for (const metric of metrics) {
        t.ok(metric === 'up' || ofProcess.includes(metric) || Object.hasOwn(METRICS, metric), `${title}: ${metric}`);
        const known = [...TARGET_LABELS, ...(METRICS[metric] ?? [])];
        for (const label of labelsOf(expr)) t.ok(known.includes(label), `${title}: ${metric} has ${label}`);
      }
      const words = [...expr.matchAll(/\b([a-z_]+) ?\(/g)].map(([, name = '']) => name);
      for (const word of words) t.ok(FUNCTIONS.includes(word), `${title}: ${word}`);
    }
  }
});

t.test('every metric of the agent has a panel', async (t) => {
  const shown = charts.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => metricsOf(expr)));
  for (const metric of Object.keys(METRICS)) t.ok(shown.includes(metric), metric);
});

t.test('the panels do not overlap, and their identifiers are unique', async (t) => {
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Map<string, string>();
  for (const { title, gridPos } of panels) {
    t.ok(gridPos.x + gridPos.w <= 24, title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        const other = taken.get(`${x},${y}`);
        if (other !== undefined) t.fail(`${title} overlaps ${other}`);
        taken.set(`${x},${y}`, title);
      }
  }
});

t.test('every variable that a panel uses is defined by the dashboard or by Grafana', async (t) => {
  const known = [...templating.list.map(({ name }) => name), '__rate_interval', '__all'];
  for (const [, name = ''] of readFileSync(FILE, 'utf8').matchAll(/\$\{?(\w+)/g)) t.ok(known.includes(name), name);
});

/** Mistakes that Grafana would pass over in silence. */
const MISTAKES: [where: string, make: (dashboard: typeof DASHBOARD) => void][] = [
  ['a key of the dashboard', (dashboard) => Object.assign(dashboard, { refreshes: '30s' })],
  ['a key of a panel', ({ panels }) => Object.assign(panels[1], { desription: 'Agents' })],
  ['the type of a value', ({ panels }) => Object.assign(panels[1].gridPos, { x: '0' })],
  ['an option of a type of panel', ({ panels }) => Object.assign(panels[1].options, { colourMode: 'value' })],
  ['the value of an option', ({ panels }) => Object.assign(panels[1].options, { colorMode: 'loud' })],
  ['a key of a query', ({ panels }) => Object.assign(panels[1].targets[0], { legend: 'up' })],
  ['a setting of fields', ({ panels }) => Object.assign(panels[1].fieldConfig.defaults, { units: 'short' })],
];

// There is no Grafana in the registries that may be used here: the types that it publishes stand in for it.
t.test('the dashboard is one by Grafana’s own schema, which finds mistakes', async (t) => {
  t.equal(grafanaProblems(t, DASHBOARD), '');
  for (const [where, make] of MISTAKES) {
    const copy = structuredClone(DASHBOARD);
    make(copy);
    t.match(grafanaProblems(t, copy), /dashboard\.mts.*error TS2(322|353|820)/, where);
  }
});
