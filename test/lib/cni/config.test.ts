import t from 'tap';
import * as z from 'zod/mini';
import { dataDirOf, parseConfig } from '../../../lib/cni/config.ts';
import { CniError } from '../../../lib/cni/errors.ts';
import { problemsIn } from '../../support/plugins/problems.ts';

const ownKeys = { routes: z._default(z.array(z.string()), []), onConflict: z.optional(z.string()) };

function parse(document: object) {
  return parseConfig(ownKeys, { ...document });
}

/** The problems of a config that is refused with 7. */
function problemsOf(document: object): string[] {
  try {
    parse(document);
  } catch (error) {
    if (error instanceof CniError && error.code === 7) return problemsIn(error);
    throw error;
  }
  return [];
}

t.test('a key within two edits of one of ours is a misspelling, with the suggestion', async (t) => {
  const table: [string, string][] = [
    ['route', 'routes'],
    ['Routes', 'routes'],
    ['roots', 'routes'],
    ['rotues', 'routes'],
    ['ruotes2', ''],
    ['onconflict', 'onConflict'],
    ['on_conflict', 'onConflict'],
    ['onConflicts', 'onConflict'],
    ['interfaces', 'interface'],
    ['intreface', 'interface'],
    ['datadir', 'dataDir'],
    ['dataDirs', 'dataDir'],
    ['data_dir', 'dataDir'],
    ['loglevel', 'logLevel'],
    ['logFiles', 'logFile'],
    ['skipCheck', 'skipcheck'],
    ['skip-check', 'skipcheck'],
  ];
  for (const [key, meant] of table) {
    const expected = meant === '' ? [] : [`${key}: is not a known key; did you mean "${meant}"?`];
    t.strictSame(problemsOf({ [key]: 1 }), expected, key);
  }
});

t.test('a key of somebody else is ignored with a warning, not an error', async (t) => {
  for (const key of ['deviceID', 'delegates', 'mtu', 'x', 'isGateway', 'io.kubernetes.cri.sandbox', 'constructor']) {
    const { warnings } = parse({ [key]: { anything: [1] } });
    t.equal(warnings.length, 1, key);
    t.match(warnings[0], key, key);
  }
});

t.test('a warning shows no more of a key than fits on a line', async (t) => {
  t.strictSame(parse({ 'a\nb': 1, '': 2 }).warnings, ['unknown key "a\\nb" is ignored', 'unknown key "" is ignored']);
  t.ok((parse({ ['x'.repeat(1 << 20)]: 1 }).warnings[0]?.length ?? 0) < 200);
});

t.test('the keys of the spec are neither warned about nor validated', async (t) => {
  const keys = ['cniVersion', 'name', 'type', 'args', 'ipam', 'dns', 'ipMasq', 'capabilities', 'runtimeConfig'];
  const document = Object.fromEntries(
    [...keys, 'prevResult', 'cni.dev/valid-attachments', 'cni.dev/attachments'].map((key) => [key, 5]),
  );
  t.strictSame(parse(document).warnings, []);
});

t.test('a key that is left out has its default, one that is null is refused', async (t) => {
  t.strictSame(parse({}).config, { dataDir: '/run/waymark', skipcheck: false, routes: [] });
  for (const key of ['interface', 'dataDir', 'logLevel', 'logFile', 'skipcheck', 'routes', 'onConflict']) {
    t.match(problemsOf({ [key]: null }), [new RegExp(`^${key}: `)], key);
  }
});

t.test('args.cni takes the place of the config, and its problems are reported with their own path', async (t) => {
  const document = { routes: ['a'], onConflict: 'fail', args: { cni: { routes: ['b', 'c'] } } };
  t.match(parse(document).config, { routes: ['b', 'c'], onConflict: 'fail' });
  t.match(problemsOf({ routes: ['a'], args: { cni: { routes: [1] } } }), [/^args\.cni\.routes\[0\]: /]);
  t.match(problemsOf({ args: { cni: { route: [] } } }), [/^args\.cni\.route: .*"routes"/]);
});

t.test('args.cni does not decide which files are written, not even with the value of the config', async (t) => {
  const dataDir = '/run/waymark';
  const args = { cni: { dataDir, logLevel: 'info', logFile: '/var/log/x' } };
  t.strictSame(problemsOf({ dataDir, args }), [
    'args.cni.dataDir: can be set in the network config only',
    'args.cni.logLevel: can be set in the network config only',
    'args.cni.logFile: can be set in the network config only',
  ]);
});

t.test('args of other conventions are left alone', async (t) => {
  for (const args of [null, 'text', 5, [], { labels: [] }, { cni: null }, { cni: [] }, { cni: 'x' }, { mesos: {} }]) {
    t.strictSame(parse({ args }).config.routes, [], JSON.stringify(args));
  }
});

t.test(
  'DEL and GC find the data folder of a config that is wrong otherwise, and the default for a wrong folder',
  async (t) => {
    t.equal(dataDirOf({ dataDir: '/var/lib/x', routes: 'wrong' }), '/var/lib/x');
    for (const dataDir of [undefined, null, 5, '', 'relative', '/a/../b', '/a\0b', []]) {
      t.equal(dataDirOf({ dataDir }), '/run/waymark', JSON.stringify(dataDir));
    }
  },
);
