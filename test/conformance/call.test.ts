import t, { type Test } from 'tap';
import { noNamespaces } from '../support/namespaces/namespace.ts';
import { call, callWithoutStdin, type Env, FOREIGN, variables } from '../support/plugins/call.ts';
import { refused, setUp, succeeded, VERBS, type Verb } from '../support/plugins/conformance-call.ts';
import { PLUGINS, type PluginUnderTest } from '../support/plugins/plugins.ts';

// Every plugin: variables, names and commands.

/** What the reference skeleton requires (pkg/skel, getCmdArgsFromEnv). */
const REQUIRED: { readonly [V in Verb]: readonly string[] } = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_PATH'],
  GC: ['CNI_PATH'],
  STATUS: ['CNI_PATH'],
};

const ALL_VARIABLES = ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'];

for (const entry of PLUGINS) {
  t.test(entry.name, { skip: noNamespaces }, async (t) => {
    testVariables(t, entry);
    testNames(t, entry);
    testCommands(t, entry);
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
      t.equal(answer.document?.msg?.split('; ').length, 3);
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

function testCommands(t: Test, entry: PluginUnderTest): void {
  t.test('VERSION tells every version without a look at stdin or at another variable', async (t) => {
    const answer = await callWithoutStdin(entry.plugin, { CNI_COMMAND: 'VERSION' });
    t.equal(answer.code, 0);
    t.strictSame(JSON.parse(answer.stdout), {
      cniVersion: '1.1.0',
      supportedVersions: ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'],
    });
  });

  t.test(
    'without CNI_COMMAND there is a line about the plugin on stderr, nothing on stdout, and no error',
    { skip: FOREIGN?.isShim ? 'a shim runs the executable for it, without asking the agent' : false },
    async (t) => {
      for (const env of [{}, { CNI_COMMAND: '' }, { CNI_IFNAME: '../..' }]) {
        const answer = await callWithoutStdin(entry.plugin, env);
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
