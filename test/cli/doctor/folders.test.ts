import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { folderAt } from '../../../cli/doctor/folders.ts';
import { noMounts } from '../../support/namespaces/enclosed.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';
import { COMPILED } from '../../support/plugins/call.ts';

const NONE = { isReadOnly: false, isNoexec: false, isOthersWritable: false, freeBytes: 0, freeFiles: 0 };
const SOURCE = join(import.meta.dirname, '../../../cli/doctor/folders.ts');

/** What `script` mounts, in a mount namespace of its own, as `folderAt` sees the folders. */
function foldersAfter(script: string, folders: string[]) {
  const program = `const { folderAt } = await import(process.argv[1]);
    console.log(JSON.stringify(process.argv.slice(2).map((path) => folderAt(path))))`;
  const look = [process.execPath, '--input-type=module', '-e', program, SOURCE, ...folders];
  const { status, stdout, stderr } = spawnSync('unshare', ['-m', 'sh', '-ec', `${script}\nexec "$@"`, 'sh', ...look], {
    env: { PATH: process.env.PATH, ...COMPILED },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

t.test('a folder of a mount says what the mount is fit for', { skip: noMounts }, async (t) => {
  const at = (name: string) => join(folder, name);
  const folder = scratchFolder(t);
  for (const name of ['plain', 'sealed', 'bound', 'uncounted']) mkdirSync(at(name));
  const script = `
    mount -t tmpfs -o size=64k,nr_inodes=10,mode=700 tmpfs ${at('plain')}
    head -c 16k /dev/zero >${at('plain/x')}
    mkdir ${at('plain/sub')}
    chmod 702 ${at('plain/sub')}
    mount -t tmpfs -o size=64k,nr_inodes=0,ro,noexec tmpfs ${at('sealed')}
    mount --bind ${at('plain')} ${at('bound')}
    mount -o remount,bind,ro ${at('bound')}`;
  const [plain, sub, sealed, bound] = foldersAfter(script, ['plain', 'plain/sub', 'sealed', 'bound'].map(at));
  // By tmpfs(5): 16 of 64 KiB are taken, and of ten files the root, `x` and `sub`.
  t.strictSame(plain, { ...NONE, path: at('plain'), freeBytes: 48 << 10, freeFiles: 7 });
  t.strictSame(sub, { ...plain, path: at('plain/sub'), isOthersWritable: true });
  t.match(sealed, { isReadOnly: true, isNoexec: true, freeFiles: Number.MAX_SAFE_INTEGER });
  t.strictSame(bound, { ...plain, path: at('bound'), isReadOnly: true }, 'a mount that is read-only by itself');
});

t.test('a folder that is read-only by its file system', { skip: noMounts }, async (t) => {
  const [folder, other] = [scratchFolder(t), scratchFolder(t)];
  const script = `
    mount -t tmpfs tmpfs ${folder}
    mount --bind ${folder} ${other}
    mount -o remount,ro ${folder}`;
  t.match(foldersAfter(script, [other]), [{ isReadOnly: true, isNoexec: false }]);
});

t.test('what is no folder has a reason, under the name for people', async (t) => {
  const here = scratchFolder(t);
  writeFileSync(join(here, 'file'), '');
  const reasons = {
    gone: 'does not exist',
    file: 'is not a folder',
    ['x'.repeat(300)]: 'cannot be read: ENAMETOOLONG',
  };
  for (const [name, problem] of Object.entries(reasons)) {
    const { problem: found, ...others } = folderAt('/opt/x', join(here, name));
    t.match(found, problem);
    t.strictSame(others, { ...NONE, path: '/opt/x' });
  }
});

t.test('is known by its path where it is, and leaves no descriptor', async (t) => {
  const folder = scratchFolder(t);
  chmodSync(folder, 0o700);
  t.match(folderAt(folder), { path: folder, problem: undefined, isOthersWritable: false });
  const opened = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // One that Node.js has closed meanwhile, such as that of this list.
      return '';
    }
  });
  t.notOk(opened.includes(folder), 'and leaves no descriptor');
});
