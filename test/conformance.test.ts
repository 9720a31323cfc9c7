import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Outside, run } from '../lib/cni/runner.ts';
import { type CniVersion, SUPPORTED_VERSIONS } from '../lib/cni/version.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from './support/namespaces/namespace.ts';
import { type Answer, call, type Env, variables } from './support/plugins/call.ts';
import { PLUGINS, type PluginUnderTest } from './support/plugins/plugins.ts';
import { previousResult, unusualResult } from './support/plugins/previous-result.ts';
import { problemsIn } from './support/plugins/problems.ts';

const VERBS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'] as const;
type Verb = (typeof VERBS)[number];

/** What the reference skeleton requires (pkg/skel, getCmdArgsFromEnv). */
const REQUIRED: { readonly [V in Verb]: readonly string[] } = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_PATH'],
  GC: ['CNI_PATH'],
  STATUS: ['CNI_PATH'],
};

const ALL_VARIABLES = ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'];

/** The earliest version that has each verb, by the spec's changelog. */
const SINCE: { readonly [V in Verb]: CniVersion } = {
  ADD: '0.1.0',
  DEL: '0.1.0',
  CHECK: '0.4.0',
  GC: '1.1.0',
  STATUS: '1.1.0',
};

for (const entry of PLUGINS) {
  t.test(entry.name, { skip: noNamespaces }, async (t) => {
    testVariables(t, entry);
    testNames(t, entry);
    testNamespaces(t, entry);
    testVersions(t, entry);
    testCommands(t, entry);
    for (const version of SUPPORTED_VERSIONS) testResults(t, entry, version);
    testImpliedVersion(t, entry);
  });
}

function testVariables(t: Test, entry: PluginUnderTest): void {
  const missing = (verb: Verb, env: Env) => ALL_VARIABLES.filter((name) => REQUIRED[verb].includes(name) && !env[name]);

  for (const verb of VERBS) {
    t.test(`${verb} names every variable that is missing, and none that it does not need`, async (t) => {
      const { ask, pod } = setUp(t, entry);
      const full = variables(verb, pod.path);
      const cases: Env[] = [
        { CNI_COMMAND: verb },
        { CNI_COMMAND: verb, CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '', CNI_PATH: '' },
        ...ALL_VARIABLES.map((name) => ({ ...full, [name]: undefined })),
        ...ALL_VARIABLES.map((name) => ({ CNI_COMMAND: verb, [name]: full[name] })),
      ];
      for (const env of cases) {
        const expected = missing(verb, env);
        const answer = await ask(env, entry.idle, '1.1.0');
        const title = Object.keys(env)
          .filter((name) => env[name])
          .join(' ');
        if (expected.length === 0) {
          t.equal(answer.code, 0, `${title}: ${answer.stdout}`);
          continue;
        }
        refused(t, answer, 4, title);
        const named = ALL_VARIABLES.filter((name) => answer.document?.msg?.includes(name));
        t.strictSame(named, expected, title);
      }
    });
  }

  for (const verb of ['ADD', 'CHECK', 'DEL'] as const) {
    t.test(`${verb} names what is malformed together with what is missing, before it reads stdin`, async (t) => {
      const { pod } = setUp(t, entry);
      const env = variables(verb, pod.path, { CNI_CONTAINERID: '../x', CNI_IFNAME: 'a/b', CNI_PATH: '' });
      const answer = await call(entry.plugin, env, 'not JSON');
      refused(t, answer, 4);
      for (const name of ['CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_PATH']) t.match(answer.document?.msg, name);
      t.notMatch(answer.document?.msg, /CNI_NETNS/);
      t.equal(answer.document?.details?.split('\n').length, 3);
    });
  }

  for (const verb of ['GC', 'STATUS'] as const) {
    t.test(`${verb} does not look at variables that it does not need`, async (t) => {
      const { ask } = setUp(t, entry);
      const env = variables(verb, '/nowhere', { CNI_CONTAINERID: '../x', CNI_IFNAME: 'a/b' });
      succeeded(t, await ask(env, entry.idle, '1.1.0'));
    });
  }
}

// lib/cni/names.test.ts has the long tables; here it shows that every plugin and verb uses them.
function testNames(t: Test, entry: PluginUnderTest): void {
  const good = ['a', '0', 'A-b_c.d', 'a..', 'cnitool-77383ca0a0715733ca6f', 'f'.repeat(64), 'x'.repeat(200)];
  const bad = [
    '-a',
    '.a',
    '_a',
    '.',
    '..',
    '../a',
    'a/b',
    'a b',
    ' a',
    'a\n',
    'a:b',
    'a\\b',
    'é',
    'a%2f',
    'x'.repeat(221),
  ];
  const goodInterfaces = ['eth0', 'net1.100', 'a-b_c', '123456789012345', 'é', '...'];
  const badInterfaces = ['1234567890123456', '.', '..', 'a/b', 'a:b', 'a b', 'a\tb', 'a\n', 'a\u0085', 'éééééééé', '/'];

  for (const verb of ['ADD', 'CHECK', 'DEL'] as const) {
    t.test(`${verb} takes and refuses container ids, interface and network names as the reference does`, async (t) => {
      const { ask, pod, config } = setUp(t, entry);
      // The attachment's interface is named, so that CNI_IFNAME may be any.
      const idle = { ...entry.idle, interface: 'eth0' };
      const withId = (name: string) => ask(variables(verb, pod.path, { CNI_CONTAINERID: name }), idle, '1.1.0');
      const withInterface = (name: string) => ask(variables(verb, pod.path, { CNI_IFNAME: name }), idle, '1.1.0');
      const withNetwork = (name: unknown) =>
        call(entry.plugin, variables(verb, pod.path), { ...config(idle, '1.1.0'), name });

      for (const name of good) {
        succeeded(t, await withId(name), `container id ${name}`);
        succeeded(t, await withNetwork(name), `network name ${name}`);
      }
      for (const name of bad) {
        refused(t, await withId(name), 4, `container id ${JSON.stringify(name)}`);
        refused(t, await withNetwork(name), 7, `network name ${JSON.stringify(name)}`);
      }
      for (const name of [undefined, '', null, 5, ['a'], { a: 1 }]) {
        refused(t, await withNetwork(name), 7, `network name ${JSON.stringify(name)}`);
      }
      for (const name of goodInterfaces) succeeded(t, await withInterface(name), `interface ${name}`);
      for (const name of badInterfaces) refused(t, await withInterface(name), 4, `interface ${JSON.stringify(name)}`);
    });
  }
}

function testNamespaces(t: Test, entry: PluginUnderTest): void {
  for (const verb of ['ADD', 'CHECK', 'DEL'] as const) {
    t.test(`${verb} refuses the host's own namespace by whatever path, unless CNI_NETNS_OVERRIDE is set`, async (t) => {
      const { ask } = setUp(t, entry);
      // An interface that the host does not have, so that nothing can happen there if this test fails.
      const config = { ...entry.config, interface: 'wm-none0' };
      for (const path of pathsToOwnNamespace(t)) {
        refused(t, await ask(variables(verb, path), config, '1.1.0'), 8, path);
        for (const no of ['', '0', 'false', 'yes']) {
          refused(t, await ask(variables(verb, path, { CNI_NETNS_OVERRIDE: no }), config, '1.1.0'), 8, `${path} ${no}`);
        }
        for (const yes of ['1', 'true', 'TRUE', 'True']) {
          const answer = await ask(variables(verb, path, { CNI_NETNS_OVERRIDE: yes }), config, '1.1.0');
          if (verb === 'DEL') succeeded(t, answer, `${path} ${yes}`);
          else refused(t, answer, 100, `${path} ${yes}`);
        }
      }
    });
  }

  const absent = ['/run/netns/wm-no-such-namespace', '/nowhere/at/all', '/etc/passwd/net', '/proc/4194305/ns/net'];

  for (const verb of ['ADD', 'CHECK'] as const) {
    t.test(`${verb} without its namespace is refused with 3, with something else in its place with 4`, async (t) => {
      const { ask } = setUp(t, entry);
      for (const path of absent) refused(t, await ask(variables(verb, path), entry.config, '1.1.0'), 3, path);
      for (const path of noNamespacePaths(t)) {
        refused(t, await ask(variables(verb, path), entry.config, '1.1.0'), 4, path);
      }
    });
  }

  t.test('DEL succeeds where the namespace is gone, or was never one, or is not named', async (t) => {
    const { ask } = setUp(t, entry);
    for (const path of [...absent, ...noNamespacePaths(t), '']) {
      succeeded(t, await ask(variables('DEL', path), entry.config, '1.1.0'), path);
    }
  });
}

function testVersions(t: Test, entry: PluginUnderTest): void {
  t.test(
    'a version that is not supported is refused with 1 for every verb, and one that is no text with 6',
    async (t) => {
      const { ask, pod } = setUp(t, entry);
      for (const verb of VERBS) {
        for (const version of ['1.2.0', '0.5.0', '2.0.0', 'foo', '1.0', '1', 'v1.1.0', '1.1.0 ', '0.3']) {
          const answer = await ask(variables(verb, pod.path), entry.config, version);
          refused(t, answer, 1, `${verb} ${version}`);
          for (const supported of SUPPORTED_VERSIONS) t.match(answer.document?.msg, supported);
        }
        for (const version of [null, 1.1, ['1.1.0'], {}, true]) {
          refused(
            t,
            await ask(variables(verb, pod.path), entry.config, version),
            6,
            `${verb} ${JSON.stringify(version)}`,
          );
        }
      }
    },
  );

  t.test('CHECK below 0.4.0, GC and STATUS below 1.1.0 are refused with 1, not from there on', async (t) => {
    const { ask, pod } = setUp(t, entry);
    for (const verb of VERBS) {
      for (const version of SUPPORTED_VERSIONS) {
        const answer = await ask(variables(verb, pod.path), entry.idle, version);
        const has = SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(SINCE[verb]);
        if (has) succeeded(t, answer, `${verb} ${version}`);
        else refused(t, answer, 1, `${verb} ${version}`, version);
      }
    }
  });

  t.test('an error has the version of the config that was asked, for every version', async (t) => {
    const { ask } = setUp(t, entry);
    for (const version of SUPPORTED_VERSIONS) {
      refused(t, await ask(variables('ADD', '/nowhere'), entry.config, version), 3, version, version);
    }
  });
}

function testCommands(t: Test, entry: PluginUnderTest): void {
  t.test('VERSION tells every version without a look at stdin or at another variable', async (t) => {
    const answer = await callWithoutStdin(entry, { CNI_COMMAND: 'VERSION' });
    t.equal(answer.code, 0);
    t.strictSame(JSON.parse(answer.stdout), {
      cniVersion: '1.1.0',
      supportedVersions: ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'],
    });
  });

  t.test(
    'without CNI_COMMAND there is a line about the plugin on stderr, nothing on stdout, and no error',
    async (t) => {
      for (const env of [{}, { CNI_COMMAND: '' }, { CNI_IFNAME: '../..' }]) {
        const answer = await callWithoutStdin(entry, env);
        t.equal(answer.code, 0);
        t.equal(answer.stdout, '');
        t.match(answer.stderr, new RegExp(`^CNI plugin ${entry.name} \\S+\n`));
        t.match(answer.stderr, /0\.1\.0, 0\.2\.0, 0\.3\.0, 0\.3\.1, 0\.4\.0, 1\.0\.0, 1\.1\.0/);
      }
    },
  );

  t.test('an unknown command is refused with 4, one in another case too', async (t) => {
    const { ask, pod } = setUp(t, entry);
    for (const command of ['add', 'Add', 'UPDATE', 'ADD ', 'ADDX', 'constructor', '__proto__', 'toString']) {
      refused(t, await ask(variables(command, pod.path), entry.idle, '1.1.0'), 4, command);
    }
  });
}

function testResults(t: Test, entry: PluginUnderTest, version: CniVersion): void {
  const isOld = version === '0.1.0' || version === '0.2.0';

  t.test(`${version}: prevResult is passed through to the letter when there is nothing to do`, async (t) => {
    const { ask, pod } = setUp(t, entry);
    for (const prevResult of [previousResult(version, pod.path), unusualResult(version, pod.path)]) {
      const answer = await ask(variables('ADD', pod.path), { ...entry.idle, prevResult }, version);
      succeeded(t, answer);
      t.strictSame(answer.document, prevResult);
    }
    // "Prior to 1.0.0, Result types may not marshal a CNIVersion." (pkg/version)
    const { cniVersion: _, ...unversioned } = unusualResult(version, pod.path) as { cniVersion: string };
    const answer = await ask(variables('ADD', pod.path), { ...entry.idle, prevResult: unversioned }, version);
    t.strictSame(answer.document, { cniVersion: version, ...unversioned });
  });

  t.test(`${version}: a prevResult of any other version is answered in the one asked for`, async (t) => {
    const { ask, pod } = setUp(t, entry);
    for (const other of SUPPORTED_VERSIONS) {
      const prevResult = previousResult(other, pod.path);
      const answer = await ask(variables('ADD', pod.path), { ...entry.idle, prevResult }, version);
      succeeded(t, answer);
      const expected = previousResult(version, pod.path);
      // 0.1.0 and 0.2.0 do not say which interface an address is on.
      const wasOld = other === '0.1.0' || other === '0.2.0';
      t.strictSame(answer.document, wasOld && !isOld ? withoutInterfaces(expected) : expected, other);
    }
  });

  const { adds } = entry;
  if (adds !== undefined) {
    t.test(`${version}: what the plugins before said is kept when something is added`, async (t) => {
      const { ask, pod } = setUp(t, entry);
      const prevResult = previousResult(version, pod.path);
      const config = { ...adds.config, prevResult };
      const before = pod.routes();
      const answer = await ask(variables('ADD', pod.path), config, version);
      succeeded(t, answer);
      t.strictSame(answer.document, previousResult(version, pod.path, adds.routes));
      t.not(pod.routes(), before, 'something was added');
      if (SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf('0.4.0')) {
        const final = { ...adds.config, prevResult: answer.document };
        succeeded(t, await ask(variables('CHECK', pod.path), final, version), 'CHECK');
      }
      succeeded(
        t,
        await ask(variables('DEL', pod.path), { ...adds.config, prevResult: answer.document }, version),
        'DEL',
      );
      t.equal(pod.routes(), before, 'and nothing is left of it');
    });
  }

  t.test(`${version}: without prevResult the result says what was seen of the interface`, async (t) => {
    const { ask, pod } = setUp(t, entry);
    const mac = pod.ipJson('link show eth0')[0]?.address;
    const family = (name: '4' | '6') => (version.startsWith('0.') ? { version: name } : {});
    for (const none of [{}, { prevResult: null }]) {
      const answer = await ask(variables('ADD', pod.path), { ...entry.idle, ...none }, version);
      succeeded(t, answer);
      t.strictSame(
        answer.document,
        isOld
          ? { cniVersion: version, ip4: { ip: '10.244.1.5/24' }, ip6: { ip: 'fd00:244:1::5/64' } }
          : {
              cniVersion: version,
              interfaces: [{ name: 'eth0', mac, sandbox: pod.path }],
              ips: [
                { ...family('4'), interface: 0, address: '10.244.1.5/24' },
                { ...family('6'), interface: 0, address: 'fd00:244:1::5/64' },
              ],
            },
      );
    }
  });

  t.test(`${version}: a malformed prevResult is refused with 7 and the path of every problem`, async (t) => {
    const { ask, pod } = setUp(t, entry);
    const table: [unknown, ...string[]][] = [
      ['text', 'prevResult'],
      [5, 'prevResult'],
      [[], 'prevResult'],
      [{ cniVersion: '9.9.9' }, 'prevResult.cniVersion'],
      ...(isOld
        ? ([
            [{ ip4: 'x', ip6: { ip: 'y' } }, 'prevResult.ip4', 'prevResult.ip6.ip'],
            [{ ip4: { ip: '10.0.0.1/24', routes: [{}] } }, 'prevResult.ip4.routes[0].dst'],
            [{ ip4: { ip: '10.0.0.1/33', gateway: 5 } }, 'prevResult.ip4.ip', 'prevResult.ip4.gateway'],
          ] as [unknown, ...string[]][])
        : ([
            [{ ips: {}, interfaces: 5 }, 'prevResult.ips', 'prevResult.interfaces'],
            [{ ips: [{ address: '10.0.0.1' }, {}] }, 'prevResult.ips[0].address', 'prevResult.ips[1].address'],
            [{ ips: [{ address: '10.0.0.1/8', interface: 1.5 }] }, 'prevResult.ips[0].interface'],
            [
              { routes: [{ dst: 'x' }, { dst: '::/0', gw: 'y' }] },
              'prevResult.routes[0].dst',
              'prevResult.routes[1].gw',
            ],
            [{ interfaces: [{ mac: 5 }] }, 'prevResult.interfaces[0].name', 'prevResult.interfaces[0].mac'],
          ] as [unknown, ...string[]][])),
    ];
    for (const [prevResult, ...paths] of table) {
      const answer = await ask(variables('ADD', pod.path), { ...entry.idle, prevResult }, version);
      const title = JSON.stringify(prevResult);
      refused(t, answer, 7, title, version);
      const told = problemsIn(answer.document).map((line) => line.split(':', 1)[0] ?? '');
      t.strictSame(told.toSorted(), paths.toSorted(), title);
    }
  });
}

function testImpliedVersion(t: Test, entry: PluginUnderTest): void {
  t.test('a config without a version, or with an empty one, is one of 0.1.0', async (t) => {
    const { ask, pod } = setUp(t, entry);
    for (const version of [undefined, '']) {
      const prevResult = previousResult('0.1.0', pod.path);
      const answer = await ask(variables('ADD', pod.path), { ...entry.idle, prevResult }, version);
      t.strictSame(answer.document, prevResult);
      refused(t, await ask(variables('CHECK', pod.path), entry.idle, version), 1, 'CHECK', '0.1.0');
      refused(t, await ask(variables('ADD', '/nowhere'), entry.idle, version), 3, 'ADD', '0.1.0');
    }
  });
}

type SetUp = {
  pod: Scratch;
  /** A whole config with these keys; no `cniVersion` for undefined. */
  config(keys: object, version: unknown): object;
  ask(env: Env, keys: object, version: unknown): Promise<Answer>;
};

/** A pod, and the plugin to ask about it, with a data folder of the test's own. */
function setUp(t: Test, entry: PluginUnderTest): SetUp {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const config = (keys: object, cniVersion: unknown) => ({
    ...(cniVersion !== undefined && { cniVersion }),
    name: 'net',
    type: entry.name,
    dataDir,
    ...keys,
  });
  return { pod, config, ask: (env, keys, version) => call(entry.plugin, env, config(keys, version)) };
}

/** The answer is one error of the spec's shape, with this code, and no stack trace in it. */
function refused(t: Test, { code, stdout, document }: Answer, expected: number, title = '', version = '1.1.0'): void {
  t.equal(code, 1, `${title}: exit code`);
  t.match(document, { cniVersion: version, code: expected, msg: /./ }, `${title}: ${stdout}`);
  const keys = Object.keys(document ?? {}).filter((key) => !['cniVersion', 'code', 'msg', 'details'].includes(key));
  t.strictSame(keys, [], `${title}: no other keys`);
  t.notMatch(stdout, /\bat (file:|\S+ \()|\\n {4}at /, `${title}: no stack trace`);
}

/** The call succeeded, with one document or none, and complained of nothing. */
function succeeded(t: Test, { code, stdout, stderr }: Answer, title = ''): void {
  t.equal(code, 0, `${title}: ${stdout}`);
  t.notMatch(stderr, /"level":"(error|fatal)"/, title);
}

async function callWithoutStdin(entry: PluginUnderTest, env: Env) {
  let stdout = '';
  let stderr = '';
  const outside: Outside = {
    env,
    args: [],
    readStdin: () => {
      throw new Error('stdin must not be read');
    },
    writeStdout: (text) => {
      stdout += text;
    },
    writeStderr: (text) => {
      stderr += text;
    },
  };
  return { code: await run(entry.plugin, outside), stdout, stderr };
}

function pathsToOwnNamespace(t: Test): string[] {
  const folder = scratchFolder(t);
  const [mounted, linked] = [join(folder, 'mounted'), join(folder, 'linked')];
  writeFileSync(mounted, '');
  execFileSync('mount', ['--bind', '/proc/self/ns/net', mounted]);
  t.teardown(() => execFileSync('umount', [mounted]));
  symlinkSync(`/proc/${process.pid}/ns/net`, linked);
  return ['/proc/self/ns/net', '/proc/thread-self/ns/net', `/proc/${process.pid}/ns/net`, mounted, linked];
}

function noNamespacePaths(t: Test): string[] {
  const folder = scratchFolder(t);
  const path = (name: string) => join(folder, name);
  writeFileSync(path('file'), '');
  mkdirSync(path('folder'));
  execFileSync('mkfifo', [path('fifo')]);
  return [path('file'), path('folder'), path('fifo'), '/dev/null', '/proc/self/ns/mnt', '/proc/self/ns/uts'];
}

function withoutInterfaces(result: object): object {
  const { interfaces: _, ips, ...rest } = result as { interfaces?: object[]; ips: { interface?: number }[] };
  return { ...rest, ips: ips.map(({ interface: __, ...ip }) => ip) };
}
