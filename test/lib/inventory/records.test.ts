import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Change } from '../../../lib/change/change.ts';
import { tryLock } from '../../../lib/files/lock.ts';
import { recordedAttachments } from '../../../lib/inventory/records.ts';
import type { Entry } from '../../../lib/journal/format.ts';
import { Journal } from '../../../lib/journal/journal.ts';
import { routeVia } from '../../../lib/netlink/route.ts';

const CHANGE: Change = {
  op: 'add-route',
  route: routeVia('10.0.0.1', { dst: '10.1.0.0/16', family: 4, link: 2, protocol: 87 }),
};
const ATTACHED = { time: '2026-11-30T08:00:00Z', version: '1.2.3', netns: '/n', pod: 'shop/web' };

/** A data folder in which plugin `a` has journals; `put` writes another. */
function folderOf(t: Test) {
  const dataDir = join(t.testdir(), 'data');
  mkdirSync(join(dataDir, 'a'), { recursive: true, mode: 0o700 });
  const put = (containerID: string, ifname: string, entries: Entry[], plugin = 'a') =>
    new Journal(join(dataDir, plugin), { containerID, ifname, network: 'blue' }).write('ns', entries);
  return { dataDir, put };
}

t.test('each network of a journal is an attachment, with its changes and when it was made', async (t) => {
  const { dataDir, put } = folderOf(t);
  put('c', 'eth0', [
    { network: 'blue', attached: ATTACHED },
    { network: 'blue', change: CHANGE, source: 'routes[0]' },
    { network: 'green', change: CHANGE },
  ]);
  const about = {
    plugin: 'a',
    containerID: 'c',
    ifname: 'eth0',
    journal: join(dataDir, 'a/c-eth0.json'),
    namespace: 'ns',
  };
  t.strictSame(recordedAttachments(dataDir, ['a', 'b']), {
    attachments: [
      {
        ...{ ...about, network: 'blue', attached: ATTACHED, isIncomplete: false, isLocked: false },
        changes: [{ change: CHANGE, source: 'routes[0]' }],
      },
      {
        ...{ ...about, network: 'green', attached: undefined, isIncomplete: false, isLocked: false },
        changes: [{ change: CHANGE, source: undefined }],
      },
    ],
    failures: [],
  });
});

t.test('the plugins in their order, and journals by name; of one container only its own', async (t) => {
  const { dataDir, put } = folderOf(t);
  mkdirSync(join(dataDir, 'b'), { mode: 0o700 });
  for (const [id, ifname] of [
    ['d', 'eth0'],
    ['c', 'net1'],
    ['c', 'eth0'],
    ['c-2', 'eth0'],
  ] as const)
    put(id, ifname, [{ network: 'blue' }]);
  put('c', 'eth0', [{ network: 'blue' }], 'b');
  writeFileSync(join(dataDir, 'a/c-other.txt'), '');
  const names = (...more: string[]) =>
    recordedAttachments(dataDir, ['b', 'a'], ...more).attachments.map(
      ({ plugin, containerID, ifname }) => `${plugin} ${containerID} ${ifname}`,
    );
  t.strictSame(names(), ['b c eth0', 'a c-2 eth0', 'a c eth0', 'a c net1', 'a d eth0']);
  t.strictSame(names('c'), ['b c eth0', 'a c eth0', 'a c net1']);
  t.strictSame(recordedAttachments(dataDir, ['b', 'a']).failures, [], 'what is no journal is not read');
  writeFileSync(join(dataDir, 'a/d-net1.json'), 'odd');
  t.strictSame(recordedAttachments(dataDir, ['b', 'a'], 'c').failures, [], 'nor one of another container');
});

t.test('what is damaged, or not known, is incomplete; and whose it is must be readable', async (t) => {
  const { dataDir, put } = folderOf(t);
  put('known', 'eth0', [{ network: 'blue', change: CHANGE }]);
  put('newer', 'eth0', [
    { network: 'blue', change: CHANGE },
    { network: 'blue', change: { op: 'later' } },
  ]);
  const whole = new Journal(join(dataDir, 'a'), { containerID: 'cut', ifname: 'eth0', network: 'blue' });
  whole.write('ns', [{ network: 'blue', change: CHANGE }]);
  writeFileSync(whole.path, readFileSync(whole.path, 'utf8').slice(0, -3));
  writeFileSync(join(dataDir, 'a/odd-eth0.json'), 'odd');
  const { attachments, failures } = recordedAttachments(dataDir, ['a']);
  t.strictSame(
    attachments.map(({ containerID, isIncomplete, changes }) => [containerID, isIncomplete, changes.length]),
    [
      ['cut', true, 1],
      ['known', false, 1],
      ['newer', true, 1],
    ],
  );
  t.match(failures, [/odd-eth0\.json: is damaged, so whose journal it is cannot be read/]);
});

t.test('whether somebody is at work on it', async (t) => {
  const { dataDir, put } = folderOf(t);
  put('c', 'eth0', [{ network: 'blue' }]);
  const isLocked = () => recordedAttachments(dataDir, ['a']).attachments[0]?.isLocked;
  const lock = tryLock(join(dataDir, 'a/.c-eth0.lock'));
  t.equal(isLocked(), true);
  lock?.release();
  t.equal(isLocked(), false);
});

t.test('what says when it was attached must be complete', async (t) => {
  const { dataDir, put } = folderOf(t);
  const { pod: _, ...without } = ATTACHED;
  const attached = (value: unknown) => {
    put('c', 'eth0', [{ network: 'blue', attached: value as typeof ATTACHED }]);
    return recordedAttachments(dataDir, ['a']).attachments[0]?.attached;
  };
  t.strictSame(attached(without), without, 'a runtime need not tell the pod');
  for (const wrong of [
    {},
    null,
    { ...ATTACHED, time: 7 },
    { ...ATTACHED, pod: 7 },
    { ...ATTACHED, version: undefined },
  ])
    t.equal(attached(wrong), undefined, JSON.stringify(wrong));
});
