import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  type BirthAttachment,
  begun,
  forgetBirthAttachment,
  ownBirthAttachments,
  readBirthRecord,
  setBirthList,
  writeBirthRecord,
} from '../../../lib/attachments/birth-record.ts';
import { consistentName } from '../../../lib/attachments/kactus.ts';
import { cacheResult } from '../../../lib/runtime/cache.ts';
import { parseNetwork } from '../../../lib/runtime/network.ts';

const FALLBACK = { containerID: 'c', netns: '/n', ifname: 'eth0', args: [], capabilityArgs: {} };
const listOf = (name: string) =>
  parseNetwork({ cniVersion: '1.0.0', name, plugins: [{ type: 'bridge', own: 1 }] }, 'x');
const entry = (name: string, ifname: string, isDefault = false): BirthAttachment =>
  begun(`default/${name}`, listOf(name), { ...FALLBACK, ifname }, { isDefault, request: {} });
const BOTH = [entry('cluster', 'eth0', true), entry('blue', 'net1')];

/** A folder with this as the record of sandbox c. */
function recordOf(t: Test, content: unknown): string {
  return t.testdir({ c: typeof content === 'string' ? content : JSON.stringify(content) });
}

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64');

t.test('what is written is read again, whole and for its owner only; without networks there is no file', async (t) => {
  const folder = join(t.testdir(), 'multus');
  t.equal(readBirthRecord(folder, 'c', FALLBACK), undefined);
  writeBirthRecord(folder, 'c', BOTH);
  t.strictSame(readBirthRecord(folder, 'c', FALLBACK), BOTH);
  t.equal(statSync(join(folder, 'c')).mode & 0o777, 0o600);
  writeBirthRecord(folder, 'c', []);
  t.notOk(existsSync(join(folder, 'c')));
});

t.test('an entry is one of Multus’, too', async (t) => {
  const folder = join(t.testdir(), 'multus');
  writeBirthRecord(folder, 'c', BOTH);
  const [first, second] = JSON.parse(readFileSync(join(folder, 'c'), 'utf8'));
  const { waymark: _, ...ofMultus } = second;
  t.strictSame(ofMultus, {
    Conf: {},
    ConfList: { cniVersion: '1.0.0', name: 'blue', plugins: [{ type: 'bridge' }] },
    Name: 'default/blue',
    ifnameRequest: 'net1',
    IsFilterV4Gateway: false,
    IsFilterV6Gateway: false,
    Bytes: Buffer.from(listOf('blue').source).toString('base64'),
  });
  t.notOk('ifnameRequest' in first, 'the pod’s own interface has no name to ask for');
});

t.test(
  'Multus’ entries: the first is the pod’s own, the others have the name asked for or that of their place',
  async (t) => {
    const list = { cniVersion: '0.4.0', name: 'blue', plugins: [{ type: 'a' }] };
    const single = { cniVersion: '0.4.0', name: 'red', type: 'b' };
    const folder = recordOf(t, [
      { Name: 'default/own', Bytes: base64(list), ifnameRequest: 'ignored' },
      { Name: '', Bytes: base64(list), ifnameRequest: 'lan0' },
      { Bytes: base64(single), ifnameRequest: '' },
    ]);
    const read = readBirthRecord(folder, 'c', FALLBACK) ?? [];
    t.strictSame(
      read.map(({ network, ifname, isDefault, state, list }) => [network, ifname, isDefault, state, JSON.parse(list)]),
      [
        ['default/own', 'eth0', true, 'attached', list],
        ['blue', 'lan0', false, 'attached', list],
        ['red', 'net2', false, 'attached', { name: 'red', cniVersion: '0.4.0', plugins: [single] }],
      ],
    );
    t.strictSame(read[1]?.input, { ...FALLBACK, ifname: 'lan0' });
  },
);

t.test(
  'kactus’ entries: the master is the pod’s own, the others have the name that follows from the network',
  async (t) => {
    const folder = recordOf(t, [
      { type: 'a', networkName: 'one', masterPlugin: true },
      { type: 'b', networkName: 'two', masterplugin: true },
      { type: 'c', networkName: 'blue', cniVersion: '0.3.1' },
      { type: 'd', name: 'own' },
      { type: 'e' },
    ]);
    const read = readBirthRecord(folder, 'c', FALLBACK) ?? [];
    t.strictSame(
      read.map(({ network, ifname, isDefault }) => [network, ifname, isDefault]),
      [
        ['one', 'eth0', true],
        ['two', 'eth0', true],
        ['blue', consistentName('blue'), false],
        ['own', 'eth0', true],
        ['kactus', 'eth0', true],
      ],
    );
    const third = { name: 'blue', cniVersion: '0.3.1', plugins: [{ name: 'blue', type: 'c', cniVersion: '0.3.1' }] };
    t.strictSame(JSON.parse(read[2]?.list ?? ''), third);
  },
);

const WRONG: [content: unknown, message: RegExp][] = [
  ['{', /\/c: is not JSON$/],
  ['{}', /\/c: is not a list of networks$/],
  [[7], /has an entry \[0\] that is not a network$/],
  [[{ type: 'a' }, { Bytes: 7 }], /has an entry \[1\] that is not a network$/],
  [[{ Bytes: 'e30x' }], /has an entry \[0\] that is not a network$/],
  [[{ Bytes: base64([]) }], /has an entry \[0\] that is not a network$/],
  [
    [{ Bytes: base64({ name: 'w', plugins: [{ type: 'bridge' }, { type: 'multi-network' }] }) }],
    /runs "multi-network"/,
  ],
];

for (const [content, message] of WRONG) {
  t.test(`a record that is none: ${JSON.stringify(content).slice(0, 60)}`, async (t) => {
    t.throws(() => readBirthRecord(recordOf(t, content), 'c', FALLBACK), { name: 'FileError', message });
  });
}

t.test('no container’s name leads out of the folder, or to the results in it', async (t) => {
  for (const id of ['results', '../x', '', '.']) {
    t.throws(() => readBirthRecord(t.testdir(), id, FALLBACK), { name: 'FileError' }, id);
    t.throws(() => writeBirthRecord(t.testdir(), id, []), { name: 'FileError' }, id);
  }
});

t.test('our part counts only where all of the record is ours', async (t) => {
  const [folder, others, broken] = [join(t.testdir(), 'a'), t.testdir({ x: {} }), '/nowhere'];
  writeBirthRecord(folder, 'c', BOTH);
  mkdirSync(join(others, 'y'));
  const [own] = JSON.parse(readFileSync(join(folder, 'c'), 'utf8'));
  writeFileSync(join(others, 'x/c'), JSON.stringify([own, { type: 'a' }]));
  writeFileSync(join(others, 'y/c'), '{');
  const folders = [`${folder}/results`, `${others}/x/results`, `${others}/y/results`, `${broken}/results`];
  t.strictSame(
    ownBirthAttachments('c', folders, (path) => path),
    BOTH,
  );
  t.strictSame(
    ownBirthAttachments('../c', folders, (path) => path),
    [],
  );
  for (const part of [{ ifname: 7 }, { network: 7 }, { list: 7 }, { input: 7 }]) {
    writeFileSync(join(others, 'x/c'), JSON.stringify([{ waymark: { ...own.waymark, ...part } }]));
    t.strictSame(
      ownBirthAttachments('c', [`${others}/x/results`], (path) => path),
      [],
      JSON.stringify(part),
    );
  }
});

t.test('a list that was updated is written down, for the interface that has it', async (t) => {
  const folder = join(t.testdir(), 'a');
  const asked = { ...BOTH[1], request: { mac: 'm', cniArgs: { a: 1 } } } as BirthAttachment;
  writeBirthRecord(folder, 'c', [BOTH[0] as BirthAttachment, asked]);
  const other = listOf('green').source;
  const read = () => readBirthRecord(folder, 'c', FALLBACK) ?? [];
  setBirthList(folder, 'c', 'net9', other, undefined);
  t.strictSame(read()[1], asked);
  setBirthList(folder, 'c', 'net1', other, { b: 2 });
  t.strictSame(read(), [BOTH[0], { ...asked, list: other, request: { mac: 'm', cniArgs: { b: 2 } } }]);
  setBirthList(folder, 'c', 'net1', other, undefined);
  t.strictSame(read()[1]?.request, { mac: 'm' });
});

t.test('what Multus wrote stays as it is when one of its networks is updated', async (t) => {
  const content = [{ Bytes: base64({ cniVersion: '0.4.0', name: 'own', type: 'a' }), ifnameRequest: 'net1' }];
  const folder = recordOf(t, content);
  setBirthList(folder, 'c', 'net1', '{}', undefined);
  t.strictSame(JSON.parse(readFileSync(join(folder, 'c'), 'utf8')), content);
});

t.test('one that was taken away is forgotten with its result, the others stay', async (t) => {
  const folder = join(t.testdir(), 'a');
  writeBirthRecord(folder, 'c', BOTH);
  for (const { ifname, input } of BOTH) cacheResult(folder, listOf(ifname === 'net1' ? 'blue' : 'cluster'), input, {});
  forgetBirthAttachment(`${folder}/results`, 'c', 'net9');
  t.strictSame(readBirthRecord(folder, 'c', FALLBACK), BOTH);
  forgetBirthAttachment(`${folder}/results`, 'c', 'net1');
  t.strictSame(readBirthRecord(folder, 'c', FALLBACK), [BOTH[0]]);
  t.ok(existsSync(`${folder}/results/cluster-c-eth0`));
  t.notOk(existsSync(`${folder}/results/blue-c-net1`));
});
