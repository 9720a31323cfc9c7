import { spawnSync } from 'node:child_process';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { scratchFolder } from '../namespaces/namespace.ts';

// A dashboard as Grafana's own schema has it, which are the types of @grafana/schema: the compiler reports keys that it does
// not have and values that it does not allow.

const ROOT = join(import.meta.dirname, '../../..');

type Panel = { type: string; options?: object; targets?: object[]; fieldConfig?: { defaults: { custom?: object } } };

/** JSON has the values of enumerations, and what is left out has a default. */
const HEAD = `
import type { Dashboard, DataQuery } from '@grafana/schema';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Json<T> = T extends string
  ? \`\${T}\`
  : T extends number
    ? \`\${T}\` extends \`\${infer N extends number}\` ? N : never
    : T extends readonly (infer U)[]
      ? Json<U>[]
      : T extends object
        ? { [K in keyof T]?: Json<T[K]> }
        : T;
type Query = DataQuery & { expr: string; legendFormat?: string };
`;

/** The panels that have settings of their own, by type, and whether they have them for fields too. */
const PANELS: { readonly [type: string]: { readonly custom: boolean } } = {
  stat: { custom: false },
  timeseries: { custom: true },
};

/** What the compiler says against a dashboard; empty if it is one. Throws for a type of panel that it does not know. */
export function grafanaProblems(t: Test, dashboard: { panels: readonly Panel[] }): string {
  const folder = scratchFolder(t);
  const statements = dashboard.panels.flatMap(({ type, options, targets = [], fieldConfig }) => {
    if (type === 'row') return [];
    const panel = PANELS[type];
    if (panel === undefined) throw new Error(`panels of type ${type}: import their schema`);
    const custom = fieldConfig?.defaults.custom;
    return [
      `(${JSON.stringify(options ?? {})}) satisfies Json<${type}.Options>;`,
      ...(custom === undefined
        ? []
        : [
            `(${JSON.stringify(custom)}) satisfies ${panel.custom ? `Json<${type}.FieldConfig>` : 'Record<string, never>'};`,
          ]),
      ...targets.map((target) => `(${JSON.stringify(target)}) satisfies Json<Query>;`),
    ];
  });
  const whole = `(${JSON.stringify(dashboard)}) satisfies Json<Dashboard>;`;
  writeFileSync(join(folder, 'dashboard.mts'), [HEAD, whole, ...statements].join('\n'));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const options = ['--ignoreConfig', '--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext'];
  const tsc = [join(ROOT, 'node_modules/typescript/bin/tsc'), ...options, join(folder, 'dashboard.mts')];
  // The compiler is not to run with what tap loads into the processes of a test.
  const command = ['-u', 'NODE_OPTIONS', process.execPath, ...tsc];
  const { status, stdout, stderr } = spawnSync('env', command, { encoding: 'utf8' });
  return status === 0 ? '' : `${stdout}${stderr}`;
}
