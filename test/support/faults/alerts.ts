import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';

// Which alerts of the PrometheusRule hold for what a real agent's metrics were before and during a fault?

const RULES = join(import.meta.dirname, '../../../manifests/components/monitoring/rules.yaml');

/** What Prometheus has of an agent at a moment: values by series; nothing if it does not answer. */
export type Scrape = { readonly [series: string]: string } | undefined;

type Rule = { alert: string; expr: string };
const groups: { name: string; rules: Rule[] }[] = parse(readFileSync(RULES, 'utf8')).spec.groups;

/** The labels that Prometheus adds to each series (service-monitor.yaml). */
const TARGET = 'job="waymark-agent",node="node-1"';

const [STEADY_MINUTES, FAULT_MINUTES] = [30, 5];

/** The series that the alerts look at, of what `/metrics` says. */
export function scrapeOf(page: string): Scrape {
  const used = new Set(groups.flatMap(({ rules }) => rules.flatMap(({ expr }) => expr.match(/\b\w+_\w+\b/g) ?? [])));
  const lines = page.split('\n').flatMap((line) => {
    const [, name = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    return used.has(name) ? [[`${name}{${[labels, TARGET].filter(Boolean).join(',')}}`, value] as const] : [];
  });
  return Object.fromEntries(lines);
}

/**
 * What promtool says against these alerts, and no others, holding minutes after the fault began; empty if it agrees.
 How long the condition must hold until the alert fires (`for`) is left out; test/manifests/alerts.test.ts tests it.
 */
export function disagreement(folder: string, before: Scrape, during: Scrape, alerts: readonly string[]): string {
  const rules = groups.map(({ name, rules }) => ({ name, rules: rules.map(({ alert, expr }) => ({ alert, expr })) }));
  writeFileSync(join(folder, 'rules.yaml'), stringify({ groups: rules }));
  const test = {
    interval: '1m',
    input_series: series(before, during),
    promql_expr_test: [
      {
        expr: 'group by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: `${STEADY_MINUTES + FAULT_MINUTES - 1}m`,
        exp_samples: alerts.map((name) => ({ labels: `{alertname="${name}"}`, value: 1 })),
      },
    ],
  };
  writeFileSync(
    join(folder, 'test.yaml'),
    stringify({ rule_files: ['rules.yaml'], evaluation_interval: '1m', tests: [test] }),
  );
  const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', 'test.yaml'], {
    cwd: folder,
    encoding: 'utf8',
  });
  return status === 0 ? '' : `${stdout}${stderr}`;
}

function series(before: Scrape, during: Scrape): { series: string; values: string }[] {
  const up = (scrape: Scrape) => ({ [`up{${TARGET}}`]: scrape === undefined ? '0' : '1' });
  const [first, second] = [
    { ...before, ...up(before) },
    { ...during, ...up(during) },
  ] as { [series: string]: string }[];
  return [...new Set([...Object.keys(first ?? {}), ...Object.keys(second ?? {})])].map((name) => ({
    series: name,
    values: `${repeated(first?.[name], STEADY_MINUTES)} ${repeated(second?.[name], FAULT_MINUTES)}`,
  }));
}

function repeated(value: string | undefined, times: number): string {
  return value === undefined ? `_x${times}` : `${value}x${times - 1}`;
}
