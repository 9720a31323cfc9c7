import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import { VERSION } from '../lib/version.ts';

const ROOT = join(import.meta.dirname, '..');

// From the top down: a file may import from its own layer and from those below it (docs/architecture.md).
const LAYERS = [
  'cli',
  'agent',
  'plugins',
  'lib/install',
  'lib/plugin',
  'lib/change',
  'lib/observation',
  'lib/runtime',
  'lib/kubernetes',
  'lib/cri',
  'lib/cni',
  'lib/journal',
  'lib/files',
  'lib/http',
  'lib/netlink',
  'lib/netns',
  'lib/address',
];

/** What every layer may import: one constant. */
const EVERYWHERE = ['lib/version.ts'];

const sources = ['lib', 'plugins', 'cli', 'agent'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name)),
);

function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map(([, specifier = '']) => specifier);
}

function layerOf(file: string): number {
  return LAYERS.findIndex((layer) => file.startsWith(`${layer}/`));
}

t.test('every source file is in a layer', async (t) => {
  t.ok(sources.length > 40);
  t.strictSame(
    sources.filter((file) => layerOf(file) < 0 && !EVERYWHERE.includes(file)),
    [],
  );
});

t.test('imports go down the layers, never up, and never from plugin to plugin', async (t) => {
  for (const file of sources) {
    const local = importsOf(file).filter((specifier) => specifier.startsWith('.'));
    for (const target of local.map((specifier) => relative(ROOT, join(ROOT, dirname(file), specifier)))) {
      if (EVERYWHERE.includes(target)) continue;
      if (layerOf(target) < layerOf(file)) t.fail(`${file} imports ${target}, which is above it`);
      const isOtherPlugin =
        file.startsWith('plugins/') && target.startsWith('plugins/') && dirname(file) !== dirname(target);
      if (isOtherPlugin) t.fail(`${file} imports ${target}, another plugin`);
    }
  }
});

// What only one file may do, and the wrapper that the others use.
const RULES: [what: string, pattern: RegExp, only: RegExp, instead: string][] = [
  [
    'opens netlink sockets',
    /process\.dlopen|openSocket\(/,
    /^lib\/netlink\/(native|transport)\.ts$/,
    'RouteSocket.open of lib/netlink/socket.ts',
  ],
  ['opens namespace files', /\/ns\/net|openSync\([^)]*netns/, /^lib\/netns\//, 'openNamespace of lib/netns/netns.ts'],
  [
    'uses netlink’s own sockets',
    /from 'netlink'|netlink\/dist\/(netlink|raw|rt\/rt)\b/,
    /^$/,
    'RouteSocket of lib/netlink/socket.ts',
  ],
  [
    'touches the process',
    /process\.(env|argv|stdin|stdout|stderr|exit\b|exitCode)/,
    /^(lib\/cni\/runner|cli\/(main|single))\.ts$/,
    'Outside of lib/cni/runner.ts',
  ],
];

for (const [what, pattern, only, instead] of RULES) {
  t.test(`no other file ${what}; they use ${instead}`, async (t) => {
    const offenders = sources.filter(
      (file) => !only.test(file) && pattern.test(readFileSync(join(ROOT, file), 'utf8')),
    );
    t.strictSame(offenders, []);
  });
}

t.test('a plugin’s folder holds its README, main, process, config and plan', async (t) => {
  for (const plugin of readdirSync(join(ROOT, 'plugins'))) {
    t.has(
      new Set(readdirSync(join(ROOT, 'plugins', plugin))),
      new Set(['README.md', 'config.ts', 'main.ts', 'plan.ts', 'process.ts']),
      plugin,
    );
  }
});

t.test('the version is package.json’s', async (t) => {
  t.equal(VERSION, JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version);
});
