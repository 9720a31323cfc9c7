import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse, stringify } from 'yaml';
import { Metrics, REFUSALS } from '../../agent/metrics.ts';
import { Queue } from '../../agent/queue.ts';
import { CniCode } from '../../lib/cni/errors.ts';
import { schemaProblems } from '../support/kubernetes/kubernetes-schema.ts';
import { scratchFolder, works } from '../support/namespaces/namespace.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

type Rule = { alert: string; expr: string; labels: { severity: string }; annotations: { [name: string]: string } };

const manifest = parse(read('manifests/components/monitoring/rules.yaml'));
const rules: Rule[] = manifest.spec.groups.flatMap((group: { rules: Rule[] }) => group.rules);
const names = rules.map(({ alert }) => alert);
const TESTS = 'test/manifests/alerts-tests.yaml';

const noPromtool = works('promtool', ['--version']) ? false : 'needs promtool';

t.test('promtool accepts the rules, and each fires when it should and not before', { skip: noPromtool }, async (t) => {
  const folder = scratchFolder(t);
  writeFileSync(join(folder, 'rules.yaml'), stringify(manifest.spec));
  copyFileSync(join(ROOT, TESTS), join(folder, 'tests.yaml'));
  for (const args of [
    ['check', 'rules', '--lint-fatal', 'rules.yaml'],
    ['test', 'rules', 'tests.yaml'],
  ]) {
    const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: folder, encoding: 'utf8' });
    t.equal(status, 0, `${stdout}${stderr}`);
  }
});

t.test('each alert has tests: that it fires, that it does not fire too early, and not when all is well', async (t) => {
  const tests: { name: string; alert_rule_test: { alertname: string; exp_alerts?: object[] }[] }[] = parse(
    read(TESTS),
  ).tests;
  const [well, ...faults] = tests;
  t.strictSame(
    well?.alert_rule_test.map(({ alertname }) => alertname),
    names,
  );
  t.notOk(well?.alert_rule_test.some(({ exp_alerts }) => exp_alerts !== undefined));
  t.strictSame(
    faults.map(({ name }) => name),
    names,
  );
  for (const {
    name,
    alert_rule_test: [early, late],
  } of faults) {
    t.match([early?.alertname, late?.alertname], [name, name]);
    t.equal(early?.exp_alerts, undefined, name);
    t.equal(late?.exp_alerts?.length, 1, name);
  }
});

t.test('docs/alerts.md has a row and a section for each alert, in order, and each alert leads there', async (t) => {
  const page = read('docs/alerts.md');
  t.strictSame(
    [...page.matchAll(/^## (Waymark\w+)$/gm)].map(([, name]) => name),
    names,
  );
  const rows = [...page.matchAll(/^\| \[(Waymark\w+)\]\(#(\w+)\) \| (\w+) \|/gm)];
  t.strictSame(
    rows.map(([, name, , severity]) => [name, severity]),
    rules.map(({ alert, labels }) => [alert, labels.severity]),
  );
  for (const { alert, annotations } of rules) {
    t.equal(annotations.runbook, `docs/alerts.md#${alert.toLowerCase()}`);
    t.ok(annotations.summary && annotations.description, alert);
  }
});

t.test('the rules are a PrometheusRule by the operator’s schema', async (t) => {
  t.strictSame(schemaProblems(manifest), []);
});

/** Of the parts that only run with --node or --install, and of the survey. docs/hot-plug.md lists the first. */
const OF_PARTS: { [name: string]: readonly string[] } = {
  waymark_installed: [],
  waymark_attachments: ['state'],
  waymark_hotplug_pending: [],
  waymark_api_requests_total: ['verb', 'code'],
  waymark_fallbacks_total: [],
  waymark_healed_total: ['outcome'],
};

t.test('the alerts look at metrics that agents have, by values that exist before their first use', async (t) => {
  const queue = new Queue({ running: 1, waiting: 1, waitMs: 1 });
  const metrics = new Metrics({ queue, configBytes: () => 0, plugins: ['static-route'] });
  const all = await metrics.registry.getMetricsAsJSON();
  for (const { alert, expr } of rules) {
    const used = [...expr.matchAll(/\b((?:waymark|process)_\w+)/g)].map(([, name = '']) => name);
    t.ok(used.length > 0 || expr.includes('up{'), alert);
    for (const name of used) {
      if (Object.hasOwn(OF_PARTS, name)) continue;
      t.ok(
        all.some((metric) => metric.name === name),
        `${alert}: ${name}`,
      );
    }
    for (const [, reason = ''] of expr.matchAll(/reason!~"([^"]*)"/g))
      for (const word of reason.split('|')) t.ok((REFUSALS as readonly string[]).includes(word), word);
  }
  const valuesOf = (name: string, label: string) =>
    all.find((metric) => metric.name === name)?.values.map(({ labels, value }) => [labels[label as never], value]);
  t.strictSame(
    valuesOf('waymark_errors_total', 'code'),
    Object.values(CniCode).map((code) => [code, 0]),
  );
  t.strictSame(
    valuesOf('waymark_connections_refused_total', 'reason'),
    REFUSALS.map((reason) => [reason, 0]),
  );
  t.strictSame(valuesOf('waymark_requests_total', 'verb'), [
    ['ADD', 0],
    ['DEL', 0],
    ['CHECK', 0],
  ]);
  t.strictSame(await metrics.calls(), [], 'but nobody is told of what has not happened');
  t.strictSame(await metrics.refused(), {});
});

t.test('docs/agent.md explains every reason for a refusal', async (t) => {
  const [, table = ''] = read('docs/agent.md').split('| reason | what happened |');
  t.strictSame(
    [...(table.split('\n\n')[0] ?? '').matchAll(/^\| `([^`]+)`/gm)].map(([, reason]) => reason),
    [...REFUSALS],
  );
});
