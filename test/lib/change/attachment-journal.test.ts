import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { AttachmentJournal, isKnown } from '../../../lib/change/attachment-journal.ts';
import type { Change } from '../../../lib/change/change.ts';
import type { Request } from '../../../lib/cni/request.ts';
import { routeVia } from '../../../lib/netlink/route.ts';
import type { RouteSocket } from '../../../lib/netlink/socket.ts';
import type { Namespace } from '../../../lib/netns/netns.ts';

const add = (dst: string): Change => ({
  op: 'add-route',
  route: routeVia('10.0.0.1', { dst, family: 4, link: 2, protocol: 87 }),
});
const [A, B, C] = ['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16'].map(add) as [Change, Change, Change];
const RENAME = { op: 'rename-link', link: 2, from: 'eth0', to: 'blue' } as const;
const LOST = { addresses: [], routes: [], neighbours: [] };
const ATTACHED = { time: '2026-11-30T08:00:00Z', version: '1.2.3', netns: '/n' };

/** A data folder; `journal` opens one of an attachment in it, in the namespace with this cookie. */
function folderOf(t: Test) {
  const dataDir = join(t.testdir(), 'data');
  const journal = ({ cookie = 1n, network = 'blue', containerID = 'c', ifname = 'eth0' } = {}) =>
    AttachmentJournal.of(
      'static-route',
      dataDir,
      { containerID, ifname, network } as Request,
      { device: 4n, inode: 7n } as Namespace,
      { namespaceCookie: cookie } as RouteSocket,
    );
  const lines = () => JSON.parse(readFileSync(journal().path, 'utf8')).entries as { [key: string]: unknown }[];
  return { dataDir, journal, lines };
}

const planned = (...changes: Change[]) => changes.map((change, at) => ({ change, source: `routes[${at}]` }));

t.test('changes are recorded with their source, once, behind what says when it was attached', async (t) => {
  const { journal, lines } = folderOf(t);
  t.strictSame(journal().changes(), { changes: [], state: 'missing' });
  t.strictSame(journal().record(planned(A, B), ATTACHED), []);
  const first = [
    { network: 'blue', attached: ATTACHED },
    { network: 'blue', change: A, source: 'routes[0]' },
    { network: 'blue', change: B, source: 'routes[1]' },
  ];
  t.strictSame(lines(), first);
  t.strictSame(journal().record(planned(A, B), { ...ATTACHED, version: '2.0.0' }), first, 'the first one stays');
  t.strictSame(lines(), first);
  journal().record(planned(A, C));
  t.strictSame(lines(), [...first, { network: 'blue', change: C, source: 'routes[1]' }]);
  t.strictSame(journal().changes(), { changes: [A, B, C], state: 'complete' });
});

t.test('without a time it says that it is attached all the same', async (t) => {
  const { journal, lines } = folderOf(t);
  journal().record([]);
  t.strictSame(lines(), [{ network: 'blue' }]);
  t.strictSame(journal().changes(), { changes: [], state: 'complete' });
});

t.test('a change without a source, as DEL has it, is known whichever source wanted it', async (t) => {
  const { journal, lines } = folderOf(t);
  journal().record(planned(A), ATTACHED);
  const before = lines();
  // No room is needed: the file cannot be written.
  chmodSync(journal().path, 0o400);
  t.strictSame(journal().record([{ change: A }]), before);
  t.strictSame(lines(), before);
  journal().record([{ change: A }, { change: B }]);
  t.strictSame(lines().slice(before.length), [{ network: 'blue', change: B }]);
});

t.test('networks of one interface share the file, and know nothing of each other', async (t) => {
  const { journal, lines } = folderOf(t);
  journal().record(planned(A));
  journal({ network: 'green' }).record(planned(B));
  t.strictSame(journal().changes().changes, [A]);
  t.strictSame(journal({ network: 'green' }).changes().changes, [B]);
  t.strictSame(journal({ network: 'red' }).changes(), { changes: [], state: 'missing' });
  t.equal(journal().forget(), 0);
  t.strictSame(lines(), [{ network: 'green' }, { network: 'green', change: B, source: 'routes[0]' }]);
});

t.test('what was written in another namespace is elsewhere, and is dropped by the next ADD', async (t) => {
  const { journal } = folderOf(t);
  journal().record(planned(A));
  const other = journal({ cookie: 2n });
  t.strictSame(other.changes(), { changes: [], state: 'elsewhere' });
  t.strictSame(other.changesFrom('routes[0]'), []);
  t.strictSame(other.record(planned(B)), []);
  t.strictSame(journal({ cookie: 2n }).changes(), { changes: [B], state: 'complete' });
  t.strictSame(journal().changes().state, 'elsewhere');
});

t.test('a damaged journal and a newer one say so; what cannot be read of whose it is counts as ours', async (t) => {
  const { journal } = folderOf(t);
  journal().record(planned(A, B));
  const { path } = journal();
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.slice(0, -4));
  t.strictSame(journal().changes(), { changes: [A, B], state: 'damaged' });
  writeFileSync(path, text.split('\n').slice(1).join('\n'));
  t.strictSame(journal().changes(), { changes: [A, B], state: 'damaged' });
  const later = '{"network":"blue","change":{"op":"later"}}';
  writeFileSync(path, text.replace('\n]}', `,\n${later}\n]}`));
  t.strictSame(journal().changes(), { changes: [A, B], state: 'newer' });
  t.equal(journal().forget(), 1, 'which stays');
  t.ok(readFileSync(path, 'utf8').includes(later));
  writeFileSync(path, text.replace('"version":1', '"version":2'));
  t.match(journal().changes(), { state: 'newer' });
  t.strictSame([isKnown(A), isKnown({ op: 'later' })], [true, false]);
});

t.test('after a failed ADD, what was there before, and what could not be undone', async (t) => {
  const { journal, lines } = folderOf(t);
  const first = journal();
  const before = first.record(planned(A, B));
  first.restore(before, [B]);
  t.strictSame(lines(), [{ network: 'blue', change: B }]);
  const second = journal();
  const kept = second.record(planned(C));
  second.restore(kept, []);
  t.strictSame(lines(), [{ network: 'blue', change: B }]);
  second.restore([], []);
  t.notOk(existsSync(second.path), 'nothing is no journal');
  const half = journal();
  half.record([{ change: { ...RENAME, lost: LOST }, source: 'name' }]);
  half.restore([], []);
  t.strictSame(
    lines(),
    [{ network: 'blue', change: { ...RENAME, lost: LOST } }],
    'what is half made has to be finished',
  );
});

t.test('an update replaces the changes of its network, and leaves when it was attached', async (t) => {
  const { journal, lines } = folderOf(t);
  journal({ network: 'green' }).record(planned(C));
  const own = journal();
  own.record(planned(A, B), ATTACHED);
  const { entries, fresh, stale } = own.compare(planned(B));
  t.strictSame([fresh, stale], [[], [A]], 'another place in the config makes no other change');
  own.replace(entries);
  t.strictSame(lines(), [
    { network: 'green' },
    { network: 'green', change: C, source: 'routes[0]' },
    { network: 'blue', attached: ATTACHED },
    { network: 'blue', change: B, source: 'routes[0]' },
  ]);
});

t.test('an update is compared with what is recorded of its network, wherever it differs', async (t) => {
  const { journal, lines } = folderOf(t);
  journal({ network: 'green' }).record(planned(A, B, C));
  journal().record(planned(A, B), ATTACHED);
  const entryOf = (change: Change, at: number) => ({ network: 'blue', change, source: `routes[${at}]` });
  const cases: [wanted: Change[], fresh: [Change, number][], stale: Change[]][] = [
    [[A, B], [], []],
    [[B, A], [], []],
    [[A, B, C], [[C, 2]], []],
    [[A, C, B], [[C, 1]], []],
    [[C, A, B], [[C, 0]], []],
    [[C], [[C, 0]], [A, B]],
    [[B], [], [A]],
    [[], [], [A, B]],
  ];
  for (const [wanted, fresh, stale] of cases) {
    t.strictSame(journal().compare(planned(...wanted)), {
      entries: wanted.map(entryOf),
      fresh: fresh.map(([change, at]) => entryOf(change, at)),
      stale,
    });
  }
  const own = journal();
  const { entries, fresh } = own.compare(planned(C, B));
  const stamp = () => statSync(own.path, { bigint: true }).ino;
  const first = stamp();
  own.append([]);
  t.equal(stamp(), first, 'nothing is not written');
  const before = own.append(fresh);
  t.equal(before.length, 7);
  t.strictSame(lines(), [...before, entryOf(C, 0)]);
  own.replace(entries);
  t.strictSame(lines().slice(-3), [{ network: 'blue', attached: ATTACHED }, entryOf(C, 0), entryOf(B, 1)]);
});

t.test('a link on its way to a name is written down, and that it is there', async (t) => {
  const { journal, lines } = folderOf(t);
  journal({ network: 'green' }).record(planned(C));
  const own = journal();
  own.record([...planned(A), { change: RENAME, source: 'name' }]);
  const { begin, end } = own.detours();
  begin({ ...RENAME, lost: LOST });
  t.strictSame(own.unfinished(), [{ ...RENAME, lost: LOST }]);
  t.strictSame(lines().at(-1), { network: 'blue', change: { ...RENAME, lost: LOST }, source: 'name' });
  begin({ ...RENAME, link: 9, lost: LOST });
  t.strictSame(journal().unfinished().length, 1, 'another link is none of it');
  end({ ...RENAME, from: 'blue', to: 'eth0' });
  t.strictSame(own.unfinished(), []);
  t.strictSame(own.changes().changes, [A, RENAME], 'by the names that were recorded, whichever way it went');
  t.equal(lines().length, 5);
});

t.test('that its end cannot be written does no harm, that its beginning cannot is an error', async (t) => {
  const { journal } = folderOf(t);
  const own = journal();
  own.record([{ change: RENAME, source: 'name' }]);
  const { begin, end } = own.detours();
  const folder = dirname(own.path);
  rmSync(folder, { recursive: true });
  writeFileSync(folder, '');
  end(RENAME);
  t.throws(() => begin({ ...RENAME, lost: LOST }), { name: 'FileError' });
  rmSync(folder);
});

t.test('what is recorded from a source, and from its parts', async (t) => {
  const { journal } = folderOf(t);
  journal().record([
    { change: A, source: 'topology x' },
    { change: B, source: 'topology x: vrf red' },
    { change: C, source: 'topology xy' },
  ]);
  t.strictSame(journal().changesFrom('topology x'), [A, B]);
  t.strictSame(journal().changesFrom('topology'), []);
  t.strictSame(journal({ network: 'green' }).changesFrom('topology x'), []);
});

t.test('what other attachments of the namespace claim', async (t) => {
  const { journal, dataDir } = folderOf(t);
  journal().record(planned(A));
  journal({ network: 'green' }).record(planned(B));
  journal({ containerID: 'd' }).record(planned(C));
  journal({ containerID: 'e', cookie: 2n }).record(planned(A));
  t.strictSame(journal().claimsOfOthers(), [B, C]);
  mkdirSync(join(dataDir, 'static-route/folder'));
  t.strictSame(journal().claimsOfOthers(), [B, C]);
});

t.test('without a namespace it can be forgotten', async (t) => {
  const { journal, dataDir } = folderOf(t);
  journal().record(planned(A));
  const request = { containerID: 'c', ifname: 'eth0', network: 'blue' } as Request;
  const gone = AttachmentJournal.of('static-route', dataDir, request, undefined, undefined);
  t.equal(gone.forget(), 0);
  t.notOk(existsSync(gone.path));
});
