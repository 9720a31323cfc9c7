import { spawn, spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { formatStatus } from '../../cli/status.ts';
import { agentProcess } from '../support/agent/agent.ts';
import { ask } from '../support/agent/agent-client.ts';
import { ran } from '../support/namespaces/enclosed.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';
import { bundleOf, variables } from '../support/plugins/call.ts';

const STATUS = {
  version: '1.2.3',
  pid: 77,
  uptimeSeconds: 90,
  requests: 12,
  errors: 1,
  running: 2,
  waiting: 3,
  patient: 4,
  memoryBytes: 87_400_000,
  latencySeconds: { p50: 0.00025, p90: 0.016, p99: null },
  calls: [
    { plugin: 'static-route', verb: 'ADD', code: 0, count: 11 },
    { plugin: 'static-route', verb: 'ADD', code: 104, count: 1 },
  ],
  journals: { 'static-route': 4, 'seamless-gateway': 0 },
  lastFailures: [
    {
      time: '2026-01-02T03:04:05.678Z',
      plugin: 'static-route',
      verb: 'ADD',
      containerID: 'c1',
      ifname: 'eth0',
      pod: 'shop/till-0',
      cniCode: 104,
      message: 'no route',
      network: 'blue',
      details: 'first\nsec\u001bond',
    },
    {
      time: '2026-01-02T03:04:04.678Z',
      plugin: 'static-route',
      verb: 'DEL',
      containerID: 'c2',
      ifname: 'eth0',
      pod: undefined,
      cniCode: 999,
      message: undefined,
      network: undefined,
      details: undefined,
    },
  ],
};

t.test('a person reads who it is, what it did, how fast, and what went wrong', async (t) => {
  t.equal(
    formatStatus(STATUS),
    `waymark agent 1.2.3, process 77, up 1 min 30 s, 87 MB
requests: 12, of which errors: 1; running 2, waiting 3, patient 4
latency: p50 at most 0.25 ms, p90 at most 16 ms, p99 unknown
  static-route ADD: 11 done
  static-route ADD: 1 with error 104
journals: static-route 4, seamless-gateway 0
last failures:
  2026-01-02T03:04:05.678Z static-route ADD shop/till-0 blue: no route (104)
    first
    sec ond
  2026-01-02T03:04:04.678Z static-route DEL c2: failed (999)`,
  );
  const slow = { refused: { 'queue full': 2, stopping: 1 }, fallbacks: { count: 3, last: '2026-01-02T03:04:05.678Z' } };
  t.match(
    formatStatus({ ...STATUS, ...slow }),
    '\nhanded back: queue full 2, stopping 1\nfallbacks: 3 calls ran the slow executable, the last 2026-01-02T03:04:05.678Z\n',
  );
  t.match(
    formatStatus({ ...STATUS, attachments: { 'in place': 12, drift: 2, gone: 0 } }),
    '\nattachments: in place 12, drift 2\n',
  );
  t.notMatch(formatStatus({ ...STATUS, refused: {}, fallbacks: { count: 0 } }), /handed back|fallbacks/);
  const quiet = formatStatus({ ...STATUS, calls: [], lastFailures: [] });
  t.notMatch(quiet, 'failures');
  const durations: [seconds: number, text: string][] = [
    [0, '0 min 0 s'],
    [59, '0 min 59 s'],
    [3600, '1 h 0 min'],
    [86_399, '23 h 59 min'],
    [86_400, '1 d 0 h'],
    [900_000, '10 d 10 h'],
  ];
  for (const [uptimeSeconds, text] of durations) t.match(formatStatus({ ...STATUS, uptimeSeconds }), `up ${text},`);
});

t.test('a person reads what is pending for pods, why, and until when', async (t) => {
  const hotPlug = {
    node: 'node-1',
    pods: 12,
    isSynced: true,
    busy: 1,
    delegatesRunning: 2,
    delegatesWaiting: 0,
    sandboxesRecorded: 3,
    attached: [
      {
        pod: 'shop/till-0',
        interfaces: [
          { ifname: 'net1', network: 'shop/blue', state: 'attached' as const },
          { ifname: 'net2', network: 'shop/green', state: 'unfinished' as const },
        ],
      },
    ],
  };
  const pending = [
    { pod: 'shop/till-0', what: 'attach net1 to shop/blue', reason: 'not\u001bfound', retryInSeconds: 7 },
  ];
  const withoutDefinition = [{ pod: 'shop/till-0', ifname: 'net1', network: 'shop/blue' }];
  const text = formatStatus({
    ...STATUS,
    hotPlug: { ...hotPlug, pending, withoutDefinition, fileProblems: ['/etc\u001b: no'] },
  });
  t.match(text, '\n  a file of the ConfigMap cannot be written: /etc : no\n');
  t.match(text, '\n  shop/till-0: shop/blue is not defined any more: net1 keeps its routes\n');
  t.match(text, 'hot-plug on node-1: 12 pods, 1 busy, 2 plugins running, 1 pending\n');
  const newer = formatStatus({ ...STATUS, hotPlug: { ...hotPlug, pending, podsWatched: 3 } });
  t.match(newer, 'hot-plug on node-1: 12 pods, 1 busy, 3 watched, 2 plugins running, 1 pending\n');
  t.match(text, '  shop/till-0: attach net1 to shop/blue: not found; next try in 7 s');
  t.match(text, '\n  shop/till-0 has net1 on shop/blue, net2 on shop/green (unfinished)\n');
  t.match(formatStatus({ ...STATUS, hotPlug: { ...hotPlug, isSynced: false, pending } }), 'has not answered yet');
  t.notMatch(formatStatus(STATUS), 'hot-plug');
});

t.test('what callers say cannot take over the terminal', async (t) => {
  const [failure] = STATUS.lastFailures;
  const hostile = {
    ...failure,
    pod: 'a\u001b[2Jb',
    message: 'one\ntwo\r\u009bthree',
  } as (typeof STATUS.lastFailures)[0];
  const text = formatStatus({ ...STATUS, lastFailures: [hostile] });
  t.equal(
    text.split('\n').length,
    formatStatus({ ...STATUS, lastFailures: [{ ...hostile, pod: 'x', message: 'y' }] }).split('\n').length,
  );
  t.notMatch(text.replaceAll('\n', ''), /\p{Cc}/u);
});

t.test(
  'the command asks the agent at a socket',
  { skip: process.getuid?.() === 0 ? false : 'needs root' },
  async (t) => {
    const { socket, pid } = await agentProcess(t);
    await ask(socket, { plugin: 'static-route', env: { CNI_COMMAND: 'VERSION' }, stdin: '' });
    await ask(socket, { plugin: 'static-route', env: variables('ADD', '/nonexistent'), stdin: '{}' });
    const person = status(['--socket', socket]);
    t.equal(person.status, 0);
    t.match(person.stdout, `process ${pid}, up `);
    t.match(person.stdout, 'requests: 2, of which errors: 1; running 0, waiting 0, patient 0\n');
    t.match(
      person.stdout,
      /\n {2}\S+ static-route ADD container-1: name: the network config must have a name \(7\)\n$/,
    );
    const machine = status(['--json'], { WAYMARK_SOCKET: socket });
    t.match(JSON.parse(machine.stdout), {
      pid,
      requests: 2,
      errors: 1,
      calls: [
        { verb: 'VERSION', code: 0, count: 1 },
        { verb: 'ADD', code: 7, count: 1 },
      ],
      lastFailures: [{ containerID: 'container-1', cniCode: 7 }],
    });
  },
);

t.test('where no agent answers, a sentence says so', async (t) => {
  const folder = scratchFolder(t);
  const nothing = status(['--socket', join(folder, 'none.sock')]);
  t.equal(nothing.status, 1);
  t.equal(nothing.stdout, '');
  t.match(nothing.stderr, /^waymark: no agent answers at \S+none\.sock: .*ENOENT.*\n$/);

  const others: [name: string, answer: string, why: RegExp][] = [
    ['one that says nothing and hangs up', '', /socket hang up/],
    ['one that breaks off', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{', /aborted/],
    ['one of another kind', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi', /JSON/],
    ['one that has no such page', 'HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nnope\n', /nope/],
    ['one that stops', 'HTTP/1.1 503 x\r\ncontent-length: 9\r\n\r\nstopping\n', /stopping/],
    ['no HTTP at all', 'WMK', /Parse Error/],
  ];
  for (const [name, answer, why] of others) {
    const socket = await otherServer(t, folder, answer);
    const { code, stdout, stderr } = await ran(
      spawn(process.execPath, [bundleOf('waymark'), 'status', '--socket', socket]),
    );
    t.strictSame([code, stdout], [1, ''], name);
    t.match(stderr, /^waymark: no agent answers at .*\n$/, name);
    t.match(stderr, why, name);
  }
});

function status(args: string[], env: object = {}) {
  return spawnSync(process.execPath, [bundleOf('waymark'), 'status', ...args], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env },
  });
}

let count = 0;

async function otherServer(t: Test, folder: string, answer: string): Promise<string> {
  const socket = join(folder, `${++count}.sock`);
  const server = createServer((client) => {
    client.on('error', () => {});
    client.once('data', () => client.end(answer));
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.teardown(() => server.close());
  return socket;
}
