import fc from 'fast-check';
import t from 'tap';
import { parseSelections, type Selection } from '../../../lib/attachments/selection.ts';
import { type Attachment, describe, type Observed, planSteps } from '../../../lib/attachments/steps.ts';

const select = (value: unknown) =>
  parseSelections(typeof value === 'string' ? value : JSON.stringify(value), 'default');

/** An attachment as our record has it: `blue@net1`, which has a link of its name. */
const made = (text: string, more: Partial<Attachment> = {}): Attachment => {
  const [name = '', ifname = ''] = text.split('@');
  const what = { ifname, network: `default/${name}`, origin: 'own', state: 'attached', isBroken: false } as const;
  return { ...what, links: [ifname], request: {}, mac: `02:00:00:00:00:0${ifname.at(-1)}`, ...more };
};

const pod = (attachments: readonly Attachment[], others: readonly string[] = ['lo', 'eth0']): Observed => ({
  attachments,
  names: [...others, ...attachments.flatMap(({ links, isBroken }) => (isBroken ? [] : links))],
});

const steps = (wanted: unknown, observed: Observed) => planSteps(select(wanted), observed).steps.map(describe);
const refusals = (wanted: unknown, observed: Observed) => planSteps(select(wanted), observed).refusals;

t.test('consistent names: by the network, if the name is free; what is there keeps its name', async (t) => {
  const consistent = (wanted: unknown, observed: Observed) =>
    planSteps(select(wanted), observed, 'consistent').steps.map(describe);
  const blue = 'net48d6215903df';
  t.strictSame(consistent('blue,green@lan0', pod([])), [
    `attach ${blue} to default/blue`,
    'attach lan0 to default/green',
  ]);
  t.strictSame(consistent('blue', pod([made('blue@net1')])), []);
  t.strictSame(consistent('blue,blue', pod([])), [`attach ${blue} to default/blue`, 'attach net1 to default/blue']);
  t.strictSame(consistent('blue', pod([], ['lo', 'eth0', blue])), ['attach net1 to default/blue']);
});

type Row = [title: string, wanted: unknown, there: readonly Attachment[], steps: string[]];

const ROWS: Row[] = [
  ['attaches what is not there', 'blue@net1,green@net2', [made('blue@net1')], ['attach net2 to default/green']],
  ['detaches what is not selected', '', [made('blue@net1')], ['detach net1 from default/blue (not selected)']],
  ['does nothing for the same list', 'blue@net1', [made('blue@net1')], []],
  ['does nothing for a list in another order', 'green@net2,blue@net1', [made('blue@net1'), made('green@net2')], []],
  ['does nothing for the other form', [{ name: 'blue', interface: 'net1' }], [made('blue@net1')], []],
  ['does nothing for a namespace that is the pod’s', 'default/blue@net1', [made('blue@net1')], []],
  [
    'gives an unnamed one the lowest free name',
    'blue,green',
    [],
    ['attach net1 to default/blue', 'attach net2 to default/green'],
  ],
  [
    'an unnamed one keeps its name',
    'green',
    [made('blue@net1'), made('green@net2')],
    ['detach net1 from default/blue (not selected)'],
  ],
  [
    'a name that goes is free again',
    'green',
    [made('blue@net1')],
    ['detach net1 from default/blue (not selected)', 'attach net1 to default/green'],
  ],
  ['the same network twice is two attachments', 'blue,blue', [made('blue@net1')], ['attach net2 to default/blue']],
  [
    'of the same network twice one can go',
    'blue',
    [made('blue@net1'), made('blue@net2')],
    ['detach net2 from default/blue (not selected)'],
  ],
  [
    'an unnamed one leaves names that others ask for',
    'blue,green@net1',
    [],
    ['attach net2 to default/blue', 'attach net1 to default/green'],
  ],
  [
    'swaps the network of a name',
    'green@net1',
    [made('blue@net1')],
    ['detach net1 from default/blue (swap)', 'attach net1 to default/green'],
  ],
  [
    'swaps for other addresses',
    [{ name: 'blue', interface: 'net1', ips: ['10.1.1.7'] }],
    [made('blue@net1')],
    ['detach net1 from default/blue (swap)', 'attach net1 to default/blue'],
  ],
  [
    'swaps for other arguments of an unnamed one',
    [{ name: 'blue', 'cni-args': { a: 1 } }],
    [made('blue@net1')],
    ['detach net1 from default/blue (swap)', 'attach net1 to default/blue'],
  ],
  [
    'does not swap for arguments in another order',
    [{ name: 'blue', 'cni-args': { b: { d: 1, c: 2 }, a: 1 } }],
    [made('blue@net1', { request: { cniArgs: { a: 1, b: { c: 2, d: 1 } } } })],
    [],
  ],
  [
    'detaches both before it attaches either',
    'blue@net2,green@net1',
    [made('blue@net1'), made('green@net2')],
    [
      'detach net2 from default/green (swap)',
      'detach net1 from default/blue (swap)',
      'attach net2 to default/blue',
      'attach net1 to default/green',
    ],
  ],
  [
    'makes a lost link again',
    'blue@net1',
    [made('blue@net1', { isBroken: true })],
    ['detach net1 from default/blue (link lost)', 'attach net1 to default/blue'],
  ],
  [
    'detaches what was cut short, then attaches it',
    'blue@net1',
    [made('blue@net1', { state: 'unfinished' })],
    ['detach net1 from default/blue (unfinished)', 'attach net1 to default/blue'],
  ],
  [
    'finishes a swap whose ADD is missing',
    'green@net1',
    [made('blue@net1', { state: 'pending', links: [] })],
    ['attach net1 to default/green'],
  ],
  [
    'finds a renamed link by its new name',
    'blue@net9f27410725ab',
    [made('blue@net1', { links: ['net9f27410725ab'] })],
    [],
  ],
  [
    'knows by the kernel what others attached',
    [{ name: 'blue', ips: ['10.1.1.7/24'], mac: '02-00-00-00-00-01' }],
    [birth('blue@net1', ['10.1.1.7'])],
    [],
  ],
  [
    'swaps what others attached with another address',
    [{ name: 'blue', ips: ['10.1.1.8/24'] }],
    [birth('blue@net1', ['10.1.1.7'])],
    ['detach net1 from default/blue (swap)', 'attach net1 to default/blue'],
  ],
];

t.test('what others attached stays as it is asked for, though their cache does not say all of it', async (t) => {
  const there = (more: Partial<Attachment>) => pod([made('blue@net1', { origin: 'birth', ...more })]);
  const chosen = { name: 'blue', interface: 'net1', 'default-route': ['10.1.1.1'] };
  t.strictSame(steps([chosen], there({ gateways: ['10.1.1.1'] })), []);
  t.strictSame(steps([chosen], there({})), [], 'the kernel was not asked');
  const swap = ['detach net1 from default/blue (swap)', 'attach net1 to default/blue'];
  t.strictSame(steps([chosen], there({ gateways: [] })), swap);
  t.strictSame(steps([{ name: 'blue', 'ipam-claim-reference': 'c' }], there({})), []);
  t.strictSame(steps('blue', there({ request: { deviceID: 'd' } })), [], 'the device was given, not asked for');
  t.strictSame(steps([{ name: 'blue', deviceID: 'e' }], there({ request: { deviceID: 'd' } })), swap);
  t.strictSame(steps('blue', pod([made('blue@net1', { request: { defaultRoute: ['10.1.1.1'] } })])), swap, 'of ours');
  t.strictSame(steps('blue', pod([made('blue@net1', { request: { ipamClaim: 'c' } })])), swap, 'of ours');
});

function birth(text: string, addresses: string[]): Attachment {
  const { request: _, ...rest } = made(text, { origin: 'birth', addresses });
  return rest;
}

t.test('plans', async (t) => {
  for (const [title, wanted, there, expected] of ROWS) t.strictSame(steps(wanted, pod(there)), expected, title);
});

t.test('keeps the hardware address over a swap, unless another is asked for', async (t) => {
  const keptOf = (wanted: unknown, there: Attachment) =>
    planSteps(select(wanted), pod([there])).steps.map(({ keepMac }) => keepMac);
  const mac = '02:00:00:00:00:01';
  t.strictSame(keptOf('green@net1', made('blue@net1')), [mac, mac]);
  t.strictSame(keptOf([{ name: 'green', interface: 'net1', mac: '02:00:00:00:00:99' }], made('blue@net1')), [
    undefined,
    undefined,
  ]);
  t.strictSame(keptOf('green@net1', made('blue@net1', { state: 'pending', links: [] })), [mac]);
});

t.test('refuses names that are not ours to give, and touches nothing for it', async (t) => {
  const others = ['lo', 'eth0', 'tun0', 'altname-of-eth0'];
  for (const name of ['eth0', 'lo', 'tun0']) {
    t.strictSame(steps(`blue@${name}`, pod([], others)), []);
    t.match(refusals(`blue@${name}`, pod([], others)), [{ interface: name, reason: /of somebody else/ }]);
  }
  t.match(refusals('blue@eth0', pod([], ['lo'])), [{ interface: 'eth0' }], 'not even if there is none');
  t.strictSame(
    steps('blue', pod([], ['lo', 'eth0', 'net1'])),
    ['attach net2 to default/blue'],
    'passes over taken names',
  );
});

t.test('a selection that cannot be read takes nothing away that it may mean', async (t) => {
  const there = [made('blue@net1'), made('green@net2')];
  const wrong = { name: 'blue', interface: 'net1', mac: 'wrong' };
  t.strictSame(steps([wrong, { name: 'green' }], pod(there)), []);
  t.strictSame(steps([wrong], pod(there)), ['detach net2 from default/green (not selected)']);
  t.strictSame(steps([{ nam: 'blue' }], pod(there)), [], 'nobody knows which it means');
  t.strictSame(steps('{"name": "blue"}', pod(there)), [], 'an annotation that is no list says nothing');
  t.strictSame(steps('blue@net1,red@net1', pod(there)), ['detach net2 from default/green (not selected)']);
});

// Any pod and any annotation.
const anySelection = fc.record(
  {
    name: fc.constantFrom('blue', 'green', 'red'),
    interface: fc.constantFrom('net1', 'net2', 'net3', 'eth0', 'tun0'),
    ips: fc.constantFrom(['10.1.1.7'], ['10.1.1.8']),
    mac: fc.constantFrom('02:00:00:00:00:77', 'wrong'),
  },
  { requiredKeys: ['name'] },
);
const anyAttachment = fc
  .record({
    name: fc.constantFrom('blue', 'green', 'red'),
    ifname: fc.constantFrom('net1', 'net2', 'net3', 'net4'),
    state: fc.constantFrom<Attachment['state']>('attached', 'unfinished', 'pending'),
    isBroken: fc.boolean(),
  })
  .map(({ name, ifname, state, isBroken }) =>
    made(`${name}@${ifname}`, { state, isBroken, links: state === 'pending' ? [] : [ifname] }),
  );
const anyPod = fc
  .uniqueArray(anyAttachment, { selector: ({ ifname }) => ifname, maxLength: 4 })
  .map((attachments) => pod(attachments, ['lo', 'eth0', 'tun0']));

/** The pod after all steps succeeded. */
function after(
  { attachments, names }: Observed,
  wanted: readonly Selection[],
  plan: ReturnType<typeof planSteps>,
): Observed {
  let left = [...attachments];
  for (const step of plan.steps) {
    left = left.filter(({ ifname }) => ifname !== step.ifname);
    if (step.kind === 'detach') continue;
    const { network, request } = step.selection;
    if (!wanted.includes(step.selection)) throw new Error('a step is about nothing that is wanted');
    left.push(made(`x@${step.ifname}`, { network, request, mac: request.mac ?? step.keepMac ?? '02:00:00:00:00:aa' }));
  }
  return pod(
    left,
    names.filter((name) => !attachments.some(({ links }) => links.includes(name))),
  );
}

t.test('one round of steps is enough, and leaves what is not its own', async () => {
  fc.assert(
    fc.property(fc.array(anySelection, { maxLength: 5 }), anyPod, (wanted, observed) => {
      const selections = select(wanted);
      const plan = planSteps(selections, observed);
      const ours = new Set(observed.attachments.map(({ ifname }) => ifname));
      for (const step of plan.steps) {
        if (step.kind === 'detach' && !ours.has(step.ifname)) throw new Error(`takes away ${step.ifname}`);
        if (['lo', 'eth0', 'tun0'].includes(step.ifname)) throw new Error(`touches ${step.ifname}`);
      }
      const names = plan.order.map(({ ifname }) => ifname);
      if (new Set(names).size !== names.length) throw new Error('gives a name twice');
      const second = planSteps(selections, after(observed, selections.selections, plan));
      if (second.steps.length > 0) throw new Error(`goes on with ${second.steps.map(describe)}`);
      return true;
    }),
    { numRuns: 2000 },
  );
});

t.test('the order of selections with names does not matter', async () => {
  const named = fc.uniqueArray(
    anySelection.filter((selection) => selection.interface !== undefined),
    { selector: (selection) => selection.interface, maxLength: 4 },
  );
  fc.assert(
    fc.property(named, anyPod, (wanted, observed) => {
      const of = (list: typeof wanted) => steps(list, observed).sort().join();
      return of(wanted) === of(wanted.toReversed());
    }),
    { numRuns: 1000 },
  );
});
