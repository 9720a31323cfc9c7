import { copyFileSync, existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { FileError } from '../../../lib/files/files.ts';
import { tryLock } from '../../../lib/files/lock.ts';
import { lockPath } from '../../../lib/journal/format.ts';
import { forgetGone, journalNames, locate } from '../../../lib/journal/gone.ts';
import { Journal } from '../../../lib/journal/journal.ts';
import { run, scratchFolder } from '../../support/namespaces/namespace.ts';

const attachment = { containerID: 'container-1', ifname: 'eth0', network: 'blue' };
const NAME = 'container-1-eth0.json';
const isKnown = (change: object) => !('newer' in change);

function journalIn(folder: string): Journal {
  const journal = new Journal(folder, attachment);
  journal.write('ns', [
    { network: 'blue', change: {} },
    { network: 'green', change: {} },
  ]);
  return journal;
}

/** Throws if there is none: for tests that have made one. */
function located(folder: string, name = NAME) {
  const journal = locate(folder, name);
  if (journal === undefined) throw new Error(`${name} is not located`);
  return journal;
}

t.test('a journal says which namespace it is of, and from which PID namespace it was written', async (t) => {
  const folder = scratchFolder(t);
  const { path } = journalIn(folder);
  const writer = run('readlink', ['/proc/self/ns/pid']).trim();
  t.match(located(folder), { folder, path, namespace: 'ns', writer });
});

t.test('it is forgotten for all its networks, with its lock', async (t) => {
  const folder = scratchFolder(t);
  journalIn(folder);
  t.equal(forgetGone(located(folder), isKnown), true);
  t.strictSame(readdirSync(folder), []);
});

t.test('a damaged one that says which namespace it is of is forgotten too', async (t) => {
  const folder = scratchFolder(t);
  const { path } = journalIn(folder);
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, -20));
  t.equal(forgetGone(located(folder), isKnown), true);
});

t.test('it stays while somebody has the attachment locked', async (t) => {
  const folder = scratchFolder(t);
  journalIn(folder);
  const lock = tryLock(lockPath(folder, attachment));
  t.equal(forgetGone(located(folder), isKnown), false);
  lock?.release();
  t.equal(forgetGone(located(folder), isKnown), true);
});

t.test('it stays if it was written since, also with the same identity', async (t) => {
  for (const namespace of ['another', 'ns']) {
    const folder = scratchFolder(t);
    const journal = journalIn(folder);
    utimesSync(journal.path, new Date(0), new Date(0));
    const before = located(folder);
    journal.write(namespace, [{ network: 'blue' }]);
    // The same time, as a coarse clock has it.
    const time = new Date(0);
    utimesSync(journal.path, time, time);
    t.equal(forgetGone(before, isKnown), false, namespace);
    t.ok(existsSync(journal.path));
  }
});

t.test('it stays if one of its networks was forgotten since; one that is there no more is no error', async (t) => {
  const folder = scratchFolder(t);
  const journal = journalIn(folder);
  const before = located(folder);
  journal.forget();
  t.ok(existsSync(journal.path), 'it has another network');
  t.equal(forgetGone(before, isKnown), false);
  t.equal(forgetGone(located(folder), isKnown), true);
  t.equal(forgetGone(before, isKnown), false);
  t.strictSame(readdirSync(folder), []);
});

t.test('one with a change of a newer build stays as it is', async (t) => {
  const folder = scratchFolder(t);
  const journal = new Journal(folder, attachment);
  journal.write('ns', [
    { network: 'blue', change: {} },
    { network: 'green', change: { newer: 1 } },
  ]);
  const text = readFileSync(journal.path, 'utf8');
  t.equal(forgetGone(located(folder), isKnown), false);
  t.equal(readFileSync(journal.path, 'utf8'), text);
});

t.test('what is not a journal of this build that says where it belongs is not located', async (t) => {
  const folder = scratchFolder(t);
  const { path } = journalIn(folder);
  const text = readFileSync(path, 'utf8');
  copyFileSync(path, join(folder, 'copy-eth0.json'));
  const others: [string, string][] = [
    ['copy-eth0.json', text],
    [NAME, ''],
    [NAME, '{}'],
    [NAME, text.slice(0, 30)],
    [NAME, text.replace('"version":1', '"version":2')],
    [NAME, text.replace('"namespace":"ns"', '"namespace":""')],
  ];
  for (const [name, content] of others) {
    writeFileSync(join(folder, name), content);
    t.equal(locate(folder, name), undefined, content.slice(0, 60));
  }
  t.equal(locate(folder, 'missing-eth0.json'), undefined);
});

t.test('a folder in the place of a journal is an error, and there may be no folder at all', async (t) => {
  const folder = scratchFolder(t);
  t.throws(() => locate(join(folder, '..'), folder.split('/').at(-1) ?? ''), FileError);
  t.strictSame(journalNames(join(folder, 'missing')), []);
  journalIn(folder);
  writeFileSync(join(folder, 'notes.txt'), '');
  t.strictSame(journalNames(folder), [NAME]);
});
