import t from 'tap';
import { fileName, isNewer, linesOf, lockPath, parse, parseHead } from '../../../lib/journal/format.ts';

const HEAD = { version: 1, containerID: 'c', ifname: 'eth0', namespace: 'ns' };
const ENTRIES = [{ network: 'blue', change: { op: 'x' } }, { network: 'green' }];
const lines = (head: object, entries: unknown[] = ENTRIES) =>
  `${JSON.stringify(head).slice(0, -1)},"entries":[\n${entries.map((entry) => JSON.stringify(entry)).join(',\n')}\n]}\n`;

t.test('a journal and its lock are named by the attachment', async (t) => {
  t.equal(fileName({ containerID: 'c', ifname: 'eth0' }), 'c-eth0.json');
  t.equal(lockPath('/x', { containerID: 'c', ifname: 'eth0' }), '/x/.c-eth0.lock');
});

t.test('a whole one is intact', async (t) => {
  t.strictSame(parse(lines(HEAD)), { namespace: 'ns', entries: ENTRIES, intact: true });
  t.strictSame(parse(lines(HEAD, [])), { namespace: 'ns', entries: [], intact: true });
});

t.test('of one that was cut short, at any line, the entries that are whole are left', async (t) => {
  const text = lines(HEAD);
  const at = (part: string) => text.slice(0, text.indexOf(part) + part.length);
  t.strictSame(parse(at('"entries":[\n')), { namespace: 'ns', entries: [], intact: false });
  t.strictSame(parse(at('{"op":"x"}},\n')), { namespace: 'ns', entries: ENTRIES.slice(0, 1), intact: false });
  t.strictSame(parse(at('{"network":"green"}')), { namespace: 'ns', entries: ENTRIES, intact: false });
  t.strictSame(parse(at('"ifname"')), { namespace: '', entries: [], intact: false });
  t.strictSame(parse(''), { namespace: '', entries: [], intact: false });
});

t.test('what is no entry is left out, and damages it', async (t) => {
  for (const wrong of [7, null, {}, { network: 7 }, { network: 'blue', change: 7 }, { network: 'blue', change: null }])
    t.strictSame(parse(lines(HEAD, [wrong, ...ENTRIES])), { namespace: 'ns', entries: ENTRIES, intact: false });
});

t.test('each entry of an intact journal has a line, unless somebody has laid it out otherwise', async (t) => {
  const written = ENTRIES.map((entry) => JSON.stringify(entry));
  t.strictSame(linesOf(lines(HEAD), 2), written);
  t.strictSame(linesOf(lines(HEAD, ENTRIES.slice(1)), 1), written.slice(1));
  for (const count of [0, 1, 3]) t.strictSame(linesOf(lines(HEAD), count), []);
  t.strictSame(linesOf(`${JSON.stringify({ ...HEAD, entries: ENTRIES })}\n`, 2), []);
});

t.test('a newer one says so, however it is laid out', async (t) => {
  const newer = { ...HEAD, version: 2 };
  t.strictSame(parse(lines(newer)), { namespace: 'ns', entries: ENTRIES, intact: false, newer: true });
  const other = JSON.stringify({ ...newer, entries: ENTRIES }, undefined, 1);
  t.strictSame(parse(other), { namespace: 'ns', entries: ENTRIES, intact: false, newer: true });
  t.strictSame(
    [isNewer(lines(newer)), isNewer(other), isNewer(lines(HEAD)), isNewer('odd')],
    [true, true, false, false],
  );
  t.equal(
    parseHead(JSON.stringify({ ...HEAD, entries: [] }, undefined, 1)),
    undefined,
    'ours is known by its first line',
  );
});

t.test('a head has all of its parts', async (t) => {
  t.match(parseHead(lines(HEAD)), HEAD);
  t.match(parseHead(lines(HEAD).slice(0, lines(HEAD).indexOf('\n'))), HEAD);
  for (const key of ['version', 'containerID', 'ifname', 'namespace'])
    t.equal(parseHead(lines({ ...HEAD, [key]: undefined })), undefined, `without ${key}`);
  for (const part of [{ version: 0 }, { version: '1' }, { containerID: 7 }, { ifname: 7 }, { namespace: 7 }])
    t.equal(parseHead(lines({ ...HEAD, ...part })), undefined, JSON.stringify(part));
  t.equal(parseHead('null'), undefined);
  t.equal(parseHead(`${JSON.stringify(HEAD).slice(0, -1)},"entries":{\n`), undefined);
});
