import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { parsePrefix } from '../../lib/address/prefix.ts';
import { readProtected } from '../../lib/plugin/protection.ts';
import { agentHere, agentProcess } from '../support/agent/agent.ts';
import { ask } from '../support/agent/agent-client.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { bundleOf, variables } from '../support/plugins/call.ts';
import { HOSTILE, PROTECTED, route, rule, VIA } from '../support/plugins/hostile-annotations.ts';

/** What a pod's author may do all the same. */
const HARMLESS: [what: string, plugin: string, cni: object][] = [
  ['other destinations', 'static-route', route('172.16.0.0/12')],
  ['the default route', 'static-route', { routes: [{ dst: 'default', ...VIA }, { dst: '::/0' }] }],
  [
    'next to what is protected',
    'static-route',
    {
      routes: [
        { dst: '10.112.0.0/12', ...VIA },
        { dst: '10.80.0.0/12', ...VIA },
      ],
    },
  ],
  ['a rule to another destination', 'static-route', rule({ to: '172.16.0.0/12' })],
  ['nothing', 'static-route', {}],
  ['keys of others', 'static-route', { bandwidth: 5 }],
];

/** What the network's own config has, which the operator wrote. */
const OPERATORS: { readonly [plugin: string]: object } = {
  'static-route': { delroutes: [], routes: [{ dst: '10.96.0.0/12', ...VIA }] },
  'seamless-gateway': { hostAddresses: ['192.168.10.1'] },
};

function configOf(plugin: string, dataDir: string, cni?: object): object {
  const operators = plugin === 'static-route' && cni !== undefined ? {} : OPERATORS[plugin];
  const args = cni === undefined ? {} : { args: { cni } };
  return { cniVersion: '1.1.0', name: 'net', type: plugin, dataDir, ...operators, ...args };
}

function podWithServices(t: Test): Scratch {
  const pod = scratchPod(t);
  pod.ip('route add 10.100.0.0/16 via 10.244.1.3');
  return pod;
}

function pictureOf(pod: Scratch): string {
  return [pod.routes(), pod.ip('rule'), pod.ip('-6 rule')].join('\n');
}

t.test('annotations on a node that protects its networks', { skip: noNamespaces }, async (t) => {
  const { socket, folder } = await agentHere(t, { limits: { protectedPrefixes: PROTECTED.map(parsePrefix) } });
  const pod = podWithServices(t);
  const before = pictureOf(pod);
  const call = async (verb: string, plugin: string, cni?: object) => {
    const stdin = Buffer.from(JSON.stringify(configOf(plugin, folder, cni)));
    const answer = await ask(socket, { plugin, env: variables(verb, pod.path) as { [name: string]: string }, stdin });
    return { code: answer.code, document: answer.stdout === '' ? {} : JSON.parse(answer.stdout) };
  };

  for (const [what, plugin, cni, ...places] of HOSTILE) {
    await t.test(`do not redirect ${what}`, async (t) => {
      const { code, document } = await call('ADD', plugin, cni);
      t.equal(code, 1);
      t.equal(document.code, 108, JSON.stringify(document));
      const lines: string[] = document.msg.split(/; (?=args\.cni)/);
      t.strictSame(
        lines.map((line) => /^args\.cni\.(\w+(\[\d+\])?)/.exec(line)?.[1]).slice(0, places.length),
        places,
        lines.join('; '),
      );
      t.match(lines[0], /is protected on this node, so it does not (add|delete) (route|rule) /);
      t.equal(pictureOf(pod), before, 'nothing is changed');
      t.equal((await call('DEL', plugin, cni)).code, 0);
    });
  }

  for (const [what, plugin, cni] of HARMLESS) {
    await t.test(`may ask for ${what}`, async (t) => {
      const { code, document } = await call('ADD', plugin, cni);
      t.equal(code, 0, JSON.stringify(document));
      t.equal((await call('DEL', plugin, cni)).code, 0);
      t.equal(pictureOf(pod), before);
    });
  }

  await t.test('do not keep the network’s own config from it', async (t) => {
    for (const plugin of Object.keys(OPERATORS)) {
      t.equal((await call('ADD', plugin)).code, 0);
      t.not(pictureOf(pod), before);
      t.equal((await call('DEL', plugin)).code, 0);
    }
    t.equal(pictureOf(pod), before);
  });
});

t.test('without --protect, annotations may ask for anything', { skip: noNamespaces }, async (t) => {
  const { socket, folder } = await agentHere(t);
  const pod = podWithServices(t);
  const stdin = Buffer.from(JSON.stringify(configOf('static-route', folder, route('10.96.0.0/12'))));
  const answer = await ask(socket, {
    plugin: 'static-route',
    env: variables('ADD', pod.path) as { [name: string]: string },
    stdin,
  });
  t.equal(answer.code, 0);
});

t.test('the executables refuse what the agent was told to protect', { skip: noNamespaces }, async (t) => {
  const pod = podWithServices(t);
  const folder = scratchFolder(t);
  const own = join(folder, 'run');
  const runIn = (file: string, cni: object) => {
    // Only this call sees the file in /run/waymark: its /run is another, with the same namespaces.
    const script = [
      `mkdir -p ${own}/netns ${own}/waymark`,
      `mount --rbind /run/netns ${own}/netns`,
      `mount --bind ${dirname(file)} ${own}/waymark`,
      `mount --rbind ${own} /run`,
      'exec "$0" "$1"',
    ].join(' && ');
    const { status, stdout } = spawnSync(
      'unshare',
      ['-m', 'sh', '-c', script, process.execPath, bundleOf('static-route')],
      {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, ...variables('ADD', pod.path) } as NodeJS.ProcessEnv,
        input: JSON.stringify(configOf('static-route', join(folder, 'data'), cni)),
      },
    );
    return { status, document: JSON.parse(stdout) };
  };
  const { socket } = await agentProcess(t, { args: PROTECTED.flatMap((prefix) => ['--protect', prefix]) });
  const file = join(dirname(socket), 'protected.json');
  t.strictSame(JSON.parse(readFileSync(file, 'utf8')), PROTECTED);
  t.match(runIn(file, route('10.96.0.0/12')), { status: 1, document: { code: 108 } });
  t.match(runIn(file, route('172.16.0.0/12')), { status: 0 });

  const damaged = join(folder, 'damaged', 'protected.json');
  mkdirSync(dirname(damaged), { mode: 0o700 });
  writeFileSync(damaged, '{}');
  t.match(runIn(damaged, route('172.32.0.0/12')), { status: 1, document: { code: 5, msg: /protected\.json/ } });
});

t.test('an agent that protects nothing takes the file of one before it away', { skip: noNamespaces }, async (t) => {
  const first = await agentProcess(t, { args: ['--protect', 'fd00:96::/108'] });
  const file = join(dirname(first.socket), 'protected.json');
  t.strictSame(readProtected(file), [parsePrefix('fd00:96::/108')]);
  await agentProcess(t, { socket: first.socket });
  t.notOk(existsSync(file));
});

t.test('a prefix that is none is an error at the start', { skip: noNamespaces }, async (t) => {
  for (const [text, message] of [
    ['10.96.0.0', '--protect: "10.96.0.0" has no prefix length; the form is 10.0.0.0/24'],
    ['10.96.0.1/12', '--protect: "10.96.0.1/12" has host bits; the network is 10.96.0.0/12'],
    ['services', '--protect: "services" has no prefix length; the form is 10.0.0.0/24'],
  ]) {
    const args = [
      bundleOf('waymark'),
      'agent',
      '--socket',
      join(scratchFolder(t), 'agent.sock'),
      '--protect',
      text ?? '',
    ];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    t.not(status, 0);
    t.ok(stderr.includes(message ?? '?'), stderr);
  }
});
