import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { staticRoute } from '../plugins/static-route/main.ts';
import { noNamespaces, run, type Scratch, scratchFolder, scratchPod } from './support/namespaces/namespace.ts';
import { type Answer, call, variables } from './support/plugins/call.ts';

/** How many inputs each property throws at the plugin: a quarter of them always, the others for a minute. */
const RUNS = { mutated: 1_200, plausible: 800, nonsense: 1_200, timeLimit: 60_000 };

/** The codes that an ADD, CHECK or DEL may answer with. */
const CODES = [1, 3, 4, 6, 7, 100, 101, 102, 103, 104, 106];

type Json = { [key: string]: unknown };

/** Configs that are right, and between them use every key. */
const VALID: readonly Json[] = [
  {
    routes: [
      { dst: '10.9.0.0/16', gw: '10.244.1.1' },
      { dst: 'fd00:9::/48', gw: 'auto' },
    ],
    protocol: 99,
  },
  {
    routes: [
      { dst: 'default', gw: '10.244.1.1', priority: 50 },
      { dst: '::/0', gw: 'fd00:244:1::1', mtu: 1_400 },
    ],
  },
  { routes: [{ dst: '10.200.0.0/16', gw: '10.244.1.1' }], onConflict: 'replace', interface: 'eth0' },
  { routes: [{ dst: '10.200.0.0/16', gw: '10.244.1.1' }, { dst: 'fd00:200::/48' }], onConflict: 'keep' },
  {
    routes: [
      { dst: '10.9.0.0/16', type: 'blackhole', table: 99 },
      { dst: 'fd00:9::/48', type: 'unreachable' },
    ],
  },
  {
    routes: [
      { dst: '10.9.0.0/16', nexthops: [{ gw: '10.244.1.1' }, { gw: '10.244.1.2', weight: 3 }] },
      { dst: 'fd00:9::/48', nexthops: [{ gw: 'fd00:244:1::1', dev: 'eth0' }, { gw: 'fd00:244:1::2' }] },
    ],
  },
  {
    routes: [
      { dst: '10.9.0.0/16', dev: 'eth0', src: '10.244.1.5', scope: 253, advmss: 1_300 },
      { dst: '10.10.0.0/16', gw: '192.0.2.1', onlink: true },
    ],
    skipcheck: false,
    logLevel: 'info',
  },
  { args: { cni: { routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }], missingFamily: 'skip' } }, deviceID: 'x' },
  {
    prevResult: {
      cniVersion: '1.0.0',
      interfaces: [{ name: 'eth0', sandbox: '/run/netns/pod' }],
      ips: [{ address: '10.244.1.5/24', gateway: '10.244.1.1', interface: 0 }],
      routes: [{ dst: '0.0.0.0/0', gw: '10.244.1.1' }],
    },
    routes: [{ dst: '10.9.0.0/16' }],
  },
];

/** Values to put in the place of others: wrong in most places, right in some. */
const junk = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    [],
    {},
    '',
    'x',
    'auto',
    'default',
    'eth0',
    'peer',
    'lo',
    'none0',
    'replace',
    'keep',
    'skip',
    'blackhole',
    'prohibit',
    'throw',
    '0.3.1',
    '0.2.0',
    '1.0.0',
    '10.244.1.1',
    '10.244.1.5',
    '10.9.0.0/16',
    '10.9.0.0/32',
    '10.200.0.0/16',
    '127.0.0.0/8',
    '224.0.0.0/4',
    '0.0.0.0/0',
    '255.255.255.255/32',
    '255.255.255.255',
    '0.0.0.0',
    '::',
    '::/0',
    '::1/128',
    'ff00::/8',
    'fe80::1',
    'fe80::/10',
    'fd00:244:1::1',
    'fd00:244:1::5',
    'fd00:244:1::/64',
    '::ffff:10.0.0.1',
    '::ffff:10.0.0.0/104',
  ),
  fc.constantFrom(
    0,
    -0,
    1,
    4,
    5,
    52,
    87,
    253,
    254,
    255,
    256,
    1_024,
    1_280,
    65_520,
    0x7fff_ffff,
    0xffff_ffff,
    2 ** 32,
    -1,
    1.5,
    1e300,
  ),
  fc.jsonValue({ maxDepth: 2 }),
  fc.ipV4(),
  fc.ipV6(),
  fc.string({ unit: 'binary', maxLength: 20 }),
);

const mutation = fc.record({
  where: fc.nat(),
  what: fc.constantFrom('replace', 'replace', 'replace', 'delete', 'misspell', 'double', 'add'),
  value: junk,
  key: fc.oneof(
    fc.constantFrom('dev', 'table', 'priority', 'src', 'type', 'onlink', 'scope', 'gw', 'mtu'),
    fc.string(),
  ),
});

type Mutation = typeof mutation extends fc.Arbitrary<infer M> ? M : never;

const mutated = fc
  .tuple(fc.constantFrom(...VALID), fc.array(mutation, { minLength: 0, maxLength: 4 }))
  .map(([config, mutations]) => {
    const document = structuredClone({
      cniVersion: '1.1.0',
      name: 'net',
      type: 'static-route',
      dataDir: '',
      ...config,
    });
    for (const each of mutations) mutate(document, each);
    return document;
  });

/** Routes of the right shape, which the kernel may take or not. */
const plausibleRoute = fc.oneof(
  routeOf({
    dst: [
      '10.9.0.0/16',
      '10.9.0.0/24',
      '10.200.0.0/16',
      '10.244.1.0/24',
      '10.244.1.5/32',
      'default',
      '127.0.0.0/8',
      '224.0.0.0/4',
    ],
    addresses: ['10.244.1.1', '10.244.1.5', '10.244.1.255', '192.0.2.1', '127.0.0.1', '0.0.0.0', '255.255.255.255'],
    scope: [0, 200, 253, 254, 255],
  }),
  routeOf({
    dst: [
      'fd00:9::/48',
      'fd00:200::/48',
      'fd00:244:1::/64',
      'fd00:244:1::5/128',
      '::/0',
      'ff00::/8',
      'fe80::/64',
      '::1/128',
    ],
    addresses: ['fd00:244:1::1', 'fd00:244:1::5', 'fd00:1::1', 'fe80::1', '::', '::1', 'ff02::1'],
    scope: [0],
  }),
);

const plausible = fc.record({
  cniVersion: fc.constant('1.1.0'),
  name: fc.constant('net'),
  routes: fc.array(plausibleRoute, { maxLength: 6 }),
  onConflict: fc.constantFrom('fail', 'replace', 'keep'),
  missingFamily: fc.constantFrom('fail', 'skip'),
  protocol: fc.constantFrom(5, 87, 186, 255),
});

const nonsense = fc.oneof(
  fc.json(),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: 'grapheme', maxLength: 100 }),
  // A config that broke on the way.
  fc
    .tuple(fc.constantFrom(...VALID), fc.nat(), fc.string({ unit: 'binary', maxLength: 3 }))
    .map(([config, at, text]) => {
      const whole = JSON.stringify({ cniVersion: '1.1.0', name: 'net', ...config });
      const place = at % whole.length;
      return `${whole.slice(0, place)}${text}${whole.slice(place + 1)}`;
    }),
);

for (const [name, configs, runs] of [
  ['mutated', mutated as fc.Arbitrary<Json>, RUNS.mutated],
  ['plausible', plausible as fc.Arbitrary<Json>, RUNS.plausible],
] as const) {
  t.test(
    `a ${name} config is added and taken back, or refused and nothing changes`,
    { skip: noNamespaces },
    async (t) => {
      const seen = new Map<number, number>();
      await holdsForAll(t, configs, runs, async (place, config) => {
        const code = await addAndTakeBack(place, contained(config, place.folder));
        seen.set(code, (seen.get(code) ?? 0) + 1);
      });
      t.comment(`answers of ADD by code: ${[...seen].map(([code, count]) => `${code}: ${count}`).join(', ')}`);
      const good = seen.get(0) ?? 0;
      const all = [...seen.values()].reduce((sum, count) => sum + count, 0);
      t.ok(good > all / 20, 'some of the configs were good');
      t.ok(good < all - all / 20, 'and some were not');
    },
  );
}

t.test('nonsense is answered with an error and changes nothing', { skip: noNamespaces }, async (t) => {
  await holdsForAll(t, nonsense, RUNS.nonsense, async ({ pod, folder }, input) => {
    const stdin = typeof input === 'string' ? containedText(input, folder) : input;
    for (const verb of ['ADD', 'CHECK', 'DEL']) {
      assertAnswer(await call(staticRoute, variables(verb, pod.path), stdin));
    }
  });
});

/** A pod, its routes before the input, and a folder for files. */
type Place = { readonly pod: Scratch; readonly before: string; readonly folder: string };

/** Holds for all inputs that `work` does not throw, and leaves the pod's routes as they were. */
async function holdsForAll<T>(
  t: Test,
  inputs: fc.Arbitrary<T>,
  numRuns: number,
  work: (place: Place, input: T) => Promise<void>,
): Promise<void> {
  let pod = podWithForeignRoutes(scratchPod(t));
  let folder = scratchFolder(t);
  let before = tablesOf(pod);
  const property = fc.asyncProperty(inputs, async (input) => {
    try {
      await work({ pod, before, folder }, input);
      assertSame(tablesOf(pod), before, 'the tables are not as before');
    } catch (error) {
      // The next input, a smaller one, is tried on a pod that this one has not spoilt.
      pod = podWithForeignRoutes(scratchPod(t));
      folder = scratchFolder(t);
      before = tablesOf(pod);
      throw error;
    }
  });
  for (const parameters of [
    { numRuns: numRuns / 4 },
    { numRuns: (numRuns * 3) / 4, interruptAfterTimeLimit: RUNS.timeLimit },
  ]) {
    const details = await fc.check(property, parameters);
    if (details.failed) t.fail(`${fc.defaultReportMessage(details)}\n${(details.errorInstance as Error).message}`);
  }
}

/** The code of the ADD; 0 for success. Throws if it is not followed by what has to follow. */
async function addAndTakeBack({ pod, before }: Place, stdin: Json): Promise<number> {
  const ask = async (verb: string) => {
    const answer = await call(staticRoute, variables(verb, pod.path), stdin);
    assertAnswer(answer);
    return answer;
  };
  const add = await ask('ADD');
  if (add.code === 1) assertSame(tablesOf(pod), before, 'a failed ADD changed something');

  const check = await ask('CHECK');
  // 1: the version has no CHECK.
  const mayFail = add.code === 1 || check.document?.code === 1;
  if (check.code !== 0 && !mayFail) throw new Error(`CHECK after ADD: ${check.stdout}`);

  const del = await ask('DEL');
  if (add.code === 0 && del.code !== 0) throw new Error(`DEL after ADD: ${del.stdout}`);
  return add.document?.code ?? 0;
}

type Pools = { dst: string[]; addresses: string[]; scope: number[] };

function routeOf({ dst, addresses, scope }: Pools): fc.Arbitrary<object> {
  const gw = fc.constantFrom(...addresses);
  const dev = fc.constantFrom('eth0', 'eth0', 'peer', 'lo');
  const hop = fc.record({ gw, dev, weight: fc.constantFrom(1, 2, 256) }, { requiredKeys: [] });
  const attributes = {
    dst: fc.constantFrom(...dst),
    src: fc.constantFrom(...addresses),
    priority: fc.constantFrom(0, 1, 100, 1_024, 0xffff_ffff),
    table: fc.constantFrom(1, 99, 100, 253, 254, 255, 0xffff_ffff),
    scope: fc.constantFrom(...scope),
    mtu: fc.constantFrom(1, 68, 1_280, 65_520),
    advmss: fc.constantFrom(1, 1_300, 65_495),
  };
  const requiredKeys: ['dst'] = ['dst'];
  const type = fc.constantFrom('blackhole', 'unreachable', 'prohibit', 'throw');
  return fc.oneof(
    fc.record({ dst: attributes.dst, gw }, { requiredKeys }),
    fc.record({ ...attributes, gw, dev, onlink: fc.boolean() }, { requiredKeys }),
    fc.record({ ...attributes, nexthops: fc.array(hop, { minLength: 1, maxLength: 3 }) }, { requiredKeys }),
    fc.record({ ...attributes, type }, { requiredKeys: ['dst', 'type'] }),
  );
}

/** Exit code 0 or 1; with 1 one document with a code that is known; nothing of our own insides. Throws otherwise. */
function assertAnswer({ code, stdout, stderr, document }: Answer): void {
  const complain = (what: string) => {
    throw new Error(`${what}\nstdout: ${stdout}\nstderr: ${stderr}`);
  };
  if (code !== 0 && code !== 1) complain(`exit code ${code}`);
  if (code === 1 && !CODES.includes(document?.code ?? -1)) complain('an unknown code, or none');
  if (code === 1 && !document?.msg) complain('no msg');
  if (code === 0 && document?.code !== undefined) complain('an error with exit code 0');
  if (/\bat (async |file:|new |Object\.)|(\n|\\n) {4}at /.test(stdout + stderr)) complain('a stack trace');
}

function assertSame(now: string, before: string, message: string): void {
  if (now === before) return;
  const [then, there] = [before, now].map((text) =>
    (JSON.parse(text) as object[]).map((route) => JSON.stringify(route)),
  );
  const gone = then?.filter((route) => !there?.includes(route));
  const added = there?.filter((route) => !then?.includes(route));
  throw new Error(`${message}\nmissing: ${gone?.join('\n')}\nthere now: ${added?.join('\n')}`);
}

/** Both families in one call of `ip`, since this is asked thousands of times. */
function tablesOf(pod: Scratch): string {
  return run('ip', ['-n', pod.name, '-j', '-d', 'route', 'show', 'table', 'all']);
}

/** Routes of others, for conflicts, and to see that they stay. */
function podWithForeignRoutes(pod: Scratch): Scratch {
  pod.ip('route add 10.200.0.0/16 via 10.244.1.2');
  pod.ip('route add fd00:200::/48 via fd00:244:1::2');
  pod.ip('route add blackhole 10.9.0.0/16 table 100');
  return pod;
}

/** The input with files in the test's own folder only, wherever it would have them. */
function contained(document: Json, folder: string): Json {
  const isPath = (value: unknown) => typeof value === 'string' && (value === '' || value.startsWith('/'));
  return {
    ...document,
    ...((document.dataDir === undefined || isPath(document.dataDir)) && { dataDir: join(folder, 'data') }),
    ...(isPath(document.logFile) && { logFile: join(folder, 'log') }),
  };
}

// A config that broke in a harmless place is a config.
function containedText(text: string, folder: string): string {
  try {
    const value: unknown = JSON.parse(text);
    if (!isObject(value) || Array.isArray(value)) return text;
    return JSON.stringify(contained(value, folder));
  } catch {
    return text;
  }
}

function mutate(document: Json, { where, what, value, key }: Mutation): void {
  const places = placesIn(document);
  const place = places[where % places.length];
  if (place === undefined) return;
  const [parent, name] = place;
  const old = parent[name];
  // A copy: a later mutation may go into it.
  if (what === 'replace') set(parent, name, structuredClone(value));
  else if (what === 'add') set(isObject(old) ? old : parent, key, structuredClone(value));
  else if (what === 'double') set(parent, name, Array.isArray(old) ? [...old, ...old] : [old, old]);
  else {
    delete parent[name];
    if (what === 'misspell') set(parent, `${name.slice(1)}${name.slice(0, 1)}`, old);
  }
}

// As JSON.parse does it: `__proto__` is a key like any other. A list has no keys but those of its elements.
function set(parent: Json, key: string, value: unknown): void {
  if (Array.isArray(parent) && !Object.keys(parent).includes(key)) parent.push(value);
  else Object.defineProperty(parent, key, { value, enumerable: true, configurable: true, writable: true });
}

/** Every key of every object and list in it, as [the object, the key]. */
function placesIn(value: Json): [Json, string][] {
  return Object.entries(value).flatMap(([key, part]) => [
    [value, key] as [Json, string],
    ...(isObject(part) ? placesIn(part) : []),
  ]);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null;
}
