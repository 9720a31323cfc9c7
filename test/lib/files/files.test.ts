import { once } from 'node:events';
import * as fs from 'node:fs';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import {
  ensureFolder,
  FileError,
  namesIn,
  readFileIfThere,
  removeFile,
  replaceFile,
} from '../../../lib/files/files.ts';
import { run, scratchFolder } from '../../support/namespaces/namespace.ts';

const MODULE = join(import.meta.dirname, '../../../lib/files/files.ts');
const notRoot = process.getuid?.() === 0 ? false : 'needs root';

t.test('what another removes at the same moment is gone, and every other failure is one', async (t) => {
  const path = join(scratchFolder(t), 'file');
  for (const code of ['ENOENT', 'EPERM']) {
    writeFileSync(path, '');
    const unlinkSync = () => {
      throw Object.assign(new Error(code), { code });
    };
    const { removeFile: remove } = await t.mockImport<typeof import('../../../lib/files/files.ts')>(
      '../../../lib/files/files.ts',
      { 'node:fs': { ...fs, unlinkSync } },
    );
    if (code === 'ENOENT') remove(path);
    else t.throws(() => remove(path), { name: 'FileError', message: `${path}: cannot be removed (EPERM)` });
  }
});

t.test(
  'a file that another removes between the look and the reading is none; every other failure is one',
  async (t) => {
    const path = join(scratchFolder(t), 'file');
    for (const code of ['ENOENT', 'EACCES']) {
      writeFileSync(path, '');
      const openSync = () => {
        throw Object.assign(new Error(code), { code });
      };
      const { readFileIfThere: read } = await t.mockImport<typeof import('../../../lib/files/files.ts')>(
        '../../../lib/files/files.ts',
        { 'node:fs': { ...fs, openSync } },
      );
      t.equal(read(`${path}.none`), undefined, 'one that is not there is not opened');
      if (code === 'ENOENT') t.equal(read(path), undefined);
      else t.throws(() => read(path), { name: 'FileError', message: `${path}: cannot be read (EACCES)` });
    }
  },
);

t.test('ensureFolder', async (t) => {
  t.test('makes the folder and those above it with 0700, whatever the umask', async (t) => {
    const umask = process.umask(0);
    t.teardown(() => process.umask(umask));
    const top = join(scratchFolder(t), 'data');
    const folder = join(top, 'static-route');
    ensureFolder(folder);
    t.strictSame([modeOf(top), modeOf(folder)], [0o700, 0o700]);
    ensureFolder(folder);
    t.equal(modeOf(folder), 0o700);
  });

  t.test('takes a folder that others can read, and does not change its mode', async (t) => {
    const folder = join(scratchFolder(t), 'data');
    mkdirSync(folder, { mode: 0o755 });
    chmodSync(folder, 0o755);
    ensureFolder(folder);
    t.equal(modeOf(folder), 0o755);
  });

  for (const mode of [0o720, 0o702, 0o777, 0o1777]) {
    t.test(`refuses a folder of mode ${mode.toString(8)}, which others can write to`, async (t) => {
      const folder = join(scratchFolder(t), 'data');
      mkdirSync(folder);
      chmodSync(folder, mode);
      t.throws(() => ensureFolder(folder), {
        name: 'FileError',
        path: folder,
        message: /writable by other users/,
      });
    });
  }

  t.test('refuses a symbolic link, to a folder of our own and to nothing', async (t) => {
    const scratch = scratchFolder(t);
    mkdirSync(join(scratch, 'real'), { mode: 0o700 });
    symlinkSync(join(scratch, 'real'), join(scratch, 'link'));
    symlinkSync(join(scratch, 'nothing'), join(scratch, 'dangling'));
    t.throws(() => ensureFolder(join(scratch, 'link')), FileError);
    t.throws(() => ensureFolder(`${join(scratch, 'link')}/`), FileError);
    t.throws(() => ensureFolder(join(scratch, 'dangling')), FileError);
    t.notOk(existsSync(join(scratch, 'nothing')));
  });

  t.test('lets many make the same folders at the same time', async (t) => {
    const top = scratchFolder(t);
    const module = new URL('../../../lib/files/files.ts', import.meta.url).href;
    const makeAll = `import(${JSON.stringify(module)}).then(({ ensureFolder }) => {
      for (let i = 0; i < 500; i++) ensureFolder(${JSON.stringify(top)} + '/' + i + '/a/b/c');
    });`;
    const workers = [1, 2, 3, 4].map(() => new Worker(makeAll, { eval: true }));
    await Promise.all(workers.map((worker) => once(worker, 'exit')));
    t.ok(existsSync(join(top, '499/a/b/c')));
  });

  t.test('gives up where the kernel makes no folders', { timeout: 60_000 }, async (t) => {
    t.throws(() => ensureFolder('/proc/waymark/a'), { name: 'FileError', message: /cannot be made \(ENOENT\)/ });
  });

  t.test('does not try the folders above one that the kernel refuses for itself', async (t) => {
    const tried: string[] = [];
    const mkdirSync = (path: string) => {
      tried.push(path);
      throw Object.assign(new Error(path), { code: 'EACCES' });
    };
    const { ensureFolder: ensure } = await t.mockImport<typeof import('../../../lib/files/files.ts')>(
      '../../../lib/files/files.ts',
      { 'node:fs': { ...fs, mkdirSync } },
    );
    const folder = join(scratchFolder(t), 'above/folder');
    t.throws(() => ensure(folder), { name: 'FileError', message: `${folder}: cannot be made (EACCES)` });
    t.strictSame(tried, [folder]);
  });

  t.test('refuses a file in its place, and above it', async (t) => {
    const file = join(scratchFolder(t), 'file');
    writeFileSync(file, '');
    t.throws(() => ensureFolder(file), FileError);
    t.throws(() => ensureFolder(join(file, 'below')), FileError);
  });

  t.test('refuses a folder of another user, though root could write to it', { skip: notRoot }, async (t) => {
    const folder = join(scratchFolder(t), 'data');
    mkdirSync(folder, { mode: 0o700 });
    for (const user of [65534, 1]) {
      chownSync(folder, user, user);
      t.throws(() => ensureFolder(folder), { name: 'FileError', message: new RegExp(`another user \\(${user}\\)`) });
    }
  });

  t.test('takes one of its own user, and one of root, and no other', { skip: notRoot }, async (t) => {
    const folder = join(scratchFolder(t), 'data');
    mkdirSync(folder, { mode: 0o700 });
    t.intercept(process, 'geteuid', { value: () => 65534 });
    ensureFolder(folder);
    chownSync(folder, 65534, 65534);
    ensureFolder(folder);
    chownSync(folder, 1, 1);
    t.throws(() => ensureFolder(folder), { name: 'FileError', message: /another user \(1\)/ });
  });
});

t.test('replaceFile', async (t) => {
  t.test('writes the content with mode 0600, whatever the umask and the mode before', async (t) => {
    const umask = process.umask(0);
    t.teardown(() => process.umask(umask));
    const path = join(scratchFolder(t), 'a.json');
    replaceFile(path, 'first');
    t.equal(modeOf(path), 0o600);
    chmodSync(path, 0o666);
    replaceFile(path, 'sécond');
    t.equal(modeOf(path), 0o600);
    t.equal(readFileSync(path, 'utf8'), 'sécond');
  });

  t.test('puts another file there, and does not write into the one that a reader has open', async (t) => {
    const path = join(scratchFolder(t), 'a.json');
    replaceFile(path, 'first');
    const { ino } = statSync(path);
    run('ln', [path, `${path}.hard`]);
    replaceFile(path, 'second');
    t.not(statSync(path).ino, ino);
    t.equal(readFileSync(`${path}.hard`, 'utf8'), 'first');
  });

  t.test('leaves nothing else in the folder, nor what a killed process left there', async (t) => {
    const folder = scratchFolder(t);
    writeFileSync(join(folder, '.a.json.tmp'), 'half a jour', { mode: 0o644 });
    replaceFile(join(folder, 'a.json'), 'whole');
    t.strictSame(readdirSync(folder), ['a.json']);
    t.equal(readFileSync(join(folder, 'a.json'), 'utf8'), 'whole');
    t.equal(modeOf(join(folder, 'a.json')), 0o600);
  });

  t.test('does not write through a link at the temporary name or at its own', async (t) => {
    const folder = scratchFolder(t);
    const victim = join(scratchFolder(t), 'victim');
    writeFileSync(victim, 'untouched');
    symlinkSync(victim, join(folder, '.a.json.tmp'));
    symlinkSync(victim, join(folder, 'a.json'));
    replaceFile(join(folder, 'a.json'), 'ours');
    t.equal(readFileSync(victim, 'utf8'), 'untouched');
    t.ok(lstatSync(join(folder, 'a.json')).isFile());
  });

  t.test('writes content of many megabytes whole', async (t) => {
    const path = join(scratchFolder(t), 'a.json');
    const content = 'ä'.repeat(4 << 20);
    replaceFile(path, content);
    t.ok(readFileSync(path, 'utf8') === content);
  });

  t.test('throws FileError and leaves the file as it was when it cannot', async (t) => {
    const folder = scratchFolder(t);
    t.throws(() => replaceFile(join(folder, 'missing', 'a.json'), ''), { name: 'FileError', message: /ENOENT/ });
    mkdirSync(join(folder, 'a.json'));
    writeFileSync(join(folder, 'a.json', 'inside'), '');
    t.throws(() => replaceFile(join(folder, 'a.json'), ''), { name: 'FileError', path: join(folder, 'a.json') });
    t.strictSame(readdirSync(folder), ['a.json']);
  });

  t.test('leaves nothing open, whether it succeeds or fails', async (t) => {
    const folder = scratchFolder(t);
    mkdirSync(join(folder, 'b.json'));
    const open = () => readdirSync('/proc/self/fd').length;
    const before = open();
    for (const durable of [false, true]) {
      replaceFile(join(folder, 'a.json'), 'x', { durable });
      t.throws(() => replaceFile(join(folder, 'b.json'), 'x', { durable }), FileError);
    }
    readFileIfThere(join(folder, 'a.json'));
    t.throws(() => readFileIfThere(join(folder, 'b.json')), FileError);
    t.equal(open(), before);
  });

  t.test('throws FileError when a folder has the temporary name', async (t) => {
    const folder = scratchFolder(t);
    writeFileSync(join(folder, 'a.json'), 'as before');
    mkdirSync(join(folder, '.a.json.tmp'));
    t.throws(() => replaceFile(join(folder, 'a.json'), 'new'), FileError);
    t.equal(readFileSync(join(folder, 'a.json'), 'utf8'), 'as before');
  });
});

t.test('readFileIfThere', async (t) => {
  t.test('returns the content, and undefined for no file or no folder', async (t) => {
    const folder = scratchFolder(t);
    writeFileSync(join(folder, 'a.json'), 'grün');
    t.equal(readFileIfThere(join(folder, 'a.json')), 'grün');
    t.equal(readFileIfThere(join(folder, 'b.json')), undefined);
    t.equal(readFileIfThere(join(folder, 'missing', 'a.json')), undefined);
  });

  t.test('looks whether there is a file before it opens it', async (t) => {
    const openSync = () => {
      throw new Error('opened');
    };
    const { readFileIfThere: read } = await t.mockImport<typeof import('../../../lib/files/files.ts')>(
      '../../../lib/files/files.ts',
      { 'node:fs': { ...fs, openSync } },
    );
    t.equal(read(join(scratchFolder(t), 'a.json')), undefined);
  });

  t.test('refuses a symbolic link and a folder, and does not wait for a FIFO', { timeout: 60_000 }, async (t) => {
    const folder = scratchFolder(t);
    writeFileSync(join(folder, 'real'), 'secret');
    symlinkSync(join(folder, 'real'), join(folder, 'link'));
    run('mkfifo', [join(folder, 'fifo')]);
    t.throws(() => readFileIfThere(join(folder, 'link')), { name: 'FileError', message: /ELOOP/ });
    t.throws(() => readFileIfThere(folder), { name: 'FileError', message: /EISDIR/ });
    t.equal(readFileIfThere(join(folder, 'fifo')), '');
  });
});

t.test('removeFile', async (t) => {
  t.test('removes the file and the temporary one beside it, and no other', async (t) => {
    const folder = scratchFolder(t);
    for (const name of ['a.json', '.a.json.tmp', 'b.json', '.b.json.tmp']) writeFileSync(join(folder, name), '');
    removeFile(join(folder, 'a.json'));
    t.strictSame(readdirSync(folder).sort(), ['.b.json.tmp', 'b.json']);
  });

  t.test('is fine when there is no file and no folder', async (t) => {
    const folder = scratchFolder(t);
    removeFile(join(folder, 'a.json'));
    removeFile(join(folder, 'missing', 'a.json'));
  });

  t.test('is fine when there is no file on a read-only file system', { skip: notRoot }, async (t) => {
    const folder = scratchFolder(t);
    const script = `import { removeFile } from ${JSON.stringify(MODULE)}; removeFile('${folder}/a.json');`;
    const mount = `mount -t tmpfs -o ro tmpfs ${folder}`;
    const call = () => run('unshare', ['--mount', 'sh', '-c', `${mount} && exec ${process.execPath} -`], script);
    t.doesNotThrow(call);
  });

  t.test('throws FileError for what is no file', async (t) => {
    t.throws(() => removeFile(scratchFolder(t)), FileError);
  });
});

t.test('namesIn', async (t) => {
  t.test('lists the files without the temporary ones, and nothing where there is no folder', async (t) => {
    const folder = scratchFolder(t);
    for (const name of ['a.json', '.a.json.tmp', 'b.json']) writeFileSync(join(folder, name), '');
    t.strictSame(namesIn(folder).sort(), ['a.json', 'b.json']);
    t.strictSame(namesIn(join(folder, 'missing')), []);
  });

  t.test('throws FileError for what is no folder', async (t) => {
    const file = join(scratchFolder(t), 'file');
    writeFileSync(file, '');
    t.throws(() => namesIn(file), { name: 'FileError', path: file });
  });
});

function modeOf(path: string): number {
  return statSync(path).mode & 0o7777;
}
