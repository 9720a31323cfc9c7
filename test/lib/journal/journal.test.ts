import { spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { FileError } from '../../../lib/files/files.ts';
import type { Entry } from '../../../lib/journal/format.ts';
import { forgetInvalid, Journal } from '../../../lib/journal/journal.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';

/** Entries with everything that could disturb a file of lines: brackets, commas, newlines, quotes, many bytes. */
const entries: Entry[] = [
  { network: 'blue', change: { op: 'add-route', route: { dst: '10.0.0.0/8', hops: [{ oif: 2 }] } } },
  { network: 'grün ☃ 🛣' },
  { network: 'blue', change: { text: 'a\nb],\n]}\n"\\', nested: { network: 'green', change: {} } } },
  { network: 'blue', change: {} },
];

t.test('a journal', async (t) => {
  t.test('is <containerID>-<ifname>.json of mode 0600 in a folder of 0700', async (t) => {
    const umask = process.umask(0);
    t.teardown(() => process.umask(umask));
    const folder = join(scratchFolder(t), 'data', 'static-route');
    const journal = journalIn(folder);
    t.equal(journal.path, join(folder, 'container-1-eth0.json'));
    journal.write('4:4026531840', entries);
    t.strictSame([modeOf(journal.path), modeOf(folder), modeOf(join(folder, '..'))], [0o600, 0o700, 0o700]);
    t.strictSame(readdirSync(folder), ['container-1-eth0.json']);
  });

  t.test('is one JSON document with one entry on each line', async (t) => {
    const journal = journalIn(scratchFolder(t));
    journal.write('ns', entries);
    const text = readFileSync(journal.path, 'utf8');
    const { version, containerID, ifname, namespace, entries: written } = JSON.parse(text);
    t.strictSame(
      { version, containerID, ifname, namespace },
      { version: 1, containerID: 'container-1', ifname: 'eth0', namespace: 'ns' },
    );
    t.strictSame(written, entries);
    t.equal(text.split('\n').length, entries.length + 3);
  });

  t.test(
    'is written again if it says something else or somebody else may have written it, and not otherwise',
    async (t) => {
      const folder = scratchFolder(t);
      const journal = journalIn(folder);
      // One that is replaced is another file.
      const isReplaced = (...written: [string, readonly Entry[]]) => {
        const { ino } = statSync(journal.path);
        journal.write(...written);
        return statSync(journal.path).ino !== ino;
      };
      journal.write('ns', entries);
      t.equal(isReplaced('ns', entries), false);
      t.equal(isReplaced('other', entries), true);
      t.equal(isReplaced('other', entries.slice(1)), true);
      t.equal(isReplaced('other', entries.toReversed().slice(1)), true);
      t.equal(isReplaced('ns', entries), true);
      journalIn(folder).write('ns', []);
      journal.read();
      t.equal(isReplaced('ns', entries), true);
    },
  );

  t.test('makes the line of an entry once, however often it is compared and written', async (t) => {
    let made = 0;
    const entry = { network: 'blue', change: { toJSON: () => ({ made: ++made }) } };
    const journal = journalIn(scratchFolder(t));
    journal.write('ns', [entry]);
    journal.write('other', [entry, ...entries]);
    t.equal(journal.textOf(entry), '{"network":"blue","change":{"made":1}}');
  });

  t.test('reads back what was written, whatever is in the entries', async (t) => {
    const journal = journalIn(scratchFolder(t));
    const change = fc.option(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()), { nil: undefined });
    const entry = fc
      .record({ network: fc.string({ unit: 'binary' }), change })
      .map(({ network, change }): Entry => (change === undefined ? { network } : { network, change }));
    fc.assert(
      fc.property(fc.array(entry), fc.string(), (list, namespace) => {
        journal.write(namespace, list);
        const read = journal.read();
        // By way of JSON, which has no -0 and no prototypes.
        return JSON.stringify(read) === JSON.stringify({ namespace, entries: list, intact: true });
      }),
      { numRuns: 300 },
    );
  });

  t.test('reads as undefined when there is none, and after the last network was forgotten', async (t) => {
    const journal = journalIn(join(scratchFolder(t), 'missing'));
    t.equal(journal.read(), undefined);
    journal.forget();
    t.equal(journal.read(), undefined);
  });

  t.test('forgets one network, but for what this build does not know, and says how much that is', async (t) => {
    const journal = journalIn(scratchFolder(t));
    const own = journal.read();
    t.equal(own, undefined);
    const [known, later, other] = [
      { network: 'blue', change: { op: 'known' } },
      { network: 'blue', change: { op: 'later' } },
      { network: 'green', change: { op: 'later' } },
    ];
    journal.write('ns', [{ network: 'blue' }, known, later, other]);
    const isKnown = (change: object) => (change as { op: string }).op === 'known';
    t.equal(journal.forget(isKnown), 1);
    t.strictSame(journal.read()?.entries, [later, other]);
    t.equal(journal.forget(), 0);
    t.strictSame(journal.read()?.entries, [other]);
  });

  t.test('is refused in a folder that is a link or that others can write to, and nothing is written', async (t) => {
    const scratch = scratchFolder(t);
    mkdirSync(join(scratch, 'real'), { mode: 0o700 });
    symlinkSync(join(scratch, 'real'), join(scratch, 'link'));
    t.throws(() => journalIn(join(scratch, 'link')).write('ns', entries), FileError);
    chmodSync(join(scratch, 'real'), 0o777);
    t.throws(() => journalIn(join(scratch, 'real')).write('ns', entries), FileError);
    t.strictSame(readdirSync(join(scratch, 'real')), []);
  });

  t.test('that is a link is not read', async (t) => {
    const folder = scratchFolder(t);
    const journal = journalIn(folder);
    journal.write('ns', entries);
    symlinkSync(journal.path, join(folder, 'container-2-eth0.json'));
    t.throws(() => journalIn(folder, 'container-2').read(), FileError);
  });
});

t.test('cut short', async (t) => {
  for (const [what, list] of [
    ['four entries', entries],
    ['one entry', entries.slice(0, 1)],
    ['no entry', []],
  ] as const) {
    t.test(`at any byte, a journal of ${what} gives a prefix of them, and is intact only when whole`, async (t) => {
      const journal = journalIn(scratchFolder(t));
      journal.write('ns', list);
      const bytes = readFileSync(journal.path);
      const seen = new Set<number>();
      for (let length = 0; length <= bytes.length; length++) {
        writeFileSync(journal.path, bytes.subarray(0, length));
        const read = journal.read() ?? { entries: [{ network: 'missing' }], intact: true, namespace: '' };
        // The last byte is a newline, which says nothing.
        const whole = length >= bytes.length - 1;
        const prefix = list.slice(0, read.entries.length);
        const known = read.namespace === 'ns' || (read.namespace === '' && read.entries.length === 0);
        if (read.intact !== whole || !known || JSON.stringify(read.entries) !== JSON.stringify(prefix)) {
          t.fail(`cut to ${length} of ${bytes.length} bytes`, { found: read });
        }
        if (whole) t.strictSame(read, { namespace: 'ns', entries: list, intact: true });
        seen.add(read.entries.length);
      }
      t.strictSame([...seen], [...Array(list.length + 1).keys()]);
    });
  }

  t.test(
    'or overwritten by zeroes at any byte, a journal is read without an error, and no entry is made up',
    async (t) => {
      const journal = journalIn(scratchFolder(t));
      journal.write('ns', entries);
      const bytes = readFileSync(journal.path);
      const known = new Set(entries.map((entry) => JSON.stringify(entry)));
      for (let at = 0; at < bytes.length; at++) {
        const damaged = Buffer.from(bytes);
        damaged.fill(0, at, Math.min(at + 7, bytes.length));
        writeFileSync(journal.path, damaged);
        const read = journal.read();
        if (read?.intact && JSON.stringify(read.entries) === JSON.stringify(entries)) continue;
        const other = read?.entries.filter((entry) => !known.has(JSON.stringify(entry)));
        if (read === undefined || read.intact || other?.length !== 0) t.fail(`damaged at ${at}`, { found: read });
      }
      t.pass('for every byte');
    },
  );

  t.test('can be written again as a whole', async (t) => {
    const journal = journalIn(scratchFolder(t));
    journal.write('ns', entries);
    writeFileSync(journal.path, readFileSync(journal.path).subarray(0, 200));
    journal.write('other', entries.slice(1));
    t.strictSame(journal.read(), { namespace: 'other', entries: entries.slice(1), intact: true });
  });

  const foreign: [what: string, content: string | Uint8Array][] = [
    ['nothing', ''],
    ['a newline', '\n'],
    ['null', 'null'],
    ['a list', '[]'],
    ['a number', '1'],
    ['a newer version', '{"version":2,"containerID":"container-1","ifname":"eth0","namespace":"ns","entries":[]}'],
    ['an older version', '{"version":0,"containerID":"container-1","ifname":"eth0","namespace":"ns","entries":[]}'],
    ['no namespace', '{"version":1,"containerID":"c","ifname":"e","entries":[]}'],
    ['entries that are no list', '{"version":1,"containerID":"c","ifname":"e","namespace":"ns","entries":{}}'],
    ['entries of another kind', '{"version":1,"containerID":"c","ifname":"e","namespace":"ns","entries":[1,null,"a"]}'],
    [
      'a change that is null',
      '{"version":1,"containerID":"c","ifname":"e","namespace":"ns","entries":[{"network":"n","change":null}]}',
    ],
    ['bytes that are no UTF-8', Uint8Array.of(0xff, 0xfe, 0, 0x7b)],
    ['10,000 brackets', '['.repeat(10_000)],
  ];
  for (const [what, content] of foreign) {
    t.test(`and left with ${what}, it has no entries and is not intact`, async (t) => {
      const journal = journalIn(scratchFolder(t));
      writeFileSync(journal.path, content);
      t.match(journal.read(), { entries: [], intact: false });
    });
  }
});

t.test(
  'a writer killed at any time leaves the journal of before or of after, and the next write cleans up',
  async (t) => {
    const folder = scratchFolder(t);
    const journal = journalIn(folder);
    const generation = (n: number): Entry[] => Array.from({ length: 300 }, () => ({ network: 'blue', change: { n } }));
    journal.write('ns', generation(0));
    const script = `
    import { Journal } from ${JSON.stringify(new URL('../../../lib/journal/journal.ts', import.meta.url).href)};
    const journal = new Journal(${JSON.stringify(folder)}, { containerID: 'container-1', ifname: 'eth0', network: 'blue' });
    process.stdout.write('started');
    for (let n = 1; ; n++) journal.write('ns', Array.from({ length: 300 }, () => ({ network: 'blue', change: { n } })));
  `;
    for (let i = 0; i < 6; i++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      await new Promise((resolve) => setTimeout(resolve, 7 * i + Math.random() * 5));
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('exit', resolve));
      const read = journal.read();
      const [first] = read?.entries ?? [];
      t.ok(read?.intact);
      t.equal(read?.entries.length, 300);
      t.ok(read?.entries.every((entry) => JSON.stringify(entry) === JSON.stringify(first)));
    }
    journal.write('ns', generation(0));
    t.strictSame(readdirSync(folder), ['container-1-eth0.json']);
  },
);

t.test('forget', async (t) => {
  t.test('takes out the entries of its own network and leaves those of another in the same file', async (t) => {
    const folder = scratchFolder(t);
    const [blue, green] = [journalIn(folder), journalIn(folder, 'container-1', 'green')];
    t.equal(blue.path, green.path);
    const mixed: Entry[] = [...entries, { network: 'green', change: { of: 'green' } }];
    blue.write('ns', mixed);
    t.strictSame(green.read(), blue.read());
    blue.forget();
    t.strictSame(green.read(), { namespace: 'ns', entries: [entries[1], mixed.at(-1)], intact: true });
    blue.forget();
    t.equal(green.read()?.entries.length, 2);
  });

  t.test('removes the file with the last entry, the temporary one of a killed process too', async (t) => {
    const folder = scratchFolder(t);
    const journal = journalIn(folder);
    journal.write('ns', [{ network: 'blue' }]);
    writeFileSync(join(folder, '.container-1-eth0.json.tmp'), 'half');
    journal.forget();
    t.strictSame(readdirSync(folder), []);
  });

  t.test('removes a journal from which nothing can be read', async (t) => {
    const folder = scratchFolder(t);
    writeFileSync(journalIn(folder).path, '{"versi');
    journalIn(folder).forget();
    t.strictSame(readdirSync(folder), []);
  });
});

t.test('claimsOfOthers', async (t) => {
  t.test('are the changes of the namespace by its other attachments, of whichever container', async (t) => {
    const folder = scratchFolder(t);
    const own = journalIn(folder);
    own.write('ns', [
      { network: 'blue', change: { of: 'us' } },
      { network: 'green', change: { of: 'green' } },
      { network: 'green' },
    ]);
    journalIn(folder, 'container-1', 'blue', 'net1').write('ns', [{ network: 'blue', change: { of: 'net1' } }]);
    journalIn(folder, 'other').write('ns', [{ network: 'blue', change: { of: 'another container' } }]);
    journalIn(folder, 'elsewhere').write('ns-2', [{ network: 'blue', change: { of: 'another namespace' } }]);
    journalIn(folder, 'container-1', 'blue', 'net3').write('ns-2', [{ network: 'blue', change: { of: 'ns-2' } }]);
    writeFileSync(join(folder, 'container-1-net2.json'), '{"version":1,"contain');
    mkdirSync(join(folder, 'aaa-eth0.json'));
    t.strictSame(
      own.claimsOfOthers('ns').sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
      [{ of: 'another container' }, { of: 'green' }, { of: 'net1' }],
    );
  });

  t.test('are none if there is no folder', async (t) => {
    t.strictSame(journalIn(join(scratchFolder(t), 'missing')).claimsOfOthers('ns'), []);
  });
});

t.test('of a newer build', async (t) => {
  const known = { op: 'known' };
  const later = { op: 'later' };
  const isKnown = (change: object) => (change as { op: string }).op === 'known';

  t.test('changes that are not known stay, in forget and in forgetInvalid', async (t) => {
    const folder = scratchFolder(t);
    const journal = journalIn(folder);
    const write = () =>
      journal.write('ns', [
        { network: 'blue' },
        { network: 'blue', change: known },
        { network: 'blue', change: later },
        { network: 'green', change: known },
      ]);
    const left = [
      { network: 'blue', change: later },
      { network: 'green', change: known },
    ];
    write();
    t.equal(journal.forget(isKnown), 1);
    t.strictSame(journal.read()?.entries, left);
    write();
    t.strictSame(forgetInvalid(folder, 'blue', [], isKnown), { files: [journal.path], failures: [] });
    t.strictSame(journal.read()?.entries, left);
    t.strictSame(forgetInvalid(folder, 'blue', [], isKnown), { files: [], failures: [] }, 'and a second time');
    t.equal(journal.forget(isKnown), 1);
  });

  for (const [layout, text] of [
    [
      'one line for each entry',
      '{"version":2,…,"entries":[\n{"network":"blue","change":{"op":"known"},"more":1}\n]}\n',
    ],
    ['one line', '{"version":2,…,"later":true,"entries":[{"network":"blue","change":{"op":"known"}},"text"]}'],
  ] as const) {
    t.test(
      `a format in ${layout} is read as far as it is known, and never written, shortened or removed`,
      async (t) => {
        const folder = scratchFolder(t);
        const journal = journalIn(folder);
        const content = text.replace('…', '"containerID":"container-1","ifname":"eth0","namespace":"ns"');
        writeFileSync(journal.path, content);
        t.match(journal.read(), { namespace: 'ns', entries: [{ change: known }], intact: false, newer: true });
        t.throws(() => journal.write('ns', []), { name: 'FileError', message: /newer version of Waymark/ });
        journal.forget(isKnown);
        t.strictSame(forgetInvalid(folder, 'blue', [], isKnown), { files: [], failures: [] });
        t.equal(readFileSync(journal.path, 'utf8'), content);
      },
    );
  }
});

t.test('forgetInvalid', async (t) => {
  t.test('forgets what is not valid of its network, and keeps what is valid and all other networks', async (t) => {
    const folder = scratchFolder(t);
    const write = (containerID: string, ifname: string, networks: string[]) =>
      journalIn(folder, containerID, 'blue', ifname).write(
        `ns of ${containerID}`,
        networks.map((network) => ({ network, change: { of: network } })),
      );
    write('gone', 'eth0', ['blue', 'blue']);
    write('gone', 'net1', ['green']);
    write('gone-too', 'eth0', ['blue', 'green', 'blue']);
    write('valid', 'eth0', ['blue', 'green']);
    write('valid', 'net1', ['blue']);
    const touched = forgetInvalid(folder, 'blue', [
      { containerID: 'valid', ifname: 'eth0' },
      { containerID: 'elsewhere', ifname: 'eth0' },
    ]);
    t.strictSame(
      touched.files.sort(),
      ['gone-eth0.json', 'gone-too-eth0.json', 'valid-net1.json'].map((name) => join(folder, name)),
    );
    t.strictSame(readdirSync(folder).sort(), ['gone-net1.json', 'gone-too-eth0.json', 'valid-eth0.json']);
    t.strictSame(journalIn(folder, 'gone-too').read(), {
      namespace: 'ns of gone-too',
      entries: [{ network: 'green', change: { of: 'green' } }],
      intact: true,
    });
    t.equal(modeOf(join(folder, 'gone-too-eth0.json')), 0o600);
    t.equal(journalIn(folder, 'valid').read()?.entries.length, 2);
    t.strictSame(forgetInvalid(folder, 'blue', [{ containerID: 'valid', ifname: 'eth0' }]).files, []);
  });

  t.test('shortens a damaged journal too, but leaves alone a file whose head cannot be read', async (t) => {
    const folder = scratchFolder(t);
    journalIn(folder, 'cut').write('ns', [{ network: 'blue' }, { network: 'green' }, { network: 'green' }]);
    const path = join(folder, 'cut-eth0.json');
    writeFileSync(path, readFileSync(path, 'utf8').slice(0, -8));
    writeFileSync(join(folder, 'what-eth0.json'), 'what is this');
    writeFileSync(join(folder, 'empty-eth0.json'), '');
    t.strictSame(forgetInvalid(folder, 'blue', []).files, [path]);
    t.strictSame(journalIn(folder, 'cut').read(), { namespace: 'ns', entries: [{ network: 'green' }], intact: true });
    t.strictSame(readdirSync(folder).sort(), ['cut-eth0.json', 'empty-eth0.json', 'what-eth0.json']);
  });

  t.test('has nothing to do where there is no folder', async (t) => {
    t.strictSame(forgetInvalid(join(scratchFolder(t), 'missing'), 'blue', []).files, []);
  });

  t.test('leaves a copy alone, and does not take it for the journal of the attachment that it names', async (t) => {
    const folder = scratchFolder(t);
    const live = journalIn(folder, 'live');
    live.write('ns', [{ network: 'blue' }]);
    copyFileSync(live.path, `${live.path}.bak`);
    const valid = [{ containerID: 'live', ifname: 'eth0' }];
    t.strictSame(forgetInvalid(folder, 'blue', valid), { files: [], failures: [] });
    t.strictSame(readdirSync(folder).sort(), ['live-eth0.json', 'live-eth0.json.bak']);
  });

  t.test('removes locks that nobody holds, and goes on after one that is no file', async (t) => {
    const folder = scratchFolder(t);
    mkdirSync(join(folder, '.aaa-eth0.lock'));
    writeFileSync(join(folder, '.killed-eth0.lock'), '');
    journalIn(folder, 'gone').write('ns', [{ network: 'blue' }]);
    const { files, failures } = forgetInvalid(folder, 'blue', []);
    t.strictSame(files, [join(folder, 'gone-eth0.json')]);
    t.match(failures, [{ name: 'FileError', message: /aaa-eth0\.lock: cannot be locked/ }]);
    t.strictSame(readdirSync(folder), ['.aaa-eth0.lock']);
  });

  t.test('goes on after a file that it cannot read, and reports it', async (t) => {
    const folder = scratchFolder(t);
    mkdirSync(join(folder, 'aaa-eth0.json'));
    journalIn(folder, 'gone').write('ns', [{ network: 'blue' }]);
    const { files, failures } = forgetInvalid(folder, 'blue', []);
    t.strictSame(files, [join(folder, 'gone-eth0.json')]);
    t.match(failures, [{ message: /aaa-eth0\.json: cannot be read/ }]);
    t.equal(failures.length, 1);
  });
});

function journalIn(folder: string, containerID = 'container-1', network = 'blue', ifname = 'eth0'): Journal {
  return new Journal(folder, { containerID, ifname, network });
}

function modeOf(path: string): number {
  return statSync(path).mode & 0o7777;
}

t.test('two attachments whose names make one file name', async (t) => {
  const folder = scratchFolder(t);
  const first = new Journal(folder, { containerID: 'a', ifname: 'b-c', network: 'n' });
  const second = new Journal(folder, { containerID: 'a-b', ifname: 'c', network: 'n' });
  t.equal(first.path, second.path);
  first.write('ns', [{ network: 'n', change: { op: 'x' } }]);

  t.throws(() => second.write('ns', [{ network: 'n' }]), { name: 'FileError', message: /another container/ });
  t.equal(second.read(), undefined, 'the second does not read the first one’s');
  second.forget();
  t.match(first.read(), { entries: [{ change: { op: 'x' } }] }, 'and does not forget it');
});
