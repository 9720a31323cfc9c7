import t from 'tap';
import { hasProblems, podLines, readExplanation } from '../../cli/explain-pod.ts';
import { agentHere, noRoot } from '../support/agent/agent.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';

const NOTHING = { pod: 'shop/till-0', containerID: 'c1', netns: '/run/netns/c1', attached: [], steps: [], refused: [] };

t.test('a person reads what the pod has, what would be done, and why not', async (t) => {
  const lines = podLines({
    ...NOTHING,
    attached: [
      { interface: 'net1', network: 'shop/blue', by: 'agent', state: 'attached' },
      { interface: 'net2', network: 'shop/green', by: 'others', state: 'link lost' },
    ],
    steps: [
      { kind: 'detach', interface: 'net2', network: 'shop/green', why: 'link lost', plugins: ['tuning', 'bridge'] },
      { kind: 'attach', interface: 'net2', network: 'shop/green', plugins: ['bridge', 'tuning'] },
      {
        kind: 'attach',
        interface: 'net3',
        network: 'shop/red',
        problem: 'red\nis not found\u001b[2J',
        failed: { attempts: 3, reason: 'red is not found', retryInSeconds: 9 },
      },
    ],
    updates: [
      { interface: 'net1', network: 'shop/blue', changes: ['add route 10.1.0.0/16 via 10.0.0.1 dev net1'] },
      { interface: 'eth0', changes: [], problem: 'the map cannot be read' },
    ],
    refused: [{ interface: 'eth0', network: 'shop/blue', reason: 'taken' }, { reason: 'it is not JSON' }],
  });
  t.strictSame(lines, [
    'pod shop/till-0',
    'sandbox c1, /run/netns/c1',
    'has net1 on shop/blue, made by the agent',
    'has net2 on shop/green, made by others, link lost',
    'would detach net2 from shop/green (link lost), by DEL of tuning, bridge',
    'would attach net2 to shop/green, by ADD of bridge, tuning',
    'cannot attach net3 to shop/red: red is not found [2J',
    '  failed 3 times: red is not found; next try in 9 s',
    'would update routes of net1 by shop/blue:',
    '  add route 10.1.0.0/16 via 10.0.0.1 dev net1',
    'cannot update routes of eth0: the map cannot be read',
    'refuses shop/blue as eth0: taken',
    'refuses a selection: it is not JSON',
  ]);
});

t.test('nothing to do, and nothing that is done at all, are said, and are no problems', async (t) => {
  t.equal(podLines(NOTHING).at(-1), 'nothing to do');
  t.notOk(hasProblems(NOTHING));
  const idle = { ...NOTHING, idle: 'it ends' };
  t.strictSame(podLines(idle), ['pod shop/till-0', 'nothing is done to it: it ends']);
  t.ok(hasProblems({ ...NOTHING, refused: [{ reason: 'x' }] }));
  t.ok(hasProblems({ ...NOTHING, updates: [{ interface: 'a', changes: [], problem: 'x' }] }));
  t.notOk(hasProblems({ ...NOTHING, updates: [{ interface: 'a', changes: ['x'] }] }));
  t.ok(hasProblems({ ...NOTHING, steps: [{ kind: 'attach', interface: 'a', network: 'b/c', problem: 'x' }] }));
  t.notOk(hasProblems({ ...NOTHING, steps: [{ kind: 'attach', interface: 'a', network: 'b/c', plugins: [] }] }));
  const failed = { attempts: 1, reason: 'x', retryInSeconds: 1 };
  t.ok(hasProblems({ ...NOTHING, steps: [{ kind: 'attach', interface: 'a', network: 'b/c', plugins: [], failed }] }));
  const step = { kind: 'attach', interface: 'a', network: 'b/c' } as const;
  for (const more of [
    { steps: [step] },
    { updates: [{ interface: 'a', changes: ['x'] }] },
    { refused: [{ reason: 'x' }] },
  ])
    t.notOk(podLines({ ...NOTHING, ...more }).includes('nothing to do'));
});

t.test('who cannot be asked is named, and what is no pod is refused', { skip: noRoot }, async (t) => {
  const socket = `${scratchFolder(t)}/none.sock`;
  await t.rejects(readExplanation(socket, 'shop/till-0'), { message: /no agent answers at .*none\.sock/ });
  for (const pod of ['', 'a/b/c', '../x', 'A', 'a?b']) {
    await t.rejects(readExplanation(socket, pod), { message: /is not namespace\/name/ }, pod);
  }
  const agent = await agentHere(t);
  await t.rejects(readExplanation(agent.socket, 'shop/till-0'), { message: /does not follow pods: see --node/ });
});
