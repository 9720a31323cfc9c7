import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import { VERSION } from '../lib/version.ts';
import { PLUGIN_NAMES } from '../plugins/index.ts';

const ROOT = join(import.meta.dirname, '..');

// From the top down: a file may import from its own layer and from those below it (docs/architecture.md).
const LAYERS = [
  'cli',
  'agent',
  'controller',
  'plugins',
  'lib/json-schema',
  'lib/install',
  'lib/attachments',
  'lib/default-route',
  'lib/plugin',
  'lib/inventory',
  'lib/change',
  'lib/observation',
  'lib/runtime',
  'lib/kubernetes',
  'lib/kubelet',
  'lib/cri',
  'lib/cni',
  'lib/journal',
  'lib/files',
  'lib/http',
  'lib/netlink',
  'lib/native',
  'lib/netns',
  'lib/address',
];

/** The one file that knows every plugin; no plugin imports it. */
const REGISTRY = 'plugins/index.ts';

/** What every layer may import: one constant. */
const EVERYWHERE = ['lib/version.ts'];

const sources = ['lib', 'plugins', 'controller', 'cli', 'agent'].flatMap(filesIn);

function filesIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map(([, specifier = '']) => specifier);
}

function localImportsOf(file: string): string[] {
  // Not those of a text that a test writes.
  const local = importsOf(file).filter((specifier) => specifier.startsWith('.') && !specifier.includes('$'));
  return local.map((specifier) => relative(ROOT, join(ROOT, dirname(file), specifier)));
}

/** A file and all that it imports, directly or not. */
function loadedBy(file: string, loaded = new Set<string>()): Set<string> {
  if (loaded.has(file)) return loaded;
  loaded.add(file);
  for (const target of localImportsOf(file)) loadedBy(target, loaded);
  return loaded;
}

function layerOf(file: string): number {
  return LAYERS.findIndex((layer) => file.startsWith(`${layer}/`));
}

t.test('no import leads back to its own file, also in scripts and tests', async (t) => {
  const all = [...sources, ...filesIn('scripts'), ...filesIn('test')];
  t.strictSame(
    all.filter((file) => localImportsOf(file).some((target) => loadedBy(target).has(file))),
    [],
  );
});

t.test('an object of JSON and the variables of an environment are each one type', async (t) => {
  const definitions = sources.flatMap((file) => {
    const text = readFileSync(join(ROOT, file), 'utf8');
    return [...text.matchAll(/^(?:export )?type (Env|Variables|JsonObject) =/gm)].map(
      ([, name]) => `${name} in ${file}`,
    );
  });
  t.strictSame(definitions.sort(), ['JsonObject in lib/cni/json.ts', 'Variables in lib/cni/request.ts']);
});

t.test('every source file is in a layer', async (t) => {
  t.ok(sources.length > 40);
  t.strictSame(
    sources.filter((file) => layerOf(file) < 0 && !EVERYWHERE.includes(file)),
    [],
  );
});

t.test('docs/architecture.md lists the layers in this order', async (t) => {
  const page = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8');
  const folders = [...page.matchAll(/^\| `([^`]+)\/` \|/gm)].map(([, folder = '']) => folder.replace('/<name>', ''));
  t.strictSame(
    folders.filter((folder) => folder !== 'native'),
    LAYERS,
  );
});

t.test('imports go down the layers, never up, and never from plugin to plugin', async (t) => {
  for (const file of sources) {
    for (const target of localImportsOf(file)) {
      if (EVERYWHERE.includes(target)) continue;
      if (layerOf(target) < layerOf(file)) t.fail(`${file} imports ${target}, which is above it`);
      const isPlugins = file.startsWith('plugins/') && target.startsWith('plugins/') && file !== REGISTRY;
      if (isPlugins && dirname(file) !== dirname(target)) t.fail(`${file} imports ${target}, which is not its own`);
    }
  }
});

// What only one file may do, and the wrapper that the others use.
const RULES: [what: string, pattern: RegExp, only: RegExp, instead: string][] = [
  [
    'opens netlink sockets',
    /process\.dlopen|openSocket\(|openNotifications\(/,
    /^lib\/native\/native\.ts$|^lib\/netlink\/(transport|notifications)\.ts$/,
    'RouteSocket.open of lib/netlink/socket.ts, or Notifications.open',
  ],
  ['opens namespace files', /\/ns\/net|openSync\([^)]*netns/, /^lib\/netns\//, 'openNamespace of lib/netns/netns.ts'],
  [
    'uses netlink’s own sockets',
    /from 'netlink'|netlink\/dist\/(netlink|raw|rt\/rt)\b/,
    /^$/,
    'RouteSocket of lib/netlink/socket.ts',
  ],
  [
    'asks a change for its op',
    /\.op\b|\bop [!=]==|switch \(op\)/,
    /^(lib\/change\/(change|attachment-journal)|agent\/metrics)\.ts$/,
    'its row in KINDS of lib/change/change.ts',
  ],
  [
    'touches environment, arguments, stdio or exit code',
    /process\.(env|argv|stdin|stdout|stderr|exit\b|exitCode)|(read|write)Sync\([012]\b|console\./,
    /^(lib\/cni\/runner|cli\/(main|single))\.ts$/,
    'Outside of lib/cni/runner.ts in a plugin, what cli/main.ts hands them in a command',
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

t.test('a process of one plugin loads no other plugin', async (t) => {
  for (const name of PLUGIN_NAMES) {
    const loaded = [...loadedBy(`plugins/${name}/process.ts`)];
    t.ok(loaded.includes(`plugins/${name}/main.ts`), name);
    const others = loaded.filter((file) => file.startsWith('plugins/') && !file.startsWith(`plugins/${name}/`));
    t.strictSame(others, [], name);
  }
});

t.test('only the build loads what describes the configs', async (t) => {
  const isDescription = (file: string) => /^lib\/json-schema\/|^plugins\/[^/]+\/json-schema\.ts$/.test(file);
  const importers = sources.filter((file) => localImportsOf(file).some(isDescription));
  t.strictSame(
    importers.filter((file) => !isDescription(file)),
    [],
  );
  t.ok(importers.length >= PLUGIN_NAMES.length);
});

t.test('the version is package.json’s', async (t) => {
  t.equal(VERSION, JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version);
});
